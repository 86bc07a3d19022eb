/**
 * The last quarter of an hour of every series, as fine as it was asked for. Memory only.
 *
 * A ring: all series share the moments, and a series that has no value at one of them has a gap there.
 */
import type { Row } from "./row.ts";

export const LIVE_POINTS = 900;

export class LivePoints {
  readonly #atMs = new Float64Array(LIVE_POINTS).fill(Number.NaN);
  readonly #series = new Map<number, Float32Array>();
  #next = 0;
  #count = 0;

  add(atMs: number, row: Row): void {
    this.#atMs[this.#next] = atMs;
    for (const values of this.#series.values()) values[this.#next] = Number.NaN;
    for (const [number, { mean }] of row) {
      let values = this.#series.get(number);
      if (values === undefined) {
        values = new Float32Array(LIVE_POINTS).fill(Number.NaN);
        this.#series.set(number, values);
      }
      values[this.#next] = mean;
    }
    this.#next = (this.#next + 1) % LIVE_POINTS;
    this.#count = Math.min(this.#count + 1, LIVE_POINTS);
  }

  /** Forgets series that have had no value for the whole ring. */
  forgetSilent(): void {
    for (const [number, values] of this.#series) if (values.every(Number.isNaN)) this.#series.delete(number);
  }

  get oldestMs(): number | undefined {
    if (this.#count === 0) return undefined;
    return this.#atMs[(this.#next - this.#count + LIVE_POINTS) % LIVE_POINTS];
  }

  /** Moments and values of a series, oldest first; null where it had none. */
  *read(number: number, fromMs: number, toMs: number): Generator<[atMs: number, value: number | null]> {
    const values = this.#series.get(number);
    if (values === undefined) return;
    for (let back = this.#count; back > 0; back--) {
      const index = (this.#next - back + LIVE_POINTS) % LIVE_POINTS;
      const atMs = this.#atMs[index] as number;
      if (atMs < fromMs || atMs > toMs) continue;
      const value = values[index] as number;
      yield [atMs, Number.isNaN(value) ? null : value];
    }
  }
}
