/**
 * One framed connection, whichever side opened it: frames in, frames out.
 *
 * Invariant: a frame goes out whole and in order or the connection ends; what arrives is handed out only whole and
 * checked. Bytes that wait for a slow peer are bounded by the outbox.
 *
 * Frames that are sent in one turn of the event loop leave with one system call: that call is the dearest part of a short
 * answer, and a frontend has many under way on one connection.
 */
import { crc32c } from "../../native/crc32c.ts";
import type { Clock } from "../../core/seams/clock.ts";
import type { Socket } from "../../core/seams/net.ts";
import { Outbox, type OutboxOptions } from "../../core/sockets/outbox.ts";
import { ByteWriter, WireError } from "./bytes.ts";
import { FRAME_HEADER_BYTES, FrameReader, FrameType, sealFrame } from "./frame.ts";
import { writeFailure } from "./handshake.ts";

/** A buffer up to this size is kept between turns. */
const KEPT_BYTES_MAX = 64 * 1024;

export class Link {
  readonly socket: Socket;
  readonly outbox: Outbox;
  readonly #reader: FrameReader;
  isClosed = false;
  /** Frames that leave at the end of this turn of the event loop. */
  #gathered: Uint8Array[] = [];
  /** Where they are put together. */
  #joined = new Uint8Array(0);

  readonly #clock: Pick<Clock, "endOfTurn">;

  constructor(
    clock: Pick<Clock, "endOfTurn">,
    socket: Socket,
    payloadBytesMax: () => number,
    options: OutboxOptions,
  ) {
    this.#clock = clock;
    this.socket = socket;
    this.outbox = new Outbox(socket, options);
    this.#reader = new FrameReader(crc32c, payloadBytesMax);
  }

  /** A frame whose payload was written behind `newFrame()`'s free space. */
  sendFrame(type: number, frame: Uint8Array): void {
    if (this.isClosed) return;
    this.#gathered.push(sealFrame(frame, type, crc32c));
    if (this.#gathered.length === 1) this.#clock.endOfTurn(() => this.#flush());
  }

  #flush(): void {
    const frames = this.#gathered;
    if (frames.length === 0) return;
    this.#gathered = [];
    this.outbox.send(frames.length === 1 ? (frames[0] as Uint8Array) : this.#join(frames));
  }

  /** One behind the other; valid until the next call. */
  #join(frames: readonly Uint8Array[]): Uint8Array {
    const length = frames.reduce((sum, { byteLength }) => sum + byteLength, 0);
    if (length > KEPT_BYTES_MAX) return Buffer.concat(frames, length);
    if (length > this.#joined.byteLength) this.#joined = new Uint8Array(Math.min(2 * length, KEPT_BYTES_MAX));
    let at = 0;
    for (const frame of frames) {
      this.#joined.set(frame, at);
      at += frame.byteLength;
    }
    return this.#joined.subarray(0, at);
  }

  send(type: number, write: (writer: ByteWriter) => void): void {
    const writer = newFrame();
    write(writer);
    this.sendFrame(type, writer.done());
  }

  /** Says why, then closes. */
  fail(code: number, text: string): void {
    this.send(FrameType.failure, (writer) => writeFailure(writer, { code, text }));
    this.close();
  }

  /**
   * Takes what arrived. Returns what is wrong with it, if anything: the caller then closes. Errors of `onFrame` that are
   * not WireErrors pass through.
   */
  receive(chunk: Uint8Array, onFrame: (type: number, payload: Uint8Array) => void): string | undefined {
    try {
      this.#reader.feed(chunk, (type, payload) => {
        onFrame(type, payload);
        return !this.isClosed;
      });
      return undefined;
    } catch (error) {
      if (error instanceof WireError) return error.message;
      throw error;
    }
  }

  /** Sends what waits, then closes. */
  close(): void {
    this.isClosed = true;
    this.#flush();
    this.outbox.end();
  }

  terminate(): void {
    this.isClosed = true;
    this.#gathered = [];
    this.outbox.close();
    this.socket.terminate();
  }
}

export function newFrame(capacity = 192): ByteWriter {
  return new ByteWriter(capacity, FRAME_HEADER_BYTES);
}
