/**
 * Latencies of one kind of request, kept at three significant digits whatever their size.
 *
 * A thin layer over the runtime's HDR histogram, which counts in whole nanoseconds and refuses zero: values are
 * clamped to 1 ns … 1 h before they reach it. Invariant: `count` is the number of `record` calls, so that figures
 * of a run can be checked against its requests.
 */
import { createHistogram, type RecordableHistogram } from "node:perf_hooks";

const NS_PER_MS = 1_000_000;
const LOWEST_NS = 1;
const HIGHEST_NS = 3_600_000 * NS_PER_MS;
const SIGNIFICANT_DIGITS = 3;

/** All values in milliseconds. All zero when nothing was recorded. */
export interface LatencySummary {
  count: number;
  minMs: number;
  meanMs: number;
  p50Ms: number;
  p90Ms: number;
  p99Ms: number;
  p999Ms: number;
  maxMs: number;
}

/** `percentile` percent of the requests took at most `latencyMs`. */
export interface PercentilePoint {
  percentile: number;
  latencyMs: number;
}

export class LatencyHistogram {
  readonly #histogram: RecordableHistogram = createHistogram({
    lowest: LOWEST_NS,
    highest: HIGHEST_NS,
    figures: SIGNIFICANT_DIGITS,
  });

  record(latencyMs: number): void {
    const ns = Math.round(latencyMs * NS_PER_MS);
    this.#histogram.record(ns < LOWEST_NS ? LOWEST_NS : ns > HIGHEST_NS ? HIGHEST_NS : ns);
  }

  get count(): number {
    return this.#histogram.count;
  }

  /** The latency that `percentile` (0 < percentile ≤ 100) percent of the requests did not exceed. */
  percentileMs(percentile: number): number {
    if (this.count === 0) return 0;
    // The histogram answers with the upper end of a range of values, which may lie above the largest one.
    return Math.min(this.#histogram.percentile(percentile), this.#histogram.max) / NS_PER_MS;
  }

  add(other: LatencyHistogram): void {
    if (other.count > 0) this.#histogram.add(other.#histogram);
  }

  summary(): LatencySummary {
    const isEmpty = this.count === 0;
    return {
      count: this.count,
      minMs: isEmpty ? 0 : this.#histogram.min / NS_PER_MS,
      meanMs: isEmpty ? 0 : this.#histogram.mean / NS_PER_MS,
      p50Ms: this.percentileMs(50),
      p90Ms: this.percentileMs(90),
      p99Ms: this.percentileMs(99),
      p999Ms: this.percentileMs(99.9),
      maxMs: isEmpty ? 0 : this.#histogram.max / NS_PER_MS,
    };
  }

  /**
   * Points of the latency curve, denser towards 100 %: ten for each halving of what is left above, down to the
   * share of a single request. The last point is the maximum. Empty when nothing was recorded.
   */
  curve(): PercentilePoint[] {
    const { count } = this;
    if (count === 0) return [];
    const points: PercentilePoint[] = [];
    const halvings = Math.ceil(Math.log2(count));
    for (let step = 0; step < halvings * POINTS_PER_HALVING; step++) {
      const percentile = 100 * (1 - 2 ** -(step / POINTS_PER_HALVING));
      if (percentile > 0) points.push({ percentile, latencyMs: this.percentileMs(percentile) });
    }
    points.push({ percentile: 100, latencyMs: this.#histogram.max / NS_PER_MS });
    return points;
  }
}

const POINTS_PER_HALVING = 10;
