/**
 * The bytes of one connection that the kernel has not taken yet: bounded, in order, nothing lost.
 *
 * Invariant: bytes leave in the order of `send`, each exactly once, and at most `bytesMax` wait. A connection whose
 * peer does not read is closed once it is over that bound, so one slow client cannot take the memory of the others.
 * The common case (the kernel takes everything at once) copies and allocates nothing.
 * A crash drops what waits: the peer sees a closed connection.
 */
import type { Socket } from "../seams/net.ts";
import { GrowingBuffer } from "./growing-buffer.ts";
import type { SpareBuffers } from "./spare-buffers.ts";

export interface OutboxOptions {
  /** More waiting bytes than this close the connection. */
  bytesMax: number;
  /** Where larger buffers come from; absent: each is made anew. */
  spares?: SpareBuffers;
  /**
   * How many of more than 64 KiB may be handed to the kernel for the moment, 0 for none; for the rest `onPart` asks for a call
   * of `drain`. Absent: all.
   */
  partOf?: (bytes: number) => number;
  onPart?: () => void;
  /** Past this many waiting bytes `onHigh` is called, then `onLow` once half of them have left. */
  highBytes?: number;
  /** The producer had better pause its source. */
  onHigh?: () => void;
  onLow?: () => void;
  /** Told when waiting bytes fell to zero again. */
  onDrained?: () => void;
  /** Told before the connection is closed because of `bytesMax`. */
  onOverflow?: (waitingBytes: number) => void;
}

/** Up to this many go to the kernel whole. */
const WHOLE_BYTES_MAX = 64 * 1024;

export class Outbox {
  readonly #socket: Socket;
  readonly #options: OutboxOptions;
  readonly #waiting: GrowingBuffer;
  #start = 0;
  #end = 0;
  #isEnding = false;
  #isClosed = false;
  #isHigh = false;
  #takenBytes = 0;
  #hasPart = false;

  constructor(socket: Socket, options: OutboxOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#waiting = new GrowingBuffer(options.spares, options.bytesMax);
  }

  /** Bytes that wait for the kernel. */
  get length(): number {
    return this.#end - this.#start;
  }

  /** Bytes that the kernel took after they had waited: while bytes wait, a figure that stands still means a stalled peer. */
  get takenBytes(): number {
    return this.#takenBytes;
  }

  /** The kernel would take more: `drain` may be called although the socket does not ask for it. */
  get hasPart(): boolean {
    return this.#hasPart;
  }

  /** Hands over `bytes`, which may be reused afterwards. Ignored once the connection is ending or gone. */
  send(bytes: Uint8Array): void {
    if (this.#isClosed || this.#isEnding || bytes.byteLength === 0) return;
    if (this.#start !== this.#end) {
      this.#keep(bytes);
      return;
    }
    const taken = this.#write(bytes);
    if (taken < 0) this.close();
    else if (taken < bytes.byteLength) this.#keep(taken === 0 ? bytes : bytes.subarray(taken));
    if (this.#hasPart) this.#options.onPart?.();
  }

  /** To be called from the socket's `drain`. */
  drain(): void {
    if (this.#isClosed || this.#start === this.#end) return;
    const taken = this.#write(this.#waiting.bytes.subarray(this.#start, this.#end));
    if (taken < 0) {
      this.close();
      return;
    }
    this.#start += taken;
    this.#takenBytes += taken;
    const isDrained = this.#start === this.#end;
    if (isDrained) {
      this.#start = this.#end = 0;
      this.#waiting.clear();
    }
    if (this.#isHigh && this.length <= this.#highBytes / 2) {
      this.#isHigh = false;
      this.#options.onLow?.();
    }
    if (this.#hasPart) this.#options.onPart?.();
    if (!isDrained) return;
    if (this.#isEnding) this.#socket.end();
    else this.#options.onDrained?.();
  }

  /** Closes the connection once everything was sent. */
  end(): void {
    if (this.#isClosed || this.#isEnding) return;
    this.#isEnding = true;
    if (this.#start === this.#end) this.#socket.end();
  }

  /** To be called when the connection is gone: drops what waits. */
  close(): void {
    this.#isClosed = true;
    this.#hasPart = false;
    this.#waiting.close();
    this.#start = this.#end = 0;
  }

  get #highBytes(): number {
    return this.#options.highBytes ?? Number.POSITIVE_INFINITY;
  }

  /** One part. */
  #write(bytes: Uint8Array): number {
    if (bytes.byteLength <= WHOLE_BYTES_MAX) {
      this.#hasPart = false;
      return this.#socket.write(bytes);
    }
    const partBytes = this.#options.partOf?.(bytes.byteLength) ?? bytes.byteLength;
    const part = partBytes < bytes.byteLength ? bytes.subarray(0, partBytes) : bytes;
    const taken = partBytes === 0 ? 0 : this.#socket.write(part);
    this.#hasPart = taken === part.byteLength && part.byteLength < bytes.byteLength;
    return taken;
  }

  #keep(bytes: Uint8Array): void {
    const length = this.length + bytes.byteLength;
    if (length > this.#options.bytesMax) {
      this.#options.onOverflow?.(length);
      this.close();
      this.#socket.terminate();
      return;
    }
    if (this.#end + bytes.byteLength > this.#waiting.bytes.byteLength) {
      this.#waiting.makeRoom(length, this.#start, this.#end);
      this.#end -= this.#start;
      this.#start = 0;
    }
    this.#waiting.bytes.set(bytes, this.#end);
    this.#end += bytes.byteLength;
    if (length <= this.#highBytes || this.#isHigh) return;
    this.#isHigh = true;
    this.#options.onHigh?.();
  }
}
