/**
 * Large buffers of connections, kept for the next one that needs one: fresh memory costs several times what is then
 * copied into it, because the kernel brings and clears it page by page, and its end has the runtime collect garbage.
 *
 * Invariant: a buffer belongs to one taker until it is given back, and at most `keptBytesMax` are kept. What stands in
 * one is whatever its last owner wrote. Lives in memory only.
 */
export class SpareBuffers {
  readonly #keptBytesMax: number;
  #keptBytes = 0;
  /** By size, a power of two; the last was used last, so the processor's caches may still have it. */
  readonly #kept = new Map<number, Uint8Array[]>();

  constructor(keptBytesMax: number) {
    this.#keptBytesMax = keptBytesMax;
  }

  get keptBytes(): number {
    return this.#keptBytes;
  }

  /** At least that long. */
  take(bytesMin: number): Uint8Array {
    const bytes = 2 ** Math.ceil(Math.log2(Math.max(1, bytesMin)));
    const spare = this.#kept.get(bytes)?.pop();
    if (spare === undefined) return new Uint8Array(bytes);
    this.#keptBytes -= bytes;
    return spare;
  }

  /** Of `take`, and not to be used any more. */
  giveBack(buffer: Uint8Array): void {
    const { byteLength } = buffer;
    if (this.#keptBytes + byteLength > this.#keptBytesMax) return;
    this.#keptBytes += byteLength;
    const kept = this.#kept.get(byteLength);
    if (kept === undefined) this.#kept.set(byteLength, [buffer]);
    else kept.push(buffer);
  }
}
