import { expect, test } from "bun:test";
import { largestGrowth } from "./flat-memory.ts";

const MINUTES = 30;
const MOMENTS = 180;

/** A saw between 100 and 160, which keeps `keptPerMinute` more for good. */
function saw(keptPerMinute: number, teeth: number) {
  return Array.from({ length: MOMENTS }, (_, index) => {
    const at = index / MOMENTS;
    return new Map([
      ["flat", 100],
      ["saw", 100 + 60 * ((at * teeth) % 1) + keptPerMinute * MINUTES * at],
    ]);
  });
}

test("memory that rises and falls is flat, wherever it is at the end", () => {
  for (let teeth = 4; teeth < 30; teeth += 0.7) {
    const moments = saw(0, teeth);
    expect({ teeth, isFlat: largestGrowth(moments).ratio < 1.05 }).toEqual({ teeth, isFlat: true });
  }
});

test("what is kept for good is found below the saw of what is not", () => {
  for (let teeth = 4; teeth < 30; teeth += 0.7) {
    const { name, ratio } = largestGrowth(saw(5, teeth));
    expect({ teeth, name, isFound: ratio > 1.2 }).toEqual({ teeth, name: "saw", isFound: true });
  }
});

test("memory is not judged by a few moments", () => {
  expect(() => largestGrowth(saw(0, 3).slice(0, 19))).toThrow("19 moments");
});
