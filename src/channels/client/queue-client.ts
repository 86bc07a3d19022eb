/**
 * A client of a system of queue nodes: pushes go to the nodes in turn, pops and consumers see all of them.
 *
 * Nodes share nothing, so there is no order between records of different nodes. Invariant: a push that resolved is in one
 * node. At least once: after a lost connection or a silent node a push is repeated at the next one, and may then be in both.
 * At most once: this protocol acknowledges nothing, so a record that a node has sent on a connection that breaks is lost.
 * Where that matters, use the streams of the node's Redis protocol, which have acknowledgements.
 */
import type { Clock } from "../../core/seams/clock.ts";
import type { NodeAddress } from "../wire/legacy/client.ts";
import { QueueNode } from "../wire/legacy/queue-client.ts";
import { followAll } from "./feed.ts";
import type { NodeLink } from "./node-link.ts";
import {
  askAll,
  type ClientSeams,
  inTurn,
  isRepeatable,
  openLinks,
  settingsOf,
  type SystemOptions,
  type SystemSettings,
  unionOf,
  writeToOne,
} from "./node-links.ts";

export class QueueClient {
  readonly #clock: Clock;
  readonly #settings: SystemSettings;
  readonly #links: readonly NodeLink<QueueNode>[];
  /** The node whose turn it is to get a record, and to give one. */
  #pushTurn = 0;
  #popTurn = 0;

  /** Opens connections when they are needed: nodes may be started later. */
  constructor(seams: ClientSeams, options: SystemOptions) {
    this.#clock = seams.clock;
    this.#settings = settingsOf(options, {});
    const open = (address: NodeAddress) => QueueNode.connect(seams.net, address);
    this.#links = openLinks(seams, options.nodes, this.#settings, open);
  }

  /** Throws StatusError: 407 when no node has room, 408 for an empty record, 409 for a bad name. */
  push(channel: string, record: Uint8Array | string): Promise<void> {
    return this.#pushed((node) => node.push(channel, record), record);
  }

  /** The same record into several channels. */
  pushMulti(channels: readonly string[], record: Uint8Array | string): Promise<void> {
    return this.#pushed((node) => node.pushMulti(channels, record), record);
  }

  #pushed(work: (node: QueueNode) => Promise<void>, record: Uint8Array | string): Promise<void> {
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
   * gone back to; `onGap` is told then.
   */
  consume(channel: string, onGap: (node: string) => void = () => {}): AsyncGenerator<Buffer> {
    return followAll({
      clock: this.#clock,
      links: this.#links,
      pauseMs: this.#settings.backoffMaxMs / 4,
      stream: (node) => consumed(node, channel),
      onGap,
    });
  }

  /** Channels of all nodes together, sorted. */
  async channels(): Promise<string[]> {
    return unionOf(await askAll(this.#links, (node) => node.channels(), this.#settings.timeoutMs));
  }

  /** Of all nodes together. */
  async channelSize(channel: string): Promise<{ records: number; bytes: number }> {
    const sizes = await askAll(this.#links, (node) => node.channelSize(channel), this.#settings.timeoutMs);
    return sizes.reduce(
      (sum, { records, bytes }) => ({ records: sum.records + records, bytes: sum.bytes + bytes }),
      { records: 0, bytes: 0 },
    );
  }

  /** Ends the streams of its consumers, too. */
  async removeChannel(channel: string): Promise<void> {
    await askAll(this.#links, (node) => node.removeChannel(channel), this.#settings.timeoutMs);
  }

  close(): void {
    for (const link of this.#links) link.close();
  }
}

async function* consumed(node: QueueNode, channel: string): AsyncGenerator<Buffer> {
  yield* await node.consume(channel);
}
