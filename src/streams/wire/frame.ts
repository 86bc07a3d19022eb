/**
 * Framed TCP, what sources and sinks of the original speak:
 *
 *   offset  size
 *        0     4  length of the body, big-endian
 *        4     n  body
 *
 * Invariant: a body is handed out only when it is whole, in order and once; a length beyond the limit is refused before
 * anything is allocated for it. Whole frames of a chunk are not copied: only one that is spread over chunks is.
 */
import { getU32, putU32, WireError } from "./bytes.ts";

export const FRAME_HEADER_BYTES = 4;
/** What the original's sources take at most, and what ours take unless told otherwise. */
export const FRAME_BODY_BYTES_DEFAULT = 16_384;

/**
 * One body: `bytes` from `start` to `end`, valid during the call; its header stands in the four bytes before. Returning
 * false stops the reader: the rest of the chunk is dropped.
 */
export type OnFrame = (bytes: Uint8Array, start: number, end: number) => boolean | void;

/** The frame around a body. */
export function frameOf(body: Uint8Array): Uint8Array<ArrayBuffer> {
  const frame = new Uint8Array(FRAME_HEADER_BYTES + body.byteLength);
  putU32(frame, 0, body.byteLength);
  frame.set(body, FRAME_HEADER_BYTES);
  return frame;
}

/** Takes chunks as they arrive and hands out whole bodies. */
export class FrameReader {
  readonly #bodyBytesMax: () => number;
  /** A frame whose rest has not arrived, header included. */
  #kept = new Uint8Array(0);
  #keptLength = 0;

  /** `bodyBytesMax` is read at each frame, so that a handshake or a reload can change it. */
  constructor(bodyBytesMax: () => number = () => FRAME_BODY_BYTES_DEFAULT) {
    this.#bodyBytesMax = bodyBytesMax;
  }

  /** Bytes of an unfinished frame: not zero at the end of a stream means that it was torn. */
  get waitingBytes(): number {
    return this.#keptLength;
  }

  /** Forgets an unfinished frame. */
  reset(): void {
    this.#keptLength = 0;
  }

  /**
   * Returns how many bytes of the chunk were used: all of them unless `onFrame` stopped it. Throws WireError for a length
   * beyond the limit; the reader is then of no more use.
   */
  feed(chunk: Uint8Array, onFrame: OnFrame): number {
    let at = 0;
    if (this.#keptLength > 0) {
      at = this.#complete(chunk);
      if (this.#keptLength > 0) return at;
      const end = FRAME_HEADER_BYTES + getU32(this.#kept, 0);
      const isStopped = onFrame(this.#kept, FRAME_HEADER_BYTES, end) === false;
      if (this.#kept.byteLength > KEEP_BYTES_MAX) this.#kept = new Uint8Array(0);
      if (isStopped) return at;
    }
    const length = chunk.byteLength;
    while (length - at >= FRAME_HEADER_BYTES) {
      const start = at + FRAME_HEADER_BYTES;
      const end = start + this.#checked(getU32(chunk, at));
      if (end > length) break;
      at = end;
      if (onFrame(chunk, start, end) === false) return at;
    }
    if (at < length) this.#keep(chunk, at, length);
    return length;
  }

  /** Takes what is missing of the kept frame; whole, it stands in `#kept`, and `#keptLength` is 0. Returns what it took. */
  #complete(chunk: Uint8Array): number {
    let at = 0;
    if (this.#keptLength < FRAME_HEADER_BYTES) {
      at = Math.min(FRAME_HEADER_BYTES - this.#keptLength, chunk.byteLength);
      this.#keep(chunk, 0, at);
      if (this.#keptLength < FRAME_HEADER_BYTES) return at;
    }
    const end = FRAME_HEADER_BYTES + this.#checked(getU32(this.#kept, 0));
    const taken = Math.min(end - this.#keptLength, chunk.byteLength - at);
    this.#keep(chunk, at, at + taken);
    if (this.#keptLength === end) this.#keptLength = 0;
    return at + taken;
  }

  #checked(length: number): number {
    const limit = this.#bodyBytesMax();
    if (length > limit) throw new WireError(`a frame of ${length} bytes is announced, ${limit} are allowed`);
    return length;
  }

  #keep(chunk: Uint8Array, start: number, end: number): void {
    const needed = this.#keptLength + end - start;
    if (needed > this.#kept.byteLength) {
      const larger = new Uint8Array(Math.max(needed, 2 * this.#kept.byteLength, 256));
      larger.set(this.#kept.subarray(0, this.#keptLength));
      this.#kept = larger;
    }
    this.#kept.set(
      start === 0 && end === chunk.byteLength ? chunk : chunk.subarray(start, end),
      this.#keptLength,
    );
    this.#keptLength = needed;
  }
}

/** A buffer up to this size is kept between frames. */
const KEEP_BYTES_MAX = 64 * 1024;
