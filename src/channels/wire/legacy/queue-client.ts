/**
 * A client of one queue node over the legacy swarm protocol.
 *
 * Requests may be called without waiting: they are sent in order and their answers read in order. `consume` and `produce`
 * occupy the connection until they end. A record that `consume` has yielded is gone from the node; there are
 * no acknowledgements in this protocol.
 */
import type { Net } from "../../../core/seams/net.ts";
import { arrayField, LegacyNode, type NodeAddress, requestBytes, type SizeAnswer } from "./client.ts";
import { QueueCommand } from "./protocol.ts";

const END = Buffer.alloc(8);

/** Code, then a list of channels and its end. */
function multiRequest(code: number, channels: readonly string[]): Buffer {
  return Buffer.concat([requestBytes(code, ...channels), END]);
}

export class QueueNode {
  readonly #node: LegacyNode;

  private constructor(node: LegacyNode) {
    this.#node = node;
  }

  /** Throws NX_CONNECT_FAILED. */
  static async connect(net: Net, address: NodeAddress): Promise<QueueNode> {
    return new QueueNode(await LegacyNode.connect(net, address));
  }

  get isClosed(): boolean {
    return this.#node.isClosed;
  }

  close(): void {
    this.#node.close();
  }

  #done(bytes: Uint8Array): Promise<void> {
    return this.#node.exchange(bytes, () => Promise.resolve());
  }

  /** Throws StatusError: 407 when there is no room, 408, 409. */
  push(channel: string, record: Uint8Array | string): Promise<void> {
    return this.#done(requestBytes(QueueCommand.Push, channel, record));
  }

  /** Stored in every channel that has room; throws StatusError 407 when one had none. */
  pushMulti(channels: readonly string[], record: Uint8Array | string): Promise<void> {
    return this.#done(Buffer.concat([multiRequest(QueueCommand.PushMulti, channels), arrayField(record)]));
  }

  /** The oldest record, or undefined when there is none. */
  async pop(channel: string): Promise<Buffer | undefined> {
    const record = await this.#node.exchange(requestBytes(QueueCommand.Pop, channel), (node) =>
      node.readArray(),
    );
    return record.byteLength === 0 ? undefined : record;
  }

  /** Sends records without answers; what finds no room is dropped by the node. */
  async produce(channels: string | readonly string[], records: Iterable<Uint8Array | string>): Promise<void> {
    const request =
      typeof channels === "string"
        ? requestBytes(QueueCommand.Produce, channels)
        : multiRequest(QueueCommand.ProduceMulti, channels);
    await this.#done(request);
    for (const record of records) this.#node.send(arrayField(record));
    this.#node.send(END);
  }

  /** Begins to consume; resolves once the node agreed. The iteration ends when the channel is removed. */
  async consume(channel: string): Promise<AsyncGenerator<Buffer>> {
    await this.#done(requestBytes(QueueCommand.Consume, channel));
    return this.#records();
  }

  async *#records(): AsyncGenerator<Buffer> {
    for (;;) {
      const record = await this.#node.readArray();
      if (record.byteLength === 0) return;
      yield record;
    }
  }

  /** Ends the streams of its consumers, too. */
  removeChannel(channel: string): Promise<void> {
    return this.#done(requestBytes(QueueCommand.RemoveChannel, channel));
  }

  channels(): Promise<string[]> {
    return this.#node.exchange(requestBytes(QueueCommand.GetChannels), (node) => node.readNames());
  }

  channelSize(channel: string): Promise<SizeAnswer> {
    return this.#node.exchange(requestBytes(QueueCommand.GetChannelSize, channel), (node) => node.readSize());
  }

  size(): Promise<SizeAnswer> {
    return this.#node.exchange(requestBytes(QueueCommand.GetSize), (node) => node.readSize());
  }

  /** Bytes of one channel's ring. */
  sizeLimit(): Promise<number> {
    return this.#number(QueueCommand.GetSizeLimit);
  }

  connections(): Promise<number> {
    return this.#number(QueueCommand.GetNumConnections);
  }

  #number(code: number): Promise<number> {
    return this.#node.exchange(requestBytes(code), async (node) => {
      await node.readArray();
      await node.read(2);
      return Number((await node.read(8)).readBigUInt64LE(0));
    });
  }
}
