/**
 * Replies over time, in slices of equal length.
 *
 * Invariant: the slices add up to every reply counted, and there are at most `slicesMax` of them: when a run outgrows
 * that, neighbours are merged and a slice becomes twice as long. Memory does not grow with the length of a run.
 */

export interface TimelinePoint {
  /** Start of the slice, seconds since the run began. */
  atSeconds: number;
  requestsPerSecond: number;
}

export class Timeline {
  readonly #startMs: number;
  readonly #slicesMax: number;
  #sliceMs: number;
  #counts: number[] = [];

  constructor(startMs: number, sliceMs = 100, slicesMax = 600) {
    this.#startMs = startMs;
    this.#sliceMs = sliceMs;
    this.#slicesMax = slicesMax;
  }

  count(replies: number, nowMs: number): void {
    const elapsedMs = Math.max(0, nowMs - this.#startMs);
    while (Math.floor(elapsedMs / this.#sliceMs) >= this.#slicesMax) this.#merge();
    const slice = Math.floor(elapsedMs / this.#sliceMs);
    while (this.#counts.length <= slice) this.#counts.push(0);
    this.#counts[slice] = (this.#counts[slice] ?? 0) + replies;
  }

  get total(): number {
    return this.#counts.reduce((sum, count) => sum + count, 0);
  }

  /** One point a slice; the last slice counts only as far as the run went. */
  points(endMs: number): TimelinePoint[] {
    return this.#counts.map((count, slice) => {
      const fromMs = this.#startMs + slice * this.#sliceMs;
      const lengthMs = Math.min(this.#sliceMs, Math.max(1, endMs - fromMs));
      return { atSeconds: (fromMs - this.#startMs) / 1000, requestsPerSecond: (count * 1000) / lengthMs };
    });
  }

  #merge(): void {
    const merged: number[] = [];
    this.#counts.forEach((count, slice) => (merged[slice >> 1] = (merged[slice >> 1] ?? 0) + count));
    this.#counts = merged;
    this.#sliceMs *= 2;
  }
}
