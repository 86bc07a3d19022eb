/**
 * How long records took, in bins of powers of two nanoseconds: what the metrics protocol sends and `/stats` shows.
 *
 * Times are taken for runs of records, not for each: a record counts as long as its run.
 */
import { binOf, HISTOGRAM_BINS } from "../wire/metrics.ts";

export class LatencyHistogram {
  readonly bins = new Array<number>(HISTOGRAM_BINS).fill(0);
  count = 0;
  minNs = Number.POSITIVE_INFINITY;
  maxNs = 0;

  record(count: number, durationMs: number): void {
    if (count === 0) return;
    const ns = Math.max(0, Math.round(durationMs * 1e6));
    const bin = binOf(ns);
    this.bins[bin] = (this.bins[bin] as number) + count;
    this.count += count;
    if (ns < this.minNs) this.minNs = ns;
    if (ns > this.maxNs) this.maxNs = ns;
  }

  /** Upper limit of the bin in which the percentile falls, in nanoseconds. */
  percentileNs(percent: number): number {
    let left = Math.ceil((this.count * percent) / 100);
    for (const [bin, count] of this.bins.entries()) {
      left -= count;
      if (left <= 0) return this.count === 0 ? 0 : 2 ** bin - 1;
    }
    return this.maxNs;
  }

  /** The five that the metrics pages show, in nanoseconds. */
  get percentiles(): Record<string, number> {
    return Object.fromEntries([50, 95, 99, 99.9, 99.99].map((p) => [`p${p}`, this.percentileNs(p)]));
  }

  clear(): void {
    this.bins.fill(0);
    this.count = 0;
    this.minNs = Number.POSITIVE_INFINITY;
    this.maxNs = 0;
  }
}
