/**
 * Sending with the connector protocol (wire/connector.ts): a record counts as arrived once the worker says that a
 * checkpoint holds it, and is sent again until then.
 *
 * The stream's position is the number of records that are acknowledged; message id n is the n-th record, from 1.
 *
 * Invariant: `settled` only grows by what a worker acknowledged. After a crash of the worker the stream goes on behind the
 * position that the worker names; after a crash of the sender likewise, so neither keeps anything on disk.
 */
import { createHash } from "node:crypto";
import { ByteWriter } from "../wire/bytes.ts";
import {
  CONNECTOR_VERSION,
  readConnectorFrame,
  writeConnectorFrame,
  type ConnectorFrame,
  type StreamPosition,
} from "../wire/connector.ts";
import { FrameReader } from "../wire/frame.ts";
import { parseAddress } from "../../core/config/group-file.ts";
import { Line, type LineOptions } from "./line.ts";

export interface AckedLineOptions extends LineOptions {
  cookie: string;
  /** Names this sender to the worker. */
  instance: string;
}

const REPLY_BYTES_MAX = 1024 * 1024;
const NO_KEY = new Uint8Array(0);
const NS_PER_MS = 1_000_000n;

/** The same name is the same stream, whichever process sends it. */
export function streamIdOf(name: string): bigint {
  return createHash("sha256").update(name).digest().readBigUInt64BE(0);
}

export class AckedLine extends Line {
  readonly #streamId: bigint;
  readonly #own: AckedLineOptions;
  #reader = new FrameReader(() => REPLY_BYTES_MAX);
  #payload = new ByteWriter(256);
  #credits = 0;
  #isOpen = false;
  #hasEnded = false;
  #eventTimeNs = 0n;

  constructor(options: AckedLineOptions) {
    super(options);
    this.#own = options;
    this.#streamId = streamIdOf(options.name);
  }

  protected opened(): void {
    this.#reader = new FrameReader(() => REPLY_BYTES_MAX);
    const { cookie, instance } = this.#own;
    this.#control({ type: "hello", version: CONNECTOR_VERSION, cookie, program: "node-x sender", instance });
  }

  protected closed(): void {
    this.#isOpen = false;
    this.#hasEnded = false;
    this.#credits = 0;
  }

  protected received(chunk: Uint8Array): void {
    this.#reader.feed(chunk, (bytes, start, end) => {
      this.#frame(readConnectorFrame(bytes, start, end));
      return this.outbox !== undefined;
    });
  }

  #frame(frame: ConnectorFrame): void {
    switch (frame.type) {
      case "ok":
        this.#credits = frame.credits;
        this.#credits--;
        this.#control({
          type: "notify",
          streamId: this.#streamId,
          name: this.#own.name,
          position: this.settled,
        });
        return;
      case "notifyAck":
        this.#begin(frame.isAccepted, frame);
        return;
      case "ack":
        this.#credits += frame.credits;
        for (const position of frame.positions) this.#acknowledged(position);
        this.pump();
        return;
      case "restart":
        this.#restart(frame.address);
        return;
      case "error":
        this.fail(`the worker says: ${frame.text}`);
        return;
      default:
        this.fail(`a worker does not send ${frame.type}`);
    }
  }

  #begin(isAccepted: boolean, { streamId, position = 0 }: StreamPosition): void {
    if (streamId !== this.#streamId) return this.fail("another stream is answered than was asked for");
    if (!isAccepted) return this.fail("another connection owns this stream");
    const { records } = this.options.feed;
    if (position > records) return this.fail(`the worker has ${position} records of a stream of ${records}`);
    this.rewind(position);
    this.settle(position);
    this.#isOpen = true;
    this.pump();
  }

  #acknowledged({ streamId, position }: StreamPosition): void {
    if (streamId !== this.#streamId || position === undefined || !this.#isOpen) return;
    if (position > this.next) return this.fail(`record ${position} is acknowledged, ${this.next} were sent`);
    this.settle(position);
    if (position === this.options.feed.records) this.finish();
  }

  #restart(address: string): void {
    const other = address === "" ? this.options.address : parseAddress(address);
    if (typeof other !== "string") this.address = other;
    this.fail("the worker asks for a new connection");
  }

  protected room(): number {
    return this.#isOpen ? Math.max(0, this.#credits) : 0;
  }

  protected writeRecord(index: number): void {
    this.#credits--;
    if (index === this.next) this.#eventTimeNs = BigInt(this.options.world.clock.nowMs()) * NS_PER_MS;
    this.#payload.clear();
    this.options.feed.write(this.#payload, index);
    writeConnectorFrame(this.writer, {
      type: "message",
      streamId: this.#streamId,
      messageId: index + 1,
      eventTimeNs: this.#eventTimeNs,
      key: NO_KEY,
      payload: this.#payload.done(),
    });
  }

  protected exhausted(): void {
    if (this.settled === this.options.feed.records) return this.finish();
    if (this.#hasEnded || !this.#isOpen || this.#credits <= 0) return;
    this.#hasEnded = true;
    this.#credits--;
    this.#control({ type: "endOfStream", streamId: this.#streamId });
  }

  protected drained(): void {}

  #control(frame: ConnectorFrame): void {
    this.writer.clear();
    writeConnectorFrame(this.writer, frame);
    this.transmit();
  }
}
