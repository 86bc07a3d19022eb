/**
 * A client of a system of logfiles nodes: writes go to the nodes in turn, reads ask all of them.
 *
 * Invariant: a put that resolved is in one node. At least once: after a lost connection or a silent node a put is repeated
 * at the next one, and may then be in both. A node that does not own the key (where the nodes have hash ranges) passes it
 * on to the next. Reads change nothing, so they may be repeated by the caller.
 */
import { LogfilesNode, type LogQuery, type LogRecord } from "../wire/legacy/logfiles-client.ts";
import { NeoLogfilesNode } from "../wire/neo/logfiles-client.ts";
import type { Credential } from "../wire/neo/credentials.ts";
import type { NodeConnection, NodeLink } from "./node-link.ts";
import {
  askAll,
  type ClientOptions,
  type ClientSeams,
  inTurn,
  neoOptions,
  openSystem,
  orRefused,
  type SystemSettings,
  unionOf,
  writeToOne,
} from "./node-links.ts";

/** One connection to one node, whatever its protocol. */
export interface LogfilesConnection extends NodeConnection {
  put(channel: string, key: bigint, value: Uint8Array | string): Promise<void>;
  records(channel: string, query?: LogQuery): AsyncGenerator<LogRecord[]>;
  /** Absent where the protocol cannot: neo. */
  getChannels?(): Promise<string[]>;
  removeChannel?(channel: string): Promise<void>;
}

export type LogfilesClientOptions = ClientOptions<LogfilesConnection>;

/**
 * Options for nodes that are spoken to by the neo protocol, at their neo ports:
 *
 *   new LogfilesClient(world, { nodes, ...neoLogfiles(world, readOwnCredential("etc/credentials")) })
 */
export const neoLogfiles = (seams: ClientSeams, credential: Credential) =>
  neoOptions<LogfilesConnection>((...target) => NeoLogfilesNode.connect(...target), seams, credential);

export class LogfilesClient {
  readonly #settings: SystemSettings;
  readonly #links: readonly NodeLink<LogfilesConnection>[];
  #turn = 0;

  /** Opens connections when they are needed: nodes may be started later. */
  constructor(seams: ClientSeams, options: LogfilesClientOptions) {
    const { settings, links } = openSystem<LogfilesConnection, object>(seams, options, {}, (...target) =>
      LogfilesNode.connect(...target),
    );
    this.#settings = settings;
    this.#links = links;
  }

  /** Throws StatusError: 404 when no node owns the key, 407 when none has room, 408, 409, 410. */
  put(channel: string, key: bigint, value: Uint8Array | string): Promise<void> {
    const links = inTurn(this.#links, this.#turn++);
    const work = (node: LogfilesConnection) => node.put(channel, key, value);
    return writeToOne(links, work, value.length + 100, this.#settings.attemptTimeoutMs);
  }

  /**
   * Records of a channel, node after node, batch by batch, as fast as they are taken; of each node ascending by pieces of 4096
   * keys, within a piece in the order in which they were written. Rejects with NX_CONNECT_FAILED when a node is lost.
   */
  async *records(channel: string, query: LogQuery = {}): AsyncGenerator<LogRecord[]> {
    for (const link of this.#links) {
      const node = await link.dedicated();
      try {
        yield* node.records(channel, query);
      } finally {
        node.close();
      }
    }
  }

  /** Channels of all nodes together, sorted. This and what follows: legacy protocol only. */
  async channels(): Promise<string[]> {
    return unionOf(
      await askAll(this.#links, (node) => orRefused(node.getChannels?.()), this.#settings.timeoutMs),
    );
  }

  async removeChannel(channel: string): Promise<void> {
    await askAll(this.#links, (node) => orRefused(node.removeChannel?.(channel)), this.#settings.timeoutMs);
  }

  close(): void {
    for (const link of this.#links) link.close();
  }
}
