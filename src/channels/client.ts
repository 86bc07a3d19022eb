/**
 * The client library of the channels family: everything a program needs to use a system of nodes.
 *
 *   import { DhtClient, parseNodesFile } from "./channels/client.ts";
 *   import { realWorld } from "./core/seams/world-real.ts";
 *
 *   const nodes = parseNodesFile(await Bun.file("etc/dht.nodes").text());
 *   const client = await DhtClient.connect(realWorld(), { nodes });
 *   await client.put("users", 0x12n, "hello");
 *   for await (const records of client.getAll("users")) …
 *   client.close();
 *
 * docs/client.md is its manual. Everything it does goes through the seams that it is given, so a program can be
 * simulated together with its nodes.
 */
export { DhtClient, type DhtClientOptions } from "./client/dht-client.ts";
export {
  type Change,
  type ClientSeams,
  type DhtConnection,
  type DhtRecord,
  type Key,
  neo,
} from "./client/dht-connection.ts";
export { parseAddress, parseNodesFile } from "./client/nodes-file.ts";
export { type Credential, readOwnCredential } from "./wire/neo/credentials.ts";
export { type MirrorEvent, NeoNode } from "./wire/neo/client.ts";
export { type NodeAddress, StatusError } from "./wire/legacy/client.ts";
export { keyText, type Range, Status } from "./wire/legacy/protocol.ts";
