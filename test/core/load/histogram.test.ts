import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { LatencyHistogram } from "../../../src/core/load/histogram.ts";

function of(latenciesMs: readonly number[]): LatencyHistogram {
  const histogram = new LatencyHistogram();
  for (const latencyMs of latenciesMs) histogram.record(latencyMs);
  return histogram;
}

describe("the latency histogram", () => {
  test("gives every percentile of a list within a thousandth", () => {
    const latency = fc.double({ min: 0.000_01, max: 100_000, noNaN: true });
    fc.assert(
      fc.property(fc.array(latency, { minLength: 1, maxLength: 300 }), (latencies) => {
        const histogram = of(latencies);
        const sorted = latencies.toSorted((one, other) => one - other);
        for (const percentile of [1, 50, 90, 99, 99.9, 100]) {
          // Where a percentile falls between two values, either is an answer.
          const rank = (percentile / 100) * sorted.length;
          const low = sorted[Math.max(0, Math.floor(rank) - 1)] as number;
          const high = sorted[Math.max(0, Math.ceil(rank) - 1)] as number;
          expect(histogram.percentileMs(percentile)).toBeGreaterThanOrEqual(low * 0.999 - 0.000_001);
          expect(histogram.percentileMs(percentile)).toBeLessThanOrEqual(high * 1.001 + 0.000_001);
        }
        expect(histogram.count).toBe(latencies.length);
      }),
    );
  });

  test("counts latencies that its range does not hold, at its ends", () => {
    const histogram = of([0, -1, 10 ** 9]);
    expect(histogram.count).toBe(3);
    expect(histogram.summary().maxMs).toBeLessThanOrEqual(3_610_000);
  });

  test("is all zeros when nothing was recorded", () => {
    const { count, minMs, meanMs, p50Ms, maxMs } = new LatencyHistogram().summary();
    expect({ count, minMs, meanMs, p50Ms, maxMs }).toEqual({
      count: 0,
      minMs: 0,
      meanMs: 0,
      p50Ms: 0,
      maxMs: 0,
    });
    expect(new LatencyHistogram().curve()).toEqual([]);
  });

  test("adds another one, an empty one too", () => {
    const histogram = of([1, 2]);
    histogram.add(of([3]));
    histogram.add(new LatencyHistogram());
    expect(histogram.summary()).toMatchObject({ count: 3 });
    expect(histogram.summary().minMs).toBeCloseTo(1, 2);
    expect(histogram.summary().maxMs).toBeCloseTo(3, 2);
  });

  test("has a curve that rises and ends at the maximum", () => {
    const curve = of(Array.from({ length: 5000 }, (_, index) => 0.1 + index / 100)).curve();
    for (const [index, point] of curve.entries()) {
      const before = curve[index - 1];
      if (before === undefined) continue;
      expect(point.percentile).toBeGreaterThan(before.percentile);
      expect(point.latencyMs).toBeGreaterThanOrEqual(before.latencyMs);
    }
    expect(curve.at(-1)).toMatchObject({ percentile: 100 });
    expect(curve.at(-1)?.latencyMs).toBeCloseTo(50.09, 0);
  });
});
