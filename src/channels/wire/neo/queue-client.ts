/**
 * A client of one queue node over the neo protocol: one authenticated connection, any number of requests on it at once.
 *
 * A consumer is sent a batch only when it has taken the one before, so a slow one holds up nobody. A record that a node has
 * sent is gone from it: there are no acknowledgements in this protocol. Invariant: a lost connection rejects every
 * request that waits.
 */
import { StatusError } from "../legacy/client.ts";
import { Status } from "../legacy/protocol.ts";
import { NeoPeer, type NeoTarget, NeoWire } from "./connection.ts";
import { array } from "./messages.ts";
import { PayloadReader } from "./payload-reader.ts";
import {
  ConsumeControl,
  ConsumeMessage,
  PopAnswer,
  PushAnswer,
  QueueCode,
  queueVersions,
} from "./protocol.ts";

export class NeoQueueNode extends NeoPeer {
  /** Connects and authenticates. Throws NX_CONNECT_FAILED, also when the node does not accept the credential. */
  static async connect(...target: NeoTarget): Promise<NeoQueueNode> {
    return new NeoQueueNode(await NeoWire.connect(...target));
  }

  async #ask(request: keyof typeof QueueCode, ...payload: Uint8Array[]): Promise<Uint8Array> {
    const { id, queue } = await this.wire.begin(QueueCode[request], queueVersions[request], ...payload);
    try {
      return await queue.take();
    } finally {
      this.wire.release(id);
    }
  }

  push(channel: string, record: Uint8Array | string): Promise<void> {
    return this.pushMulti([channel], record);
  }

  /** Throws StatusError 500 for everything that the node does not take: this protocol does not say why. */
  async pushMulti(channels: readonly string[], record: Uint8Array | string): Promise<void> {
    const names = channels.map((channel) => array(channel));
    const [answer] = await this.#ask("Push", Uint8Array.of(channels.length), ...names, array(record));
    if (answer !== PushAnswer.pushed) throw new StatusError(Status.Error);
  }

  /**
   * The oldest record, or undefined when there is none. Throws StatusError: 406 when the channel has subscribers, whose
   * records only they take, 500 for a bad name.
   */
  async pop(channel: string): Promise<Buffer | undefined> {
    const answer = await this.#ask("Pop", array(channel));
    switch (answer[0]) {
      case PopAnswer.popped:
        return Buffer.from(new PayloadReader(answer.subarray(1)).array());
      case PopAnswer.empty:
        return undefined;
      case PopAnswer.hasSubscribers:
        throw new StatusError(Status.NotSupported);
      default:
        throw new StatusError(Status.Error);
    }
  }

  /**
   * Begins to consume, as one of the consumers of `subscriber` if it is named: each subscriber gets every record, its consumers
   * share them. Resolves once the node agreed. The iteration ends when the channel is removed.
   */
  async consume(channel: string, subscriber = ""): Promise<AsyncGenerator<Buffer>> {
    const payload = [array(channel), array(subscriber)];
    const { id, queue } = await this.wire.begin(QueueCode.Consume, queueVersions.Consume, ...payload);
    const [answer] = await queue.take();
    if (answer === ConsumeMessage.started) return this.#records(id, () => queue.take());
    this.wire.release(id);
    throw new StatusError(Status.Error);
  }

  async *#records(id: bigint, next: () => Promise<Uint8Array>): AsyncGenerator<Buffer> {
    const tell = (control: number) => this.wire.tell(id, Uint8Array.of(control));
    let hasEnded = false;
    try {
      for (;;) {
        const reader = new PayloadReader(await next());
        if (reader.u8() !== ConsumeMessage.records) {
          hasEnded = true;
          return;
        }
        for (const batch = new PayloadReader(reader.array()); !batch.isAtEnd;)
          yield Buffer.from(batch.array());
        tell(ConsumeControl.continue);
      }
    } finally {
      if (!hasEnded && !this.isClosed) tell(ConsumeControl.stop);
      this.wire.release(id);
    }
  }
}
