/**
 * A client of a system of queue nodes: pushes go to the nodes in turn, pops and consumers see all of them.
 *
 * Nodes share nothing, so there is no order between records of different nodes. Invariant: a push that resolved is in one
 * node. At least once: after a lost connection or a silent node a push is repeated at the next one, and may then be in both.
 * At most once: this protocol acknowledges nothing, so a record that a node has sent on a connection that breaks is lost.
 * Where that matters, use the streams of the node's Redis protocol, which have acknowledgements.
 */
import type { Clock } from "../../core/seams/clock.ts";
import { QueueNode } from "../wire/legacy/queue-client.ts";
import type { Credential } from "../wire/neo/credentials.ts";
import { NeoQueueNode } from "../wire/neo/queue-client.ts";
import { followAll } from "./feed.ts";
import type { NodeConnection, NodeLink } from "./node-link.ts";
import {
  askAll,
  type ClientOptions,
  type ClientSeams,
  inTurn,
  isRepeatable,
  neoOptions,
  openSystem,
  orRefused,
  type SystemSettings,
  unionOf,
  writeToOne,
} from "./node-links.ts";

/** One connection to one node, whatever its protocol. */
export interface QueueConnection extends NodeConnection {
  push(channel: string, record: Uint8Array | string): Promise<void>;
  pushMulti(channels: readonly string[], record: Uint8Array | string): Promise<void>;
  pop(channel: string): Promise<Buffer | undefined>;
  consume(channel: string, subscriber?: string): Promise<AsyncGenerator<Buffer>>;
  /** Absent where the protocol cannot: neo. */
  channels?(): Promise<string[]>;
  channelSize?(channel: string): Promise<{ records: number; bytes: number }>;
  removeChannel?(channel: string): Promise<void>;
}

export type QueueClientOptions = ClientOptions<QueueConnection>;

/**
 * Options for nodes that are spoken to by the neo protocol, at their neo ports:
 *
 *   new QueueClient(world, { nodes, ...neoQueue(world, readOwnCredential("etc/credentials")) })
 */
export const neoQueue = (seams: ClientSeams, credential: Credential) =>
  neoOptions<QueueConnection>((...target) => NeoQueueNode.connect(...target), seams, credential);

export class QueueClient {
  readonly #clock: Clock;
  readonly #settings: SystemSettings;
  readonly #links: readonly NodeLink<QueueConnection>[];
  /** The node whose turn it is to get a record, and to give one. */
  #pushTurn = 0;
  #popTurn = 0;

  /** Opens connections when they are needed: nodes may be started later. */
  constructor(seams: ClientSeams, options: QueueClientOptions) {
    this.#clock = seams.clock;
    const { settings, links } = openSystem<QueueConnection, object>(seams, options, {}, (...target) =>
      QueueNode.connect(...target),
    );
    this.#settings = settings;
    this.#links = links;
  }

  /** Throws StatusError: 407 when no node has room, 408 for an empty record, 409 for a bad name. */
  push(channel: string, record: Uint8Array | string): Promise<void> {
    return this.#pushed((node) => node.push(channel, record), record);
  }

  /** The same record into several channels. */
  pushMulti(channels: readonly string[], record: Uint8Array | string): Promise<void> {
    return this.#pushed((node) => node.pushMulti(channels, record), record);
  }

  #pushed(work: (node: QueueConnection) => Promise<void>, record: Uint8Array | string): Promise<void> {
    const links = inTurn(this.#links, this.#pushTurn++);
    return writeToOne(links, work, record.length + 100, this.#settings.attemptTimeoutMs);
  }

  /**
   * The oldest record of the first node, from the one whose turn it is, that has one; undefined when none has. Throws
   * NX_CONNECT_FAILED or NX_TIMEOUT when a node could not be asked and the others are empty.
   */
  async pop(channel: string): Promise<Buffer | undefined> {
    let failure: Error | undefined;
    for (const link of inTurn(this.#links, this.#popTurn++)) {
      try {
        const record = await link.run((node) => node.pop(channel), 0, this.#settings.attemptTimeoutMs);
        if (record !== undefined) return record;
      } catch (error) {
        if (!isRepeatable(error)) throw error;
        failure = error as Error;
      }
    }
    if (failure !== undefined) throw failure;
    return undefined;
  }

  /**
   * Records of all nodes as they come, until the channel is removed everywhere or the caller leaves. A node that is lost is
   * gone back to; `onGap` is told then. With a name, as one of the consumers of that subscriber (neo protocol).
   */
  consume(
    channel: string,
    { subscriber, onGap = () => {} }: { subscriber?: string; onGap?(node: string): void } = {},
  ): AsyncGenerator<Buffer> {
    return followAll({
      clock: this.#clock,
      links: this.#links,
      pauseMs: this.#settings.backoffMaxMs / 4,
      stream: (node) => consumed(node, channel, subscriber),
      onGap,
    });
  }

  /** Channels of all nodes together, sorted. This and what follows: legacy protocol only. */
  async channels(): Promise<string[]> {
    return unionOf(
      await askAll(this.#links, (node) => orRefused(node.channels?.()), this.#settings.timeoutMs),
    );
  }

  /** Of all nodes together. */
  async channelSize(channel: string): Promise<{ records: number; bytes: number }> {
    const sizes = await askAll(
      this.#links,
      (node) => orRefused(node.channelSize?.(channel)),
      this.#settings.timeoutMs,
    );
    return sizes.reduce(
      (sum, { records, bytes }) => ({ records: sum.records + records, bytes: sum.bytes + bytes }),
      { records: 0, bytes: 0 },
    );
  }

  /** Ends the streams of its consumers, too. */
  async removeChannel(channel: string): Promise<void> {
    await askAll(this.#links, (node) => orRefused(node.removeChannel?.(channel)), this.#settings.timeoutMs);
  }

  close(): void {
    for (const link of this.#links) link.close();
  }
}

async function* consumed(
  node: QueueConnection,
  channel: string,
  subscriber: string | undefined,
): AsyncGenerator<Buffer> {
  yield* await node.consume(channel, subscriber);
}
