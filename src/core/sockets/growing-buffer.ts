/**
 * A buffer that grows with what is put into it, for bytes of one connection that have to wait.
 *
 * Invariant: it is at least as long as asked for, at most doubles beyond that, and a large one is borrowed from the spares and given
 * back once. A crash drops it with its connection.
 */
import type { SpareBuffers } from "./spare-buffers.ts";

const EMPTY: Uint8Array = new Uint8Array(0);
const FIRST_BYTES = 1024;
/** Up to this size it stays with its connection for the next burst. */
const KEPT_BYTES_MAX = 64 * 1024;

export class GrowingBuffer {
  readonly #spares: SpareBuffers | undefined;
  readonly #bytesMax: number;
  #bytes = EMPTY;

  /** `spares`: where large ones come from, absent: each is made anew. `bytesMax`: nobody asks for more. */
  constructor(spares?: SpareBuffers, bytesMax = Number.POSITIVE_INFINITY) {
    this.#spares = spares;
    this.#bytesMax = bytesMax;
  }

  /** Valid until the next call of any other method. */
  get bytes(): Uint8Array {
    return this.#bytes;
  }

  /** Moves what lies from `start` to `end` to the front of a buffer that holds `length`. */
  makeRoom(length: number, start: number, end: number): void {
    if (length <= this.#bytes.byteLength) {
      this.#bytes.copyWithin(0, start, end);
      return;
    }
    const larger = this.#larger(length);
    larger.set(this.#bytes.subarray(start, end));
    this.#replace(larger);
  }

  /** Nothing of it is needed any more, for the moment. */
  clear(): void {
    if (this.#bytes.byteLength > KEPT_BYTES_MAX) this.#replace(EMPTY);
  }

  /** Nothing of it is needed any more, nor will be. */
  close(): void {
    this.#replace(EMPTY);
  }

  /** Twice as long as the one before: what grows by small pieces is not copied for each of them. */
  #larger(lengthMin: number): Uint8Array {
    const length = Math.min(this.#bytesMax, Math.max(lengthMin, 2 * this.#bytes.byteLength, FIRST_BYTES));
    if (this.#spares !== undefined && length > KEPT_BYTES_MAX) return this.#spares.take(length);
    return new Uint8Array(length);
  }

  #replace(buffer: Uint8Array): void {
    if (this.#bytes.byteLength > KEPT_BYTES_MAX) this.#spares?.giveBack(this.#bytes);
    this.#bytes = buffer;
  }
}
