/**
 * A connection to one dht node as the client sees it, whatever its protocol, and how each protocol opens one.
 */
import { NxError } from "../../core/errors.ts";
import type { Net } from "../../core/seams/net.ts";
import { LegacyNode, type NodeAddress } from "../wire/legacy/client.ts";
import { PROTOCOL_VERSION, type Range } from "../wire/legacy/protocol.ts";
import { NeoNode } from "../wire/neo/client.ts";
import type { Credential } from "../wire/neo/credentials.ts";
import type { NodeConnection } from "./node-link.ts";
import { type ClientSeams, neoOptions } from "./node-links.ts";

/** 16 hex digits, or the number that they mean. */
export type Key = string | bigint;

export interface DhtRecord {
  /** 16 lower-case hex digits. */
  key: string;
  value: Uint8Array;
}

/** What happened to a record. Undefined: it was removed (or, of the legacy protocol, is gone by the time it is looked at). */
export interface Change {
  key: string;
  value: Uint8Array | undefined;
}

/** One connection to one node, whatever its protocol. */
export interface DhtConnection extends NodeConnection {
  put(channel: string, key: string, value: Uint8Array | string): Promise<void>;
  get(channel: string, key: string): Promise<Buffer | undefined>;
  exists(channel: string, key: string): Promise<boolean>;
  remove(channel: string, key: string): Promise<void>;
  getChannels(): Promise<string[]>;
  removeChannel(channel: string): Promise<void>;
  getResponsibleRange(): Promise<Range>;
  getAll(channel: string, filter?: string): AsyncGenerator<DhtRecord[]>;
  getAllKeys(channel: string): AsyncGenerator<string[]>;
  changes(channel: string): AsyncGenerator<Change>;
  /** GetAll that goes on behind a key, where the protocol can: a lost connection is then no end. */
  getAllFrom?(
    channel: string,
    options: { after?: string; filter?: string; keysOnly?: boolean },
  ): AsyncGenerator<DhtRecord[]>;
}

/** What a connection of the legacy protocol does beside what it has. */
function legacyConnection(node: LegacyNode): DhtConnection {
  return Object.assign(node, {
    async *changes(channel: string): AsyncGenerator<Change> {
      for await (const { key, value } of node.listen(channel))
        yield { key, value: value.byteLength === 0 ? undefined : value };
    },
  });
}

/** Opens a connection of the legacy protocol and makes sure that both sides speak the same version of it. */
export async function openLegacy(net: Net, address: NodeAddress): Promise<DhtConnection> {
  const node = await LegacyNode.connect(net, address);
  try {
    const version = await node.getVersion();
    if (version === PROTOCOL_VERSION) return legacyConnection(node);
    throw new NxError("NX_CONNECT_FAILED", `${address.host}:${address.port} speaks version ${version}`);
  } catch (error) {
    node.close();
    throw error;
  }
}

/**
 * Options for nodes that are spoken to by the neo protocol: their addresses are then those of their neo ports.
 *
 *   DhtClient.connect(world, { nodes, ...neo(world, readOwnCredential("etc/credentials")) })
 */
export const neo = (seams: ClientSeams, credential: Credential) => ({
  ...neoOptions<DhtConnection>((...target) => NeoNode.connect(...target), seams, credential),
  verifiesMisses: false,
});
