/** Power loss under a volume: every flushed write exists, none by half; with a guarantee taken away that turns red. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { withoutDirectorySync, withoutSync } from "./backup-harness.ts";
import { exploreBackup, exploreVolume, surviveCrashes } from "./volume-harness.ts";

setDefaultTimeout(120_000);

const histories = {
  "writes, flushes and overwrites": [
    { do: "write", block: 0, blocks: 3 },
    { do: "flush" },
    { do: "write", block: 1, blocks: 4 },
    { do: "trim", block: 2, blocks: 1 },
    { do: "write", block: 8, blocks: 2, isDurable: true },
    { do: "write", block: 0, blocks: 1 },
    { do: "flush" },
  ],
  "a log that wraps, and reaches the data file": [
    { do: "write", block: 0, blocks: 5 },
    { do: "write", block: 3, blocks: 5 },
    { do: "rest" },
    { do: "write", block: 10, blocks: 5 },
    { do: "write", block: 12, blocks: 5 },
    { do: "write", block: 0, blocks: 5 },
    { do: "flush" },
    { do: "write", block: 20, blocks: 5 },
    { do: "write", block: 2, blocks: 5 },
    { do: "rest" },
    { do: "write", block: 2, blocks: 2, isDurable: true },
  ],
} as const;

test.each(Object.entries(histories))(
  "%s: a start finds all that was flushed, and a point in time",
  (_name, history) => {
    const result = exploreVolume(history);
    console.log(`${result.points} moments, ${result.states} states`);
    expect(result.violations.slice(0, 5)).toEqual([]);
    expect(result.points).toBeGreaterThan(10);
    expect(result.states).toBeGreaterThan(300);
  },
);

test("a volume survives power loss after power loss, and nothing lost comes back", () => {
  const violations: string[] = [];
  for (let seed = 1; seed <= 200; seed++) violations.push(...surviveCrashes(seed, 8));
  expect(violations).toEqual([]);
});

test("a storage knows every snapshot that it told, and ships no log of another history", () => {
  const result = exploreBackup();
  console.log(`${result.points} moments, ${result.states} states`);
  expect(result.violations.slice(0, 5)).toEqual([]);
  expect(result.points).toBeGreaterThan(40);
  expect(exploreBackup({ wrapDisk: withoutSync }, 4).violations).not.toEqual([]);
  expect(exploreBackup({ wrapDisk: withoutDirectorySync }, 4).violations).not.toEqual([]);
});

test("files that are not synced are found out", () => {
  expect(
    exploreVolume(histories["writes, flushes and overwrites"], { wrapDisk: withoutSync }).violations,
  ).not.toEqual([]);
});
