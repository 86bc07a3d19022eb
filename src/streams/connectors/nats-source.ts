/**
 * A JetStream stream as input, through a durable pull consumer: a message is acknowledged when a checkpoint that covers it
 * is committed, and never before.
 *
 * The position is the sequence in the stream of the last message that was fed. The consumer hands new messages out in
 * that order, but what was handed out and is not acknowledged comes again whenever the server likes, behind newer ones.
 * So after each start, roll-back and break everything between the position and what the consumer has handed out is read
 * from the stream itself (read-stream.ts), and what the consumer sends of it again is only acknowledged.
 *
 * Invariant: it feeds each message of the stream that its subject selects once behind the position, in the stream's order,
 * and only while it does not rest. At most `pending` messages are unacknowledged: then the server waits for a checkpoint.
 * A crash of the worker loses nothing: what no checkpoint covers is in the stream and comes again.
 */
import type { JsMsg } from "@nats-io/jetstream";
import { NxError } from "../../core/errors.ts";
import type { Log } from "../../core/logging/log.ts";
import type { NatsLink, NatsSession } from "../../core/nats/link.ts";
import { readStream } from "../../core/nats/read-stream.ts";
import { type Clock, sleep } from "../../core/seams/clock.ts";
import type { SourceNode } from "../plan/nodes.ts";
import type { Source, SourceHost } from "../sources/source.ts";
import { NatsConsumer, type NatsConsumerOptions } from "./nats-consumer.ts";

export interface NatsSourceOptions extends NatsConsumerOptions {
  link: NatsLink;
  clock: Clock;
  log: Log;
  /** How often the stream may seem to be shorter than the checkpoint before that is believed. */
  shortCountMax?: number;
  onFatal(error: Error): void;
}

interface Position {
  sequence: number;
  /** When the stream was made: sequences of another one mean nothing. */
  created: string;
}

const RETRY_MS = 500;
/** A server that has just become the stream's leader may not know its end yet; so many answers in a row are no such one. */
const SHORT_COUNT_MAX = 20;
/** Records go on their way at least this often, however many wait. */
const BATCH_RECORDS_MAX = 256;

export class NatsSource implements Source {
  readonly name: string;
  readonly node: SourceNode;
  readonly #host: SourceHost;
  readonly #options: NatsSourceOptions;
  readonly #consumer: NatsConsumer;
  #position: Position = { sequence: 0, created: "" };
  #isResting = true;
  #isClosed = false;
  /** Grows with each roll-back: what an earlier round reads is not fed. */
  #round = 0;
  #wake = Promise.withResolvers<void>();
  #reading: Promise<void> | undefined;
  #records = 0;
  #repeated = 0;
  #trouble = "";
  #shortCount = 0;
  #batch = 0;
  #batchStartedMs = 0;

  constructor(node: SourceNode, host: SourceHost, options: NatsSourceOptions) {
    this.name = node.name;
    this.node = node;
    this.#host = host;
    this.#options = options;
    this.#consumer = new NatsConsumer(options);
    options.link.onBreak = () => this.#consumer.interrupt();
  }

  async open(): Promise<undefined> {
    this.#reading = this.#readForEver();
  }

  go(): void {
    if (!this.#isResting) return;
    this.#isResting = false;
    this.#signal();
  }

  rest(): void {
    this.#isResting = true;
  }

  #signal(): void {
    this.#wake.resolve();
    this.#wake = Promise.withResolvers<void>();
  }

  /** True when a message of this round may be fed; waits while the source rests. */
  async #mayFeed(round: number): Promise<boolean> {
    while (this.#isResting && round === this.#round && !this.#isClosed) await this.#wake.promise;
    return round === this.#round && !this.#isClosed;
  }

