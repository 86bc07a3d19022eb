/** Power loss at every moment of a dump leaves the old dump or the new one of a channel, both files of it. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { explore, find, mutants, whole, type Content, type Step } from "./dump-harness.ts";

setDefaultTimeout(120_000);

const key = (index: number) => `ch/000000000000000${index}`;
const plain = (value: string): Content => ({ [key(1)]: value, [key(2)]: value });
/** Also what goes to the second file; a record that changes its kind from one dump to the next is among them. */
const mixed = (value: string): Content => ({
  [key(1)]: value,
  "ch/name": value,
  [key(3)]: `${value}@1900000000000`,
});

const histories: Record<string, readonly Step[]> = {
  "a first dump, a second, a removal": [
    { do: "dump", content: plain("a") },
    { do: "dump", content: plain("b") },
    { do: "remove" },
  ],
  "dumps with a second file": [
    { do: "dump", content: mixed("a") },
    { do: "dump", content: mixed("b") },
    { do: "dump", content: mixed("c") },
    { do: "remove" },
  ],
  "a second file that comes, goes and comes": [
    { do: "dump", content: plain("a") },
    { do: "dump", content: mixed("b") },
    { do: "dump", content: plain("c") },
    { do: "dump", content: plain("d") },
    { do: "dump", content: mixed("e") },
  ],
  "a .tcm that stays the same while its second file changes": [
    { do: "dump", content: { [key(1)]: "x", "ch/name": "a" } },
    { do: "dump", content: { [key(1)]: "x", "ch/name": "b" } },
    { do: "dump", content: { [key(1)]: "x" } },
  ],
  "dumps that dhtdump writes, the last one empty": [
    { do: "stream", content: plain("a") },
    { do: "stream", content: plain("b") },
    { do: "stream", content: {} },
  ],
  "a channel that is emptied": [
    { do: "dump", content: mixed("a") },
    { do: "dump", content: {} },
  ],
};

describe.each(Object.entries(histories))("%s", (_, steps) => {
  test("power loss leaves the old dump or the new one", () => {
    const result = explore(steps, whole);
    console.log(
      `${result.points} moments, ${result.states} states, ${result.distinct.length} different ones`,
    );
    expect(result.violations).toEqual([]);
    expect(result.isExhaustive).toBe(true);
    expect(result.points).toBeGreaterThan(10);
    expect(result.distinct.length).toBeGreaterThan(10);
  });

  test("so it does when the power goes again during the dump after the restart", () => {
    const next = [{ do: "dump", content: mixed("after the restart") }] as const;
    let states = 0;
    const { distinct } = explore(steps, whole);
    const stride = Math.ceil(distinct.length / 60);
    for (const state of distinct.filter((_, index) => index % stride === 0)) {
      const found = find(state);
      if (typeof found === "string") throw new Error(found);
      const result = explore(next, whole, { state, found });
      expect(result.violations).toEqual([]);
      states += result.states;
    }
    console.log(`${states} states`);
    expect(states).toBeGreaterThan(1000);
  });
});

test.each(Object.entries(mutants).filter(([name]) => !name.includes(".nxs")))(
  "a dump of dhtdump in which %s is found out",
  (_, mutant) => {
    const steps = histories["dumps that dhtdump writes, the last one empty"] as readonly Step[];
    expect(explore(steps, mutant, undefined, 300).violations).not.toEqual([]);
  },
);

test.each(Object.entries(mutants))("a dump in which %s is found out", (_, mutant) => {
  const isFoundBy = (steps: readonly Step[]) => explore(steps, mutant, undefined, 300).violations.length > 0;
  expect(Object.values(histories).some(isFoundBy)).toBe(true);
});
