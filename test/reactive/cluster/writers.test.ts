/** Many writers of the same keys, simulated: nobody waits much longer than if all stood in one line, and every commit counts once. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { manyWriters, type WritersOptions } from "./writers.ts";

setDefaultTimeout(120_000);

const SEEDS = [1, 2, 3, 4];
const WRITERS = 16;
const near = { writers: WRITERS, frontends: 1, delaysMs: [0.3] };
const circle = [["a", "b"], ["b", "a", "c"], ["c"]];

test.each([
  ["of one key", near, 3],
  ["of one key, half of them far away,", { ...near, delaysMs: [0.3, 10] }, 3],
  [
    "of several keys on two shards, in any order,",
    { ...near, shards: 2, keysOf: (writer: number) => circle[writer % circle.length] as string[] },
    5,
  ],
  ["of one key at two frontends", { ...near, frontends: 2 }, 10],
] as [string, WritersOptions, number][])(
  "writers %s wait not much longer than in one line",
  (_how, options, lines) => {
    for (const seed of SEEDS) {
      const { longestWaitMs, lineMs, commits, lapsed } = manyWriters(seed, options);
      expect({ seed, isFair: longestWaitMs < lines * lineMs, longestWaitMs, lineMs, lapsed }).toEqual({
        ...{ seed, isFair: true, longestWaitMs, lineMs, lapsed: 0 },
      });
      expect(Math.min(...commits)).toBeGreaterThan(3);
    }
  },
);

test("with one frontend nobody is run a third time, wherever he is", () => {
  for (const seed of SEEDS) expect(manyWriters(seed, { ...near, delaysMs: [0.3, 10] }).attemptsMax).toBe(2);
});

test("who gives up in its turn, and tries anew, is in nobody's way", () => {
  const { longestWaitMs, lineMs, lapsed } = manyWriters(1, { ...near, quitters: 4 });
  expect(lapsed).toBe(0);
  expect(longestWaitMs).toBeLessThan(3 * lineMs);
});

test("a client that is frozen in its turn costs the others that turn once", () => {
  const { longestWaitMs, lapsed, commits } = manyWriters(1, { ...near, frozen: 1 });
  expect(lapsed).toBe(1);
  expect(longestWaitMs).toBeLessThan(2500);
  expect(Math.min(...commits.slice(1))).toBeGreaterThan(3);
});