  /** Never rejects. */
  async #readForEver(): Promise<void> {
    const { clock, log, onFatal } = this.#options;
    while (await this.#hasBegun()) {
      try {
        await this.#read(this.#round);
      } catch (error) {
        if (this.#isClosed) return;
        if (error instanceof NxError && error.code === "NX_JETSTREAM_REFUSED") {
          onFatal(error);
          return;
        }
        const { message } = error as Error;
        if (message !== this.#trouble) log.warn(`the source ${this.name} waits: ${message}`);
        this.#trouble = message;
        await sleep(clock, RETRY_MS);
      } finally {
        this.#endBatch();
      }
    }
  }

  /** Waits for the first `go`; false when the source is closed. */
  async #hasBegun(): Promise<boolean> {
    while (this.#isResting && !this.#isClosed) await this.#wake.promise;
    return !this.#isClosed;
  }

  /** One round, until it is over or something breaks. */
  async #read(round: number): Promise<void> {
    const session = await this.#options.link.session();
    const { created, last } = await this.#consumer.streamState(session);
    if (!(await this.#mayFeed(round))) return;
    this.#checkStream(created, last);
    const begun = await this.#consumer.bind(session, this.#position.sequence);
    await this.#readHandedOut(session, round, begun.streamSequence);
    this.#trouble = "";
    await this.#consumer.consume(session, begun, {
      mayFeed: () => this.#mayFeed(round),
      onMessage: (message, isLast) => this.#hear(message, isLast),
    });
  }

  #checkStream(created: string, last: number): void {
    const { stream } = this.#options;
    const { sequence, created: known } = this.#position;
    if (known !== "" && known !== created)
      throw new NxError("NX_JETSTREAM_REFUSED", `the stream ${stream} is not the one that the checkpoint knows: it was made anew on ${created}`, {
        hint: "begin with another data directory, or bring the old stream back",
      }); // prettier-ignore
    if (sequence > last && (this.#shortCount += 1) < (this.#options.shortCountMax ?? SHORT_COUNT_MAX))
      throw new Error(`the stream ${stream} ends at ${last}, before the checkpoint`);
    if (sequence > last)
      throw new NxError("NX_JETSTREAM_REFUSED", `the stream ${stream} ends at ${last}, and the checkpoint is at ${sequence}: the servers lost messages`, {
        hint: "what they lost is in the states; begin with another data directory to go on without it",
      }); // prettier-ignore
    this.#shortCount = 0;
    this.#position.created = created;
  }

  /** What the consumer has handed out before and is not in the position: from the stream itself, in order. */
  async #readHandedOut(session: NatsSession, round: number, upTo: number): Promise<void> {
    const { stream, subject } = this.#options;
    const range = { stream, after: this.#position.sequence, upTo, ...(subject !== undefined && { subject }) };
    for await (const { sequence, data, timeMs } of readStream(session, range)) {
      if (!(await this.#mayFeed(round))) return;
      this.#feed(sequence, data, timeMs);
      if (this.#batch >= BATCH_RECORDS_MAX) this.#endBatch();
    }
    this.#endBatch();
  }

  #hear(message: JsMsg, isLast: boolean): void {
    if (message.seq > this.#position.sequence)
      this.#feed(message.seq, message.data, Number(message.timestampNanos / 1_000_000n));
    else this.#repeated += 1;
    if (isLast || this.#batch >= BATCH_RECORDS_MAX) this.#endBatch();
  }

  #feed(sequence: number, data: Uint8Array, timeMs: number): void {
    if (this.#batch === 0) this.#batchStartedMs = this.#options.clock.monotonicMs();
    this.#batch += 1;
    this.#position.sequence = sequence;
    this.#host.feed(this.node, data, 0, data.byteLength, timeMs);
  }

  #endBatch(): void {
    if (this.#batch === 0) return;
    this.#records += this.#batch;
    this.#host.onBatchEnd(this.#batch, this.#batchStartedMs);
    this.#batch = 0;
  }

  position(): Position {
    this.#endBatch();
    return { ...this.#position };
  }

  committed(position: unknown): void {
    this.#consumer.acknowledge((position as Position).sequence);
  }

  async rollBack(position: unknown): Promise<void> {
    this.#round += 1;
    this.#batch = 0;
    this.#position = { ...((position as Position | undefined) ?? { sequence: 0, created: "" }) };
    this.#consumer.interrupt();
    this.#consumer.acknowledge(this.#position.sequence);
    this.#signal();
  }

  stats() {
    return {
      kind: "nats",
      records: this.#records,
      repeated: this.#repeated,
      sequence: this.#position.sequence,
      unacknowledged: this.#consumer.unacknowledged,
      trouble: this.#trouble || this.#options.link.trouble,
    };
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#consumer.interrupt();
    this.#signal();
    await this.#options.link.close();
    await this.#reading;
  }
}
