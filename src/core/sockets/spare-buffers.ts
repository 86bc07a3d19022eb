/**
 * Large buffers of connections, kept for the next one that needs one: fresh memory costs several times what is then
 * copied into it, because the kernel brings and clears it page by page, and its end has the runtime collect garbage.
 *
 * Invariant: a buffer belongs to one taker until it is given back, and at most `keptBytesMax` are kept. What stands in
 * one is whatever its last owner wrote. Lives in memory only.
 */
const STEP_BYTES = 64 * 1024;
/** A longer buffer than so many times what is needed is left to others. */
const EXCESS_MAX = 2;

export class SpareBuffers {
  readonly #keptBytesMax: number;
  #keptBytes = 0;
  /** The last was used last, so the processor's caches may still have it. */
  readonly #kept: Uint8Array[] = [];

  constructor(keptBytesMax: number) {
    this.#keptBytesMax = keptBytesMax;
  }

  get keptBytes(): number {
    return this.#keptBytes;
  }

  /** At least that long. */
  take(bytesMin: number): Uint8Array {
    const bytes = Math.ceil(bytesMin / STEP_BYTES) * STEP_BYTES;
    const index = this.#kept.findLastIndex(
      ({ byteLength }) => byteLength >= bytes && byteLength <= EXCESS_MAX * bytes,
    );
    const [spare] = index < 0 ? [] : this.#kept.splice(index, 1);
    if (spare === undefined) return new Uint8Array(bytes);
    this.#keptBytes -= spare.byteLength;
    return spare;
  }

  /** Of `take`, and not to be used any more. */
  giveBack(buffer: Uint8Array): void {
    if (this.#keptBytes + buffer.byteLength > this.#keptBytesMax) return;
    this.#keptBytes += buffer.byteLength;
    this.#kept.push(buffer);
  }
}
