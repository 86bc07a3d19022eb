/** What a worker tells of one step in one period, for tests. */
import { HISTOGRAM_BINS, type MetricsEntry } from "../../../src/streams/client/metrics.ts";

export function entryOf(
  endSecond: number,
  over: Partial<MetricsEntry> = {},
  bins: Record<number, number> = { 10: 100 },
): MetricsEntry {
  return {
    name: "orders@worker1:Check",
    category: "computation",
    worker: "worker1",
    pipeline: "orders",
    id: 1,
    histogram: Array.from({ length: HISTOGRAM_BINS }, (_, bin) => bins[bin] ?? 0),
    minNs: 600,
    maxNs: 900,
    periodNs: 2_000_000_000,
    periodEndNs: BigInt(endSecond) * 1_000_000_000n,
    ...over,
  };
}
