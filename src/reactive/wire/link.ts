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
import { type Clock, oncePerTurn } from "../../core/seams/clock.ts";
import type { Socket } from "../../core/seams/net.ts";
import { Outbox, type OutboxOptions } from "../../core/sockets/outbox.ts";
import { type ByteWriter, WireError } from "./bytes.ts";
import { FRAME_HEADER_BYTES, FrameReader, FrameType } from "./frame.ts";
import { FrameBuffer } from "./frame-buffer.ts";
import { writeFailure } from "./handshake.ts";

export class Link {
  readonly socket: Socket;
  readonly outbox: Outbox;
  readonly #reader: FrameReader;
  isClosed = false;
  /** Frames that leave at the end of this turn of the event loop. */
  readonly #frames = new FrameBuffer();
  readonly #flushAtEndOfTurn: () => void;

  constructor(
    clock: Pick<Clock, "endOfTurn">,
    socket: Socket,
    payloadBytesMax: () => number,
    options: OutboxOptions,
  ) {
    this.socket = socket;
    this.outbox = new Outbox(socket, options);
    this.#reader = new FrameReader(crc32c, payloadBytesMax);
    this.#flushAtEndOfTurn = oncePerTurn(clock, () => this.#flush());
  }

  send(type: number, write: (writer: ByteWriter) => void): void {
    if (this.isClosed) return;
    this.#frames.begin();
    write(this.#frames);
    this.#frames.seal(type);
    this.#flushAtEndOfTurn();
  }

  /** A frame whose payload was written behind `FRAME_HEADER_BYTES` of free space. */
  sendFrame(type: number, frame: Uint8Array): void {
    if (this.isClosed) return;
    this.#frames.begin();
    this.#frames.raw(frame.subarray(FRAME_HEADER_BYTES));
    this.#frames.seal(type);
    this.#flushAtEndOfTurn();
  }

  #flush(): void {
    if (!this.#frames.isEmpty) this.outbox.send(this.#frames.take());
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
    this.#frames.take();
    this.outbox.close();
    this.socket.terminate();
  }
}
