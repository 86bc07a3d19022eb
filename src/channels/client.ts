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
 * `QueueClient` and `LogfilesClient` do the same for queue and logfiles nodes; `…Node` is one connection to one node.
 *
 * docs/client.md is its manual. Everything it does goes through the seams that it is given, so a program can be
 * simulated together with its nodes.
 */
export { DhtClient, type DhtClientOptions } from "./client/dht-client.ts";
export { type Change, type DhtConnection, type DhtRecord, type Key, neo } from "./client/dht-connection.ts";
export {
  LogfilesClient,
  type LogfilesClientOptions,
  type LogfilesConnection,
  neoLogfiles,
} from "./client/logfiles-client.ts";
export type { ClientSeams, SystemOptions } from "./client/node-links.ts";
export {
  neoQueue,
  QueueClient,
  type QueueClientOptions,
  type QueueConnection,
} from "./client/queue-client.ts";
export { parseAddress, parseNodesFile } from "./client/nodes-file.ts";
export { type Credential, readOwnCredential } from "./wire/neo/credentials.ts";
export { type MirrorEvent, NeoNode } from "./wire/neo/client.ts";
export { NeoLogfilesNode } from "./wire/neo/logfiles-client.ts";
export { NeoQueueNode } from "./wire/neo/queue-client.ts";
export { LegacyNode, type NodeAddress, StatusError } from "./wire/legacy/client.ts";
export { LogfilesNode, type LogQuery, type LogRecord } from "./wire/legacy/logfiles-client.ts";
export { QueueNode } from "./wire/legacy/queue-client.ts";
export { keyText, PROTOCOL_VERSION, type Range, Status } from "./wire/legacy/protocol.ts";
