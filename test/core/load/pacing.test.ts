import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Budget, closedLoop, openLoop } from "../../../src/core/load/pacing.ts";

describe("the open loop", () => {
  test("is due at equal distances, the first at once", () => {
    const pacing = openLoop(1000, 500);
    expect([499, 500, 500.5, 501, 510].map((nowMs) => pacing.allowance(nowMs))).toEqual([0, 1, 1, 2, 11]);
    expect(pacing.take(510)).toBe(500);
    expect(pacing.take(510)).toBe(501);
    expect(pacing.waitMs(501.25)).toBeCloseTo(0.75);
    expect(pacing.waitMs(600)).toBe(0);
  });

  test("keeps due times when the server stalls, so that waiting counts as latency", () => {
    const pacing = openLoop(100, 0);
    pacing.take(0);
    // Nothing could be sent for a second: a hundred requests are late, the oldest by 990 ms.
    expect(pacing.allowance(1000)).toBe(100);
    const latencies = Array.from({ length: 100 }, () => 1000 - pacing.take(1000));
    expect(latencies[0]).toBeCloseTo(990);
    expect(latencies.at(-1)).toBeCloseTo(0);
  });

  test("allows rate times time, however it is asked", () => {
    const rate = fc.integer({ min: 1, max: 1_000_000 });
    const steps = fc.array(fc.integer({ min: 0, max: 200 }), { minLength: 1, maxLength: 30 });
    fc.assert(
      fc.property(rate, steps, (perSecond, waits) => {
        const pacing = openLoop(perSecond, 0);
        let [nowMs, taken] = [0, 0];
        for (const waitMs of waits) {
          nowMs += waitMs;
          const due = Math.min(pacing.allowance(nowMs), 1000);
          for (let request = 0; request < due; request++) {
            expect(pacing.take(nowMs)).toBeLessThanOrEqual(nowMs + 1e-6);
            taken += 1;
          }
          expect(pacing.allowance(nowMs) + taken).toBe(Math.floor((nowMs * perSecond) / 1000) + 1);
        }
      }),
    );
  });
});

test("the closed loop counts from the moment of sending and never waits", () => {
  expect(closedLoop.take(17.5)).toBe(17.5);
  expect(closedLoop.waitMs(3)).toBe(0);
  expect(closedLoop.allowance(0)).toBe(Number.POSITIVE_INFINITY);
});

describe("the budget", () => {
  test("grants exactly as many requests as it has", () => {
    const wanted = fc.array(fc.integer({ min: 0, max: 50 }), { maxLength: 60 });
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 500 }), wanted, (requests, wants) => {
        const budget = new Budget(requests, Number.POSITIVE_INFINITY);
        const granted = wants.reduce((sum, want) => sum + budget.take(want, 0), 0);
        expect(granted).toBe(
          Math.min(
            requests,
            wants.reduce((sum, want) => sum + want, 0),
          ),
        );
        expect(budget.isSpent(0)).toBe(granted === requests);
      }),
    );
  });

  test("grants nothing after its end in time, nor once stopped", () => {
    const timed = new Budget(Number.POSITIVE_INFINITY, 100);
    expect(timed.take(5, 99.9)).toBe(5);
    expect(timed.take(5, 100)).toBe(0);
    expect(timed.isSpent(100)).toBe(true);
    const stopped = new Budget(10, Number.POSITIVE_INFINITY);
    stopped.stop();
    expect(stopped.take(1, 0)).toBe(0);
  });
});
