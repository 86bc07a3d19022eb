/**
 * Frames that leave together, written one behind the other into one buffer: most are shorter than an array that was made for
 * each of them.
 *
 * Invariant: what is taken are whole frames, in the order in which they were written. One whose writing was broken off is not there.
 */
import { crc32c } from "../../native/crc32c.ts";
import { ByteWriter } from "./bytes.ts";
import { FRAME_HEADER_BYTES, sealFrame } from "./frame.ts";

/** A buffer up to this size is kept between turns. */
const KEPT_BYTES_MAX = 64 * 1024;

export class FrameBuffer extends ByteWriter {
  /** Where the last whole frame ends. */
  #sealed = 0;

  constructor() {
    super(0);
  }

  get isEmpty(): boolean {
    return this.#sealed === 0;
  }

  /** The payload is to be written behind this. */
  begin(): void {
    this.end = this.#sealed;
    this.room(FRAME_HEADER_BYTES);
  }

  /** The payload is written. */
  seal(type: number): void {
    sealFrame(this.buffer, type, crc32c, this.#sealed, this.end);
    this.#sealed = this.end;
  }

  /** All of them: valid until the next one is written. */
  take(): Uint8Array {
    const frames = this.buffer.subarray(0, this.#sealed);
    if (this.buffer.byteLength > KEPT_BYTES_MAX) this.buffer = new Uint8Array(0);
    this.#sealed = 0;
    return frames;
  }
}
