/**
 * Power loss on the real log code: small histories, every moment, every state that the disk may be left in.
 */
import { expect, setDefaultTimeout, test } from "bun:test";
import { seededRandom } from "../../src/core/seams/random.ts";
import { crashStates, type CrashModel } from "../../src/core/sim/disk-crash.ts";
import type { DirectoryNode } from "../../src/core/sim/disk-state.ts";
import {
  explore,
  judge,
  models,
  record,
  whole,
  type Before,
  type Step,
  type Subject,
} from "./log-harness.ts";
import { mutants, restartMutants } from "./log-mutants.ts";

setDefaultTimeout(120_000);

/** Group commit, several segments, a seal, a snapshot in the middle, and a clean stop. */
const tour: readonly Step[] = [
  { do: "append", bytes: 100 },
  { do: "flush" },
  { do: "append", bytes: 300, times: 2 },
  { do: "flush" },
  { do: "append", bytes: 500, times: 3 },
  { do: "flush" },
  { do: "idle" },
  { do: "append", bytes: 20 },
  { do: "compact" },
  { do: "append", bytes: 40 },
  { do: "flush" },
  { do: "close" },
];

function randomHistory(seed: number): Step[] {
  const random = seededRandom(seed);
  const steps: Step[] = [];
  for (let count = 4 + random.integer(6); count > 0; count--) {
    const dice = random.integer(10);
    if (dice < 5) steps.push({ do: "append", bytes: 1 + random.integer(700), times: 1 + random.integer(3) });
    else if (dice < 7) steps.push({ do: "flush" });
    else if (dice < 8) steps.push({ do: "idle" });
    else steps.push({ do: "compact" });
  }
  steps.push(random.integer(2) === 0 ? { do: "close" } : { do: "flush" });
  return steps;
}

test("every acknowledged append survives power loss at every moment of a tour", () => {
  const found = explore(record(tour, whole), whole, 1024);
  console.log(
    `${found.points} moments, ${found.exhaustivePoints} of them exhaustively; ` +
      `${found.states} states, ${found.restarts} different`,
  );
  expect(found.violations).toEqual([]);
  expect(found.states).toBeGreaterThan(15_000);
  expect(found.exhaustivePoints).toBeGreaterThan(found.points / 2);
});

test("every acknowledged append survives power loss in random histories", () => {
  let states = 0;
  for (let seed = 1; seed <= 20; seed++) {
    const found = explore(record(randomHistory(seed), whole), whole, 24);
    if (found.violations.length > 0) throw new Error(`history of seed ${seed}: ${found.violations[0]}`);
    states += found.states;
  }
  console.log(`20 histories (seeds 1-20), ${states} states`);
});

/** What happens after a restart: a few appends, then the power fails. */
const second: readonly Step[] = [
  { do: "append", bytes: 200 },
  { do: "flush" },
  { do: "append", bytes: 900 },
  { do: "flush" },
];

/** Restarts after `before` and explores power loss from then on: what the restart has shown must stay. */
function exploreRestart(before: Before, subject: Subject, limit: number): string[] {
  return explore(record(second, subject, before), subject, limit).violations;
}

/**
 * Every moment of the tour, as it is after a kill (`limit` 0) or in `limit` of the states after power loss.
 */
function earlierLives(limit: number): Before[] {
  const recording = record(tour, whole);
  const model = models[0] as CrashModel;
  return recording.points.flatMap(({ disk, acknowledged }) => {
    const disks: DirectoryNode[] = limit === 0 ? [disk] : [];
    if (limit > 0) crashStates(disk, model, limit, (state) => disks.push(state));
    return disks.map((found): Before => ({ recording, disk: found, acknowledged }));
  });
}

test("what a restart after a kill has shown survives a later power loss", () => {
  expect(earlierLives(0).flatMap((before) => exploreRestart(before, whole, 5))).toEqual([]);
});

test("a restart after power loss survives the next power loss", () => {
  expect(earlierLives(3).flatMap((before) => exploreRestart(before, whole, 3))).toEqual([]);
});

for (const [name, mutant] of Object.entries(mutants)) {
  test(`negative control: power loss is noticed when ${name}`, () => {
    const found = explore(record(tour, mutant), mutant, 64);
    expect(found.violations.length).toBeGreaterThan(0);
  });
}

for (const [name, mutant] of Object.entries(restartMutants)) {
  test(`negative control: a second failure is noticed when ${name}`, () => {
    const isNoticed = (before: Before) => refusals(() => exploreRestart(before, mutant, 6)).length > 0;
    expect([...earlierLives(0), ...earlierLives(4)].some(isNoticed)).toBe(true);
  });
}

/** A refusal to open is a violation too. */
function refusals(explored: () => string[]): string[] {
  try {
    return explored();
  } catch (error) {
    return [String(error)];
  }
}

test("the judge notices a lost, a changed and a halved group", () => {
  const recording = record([{ do: "append", bytes: 50, times: 2 }, { do: "flush" }], whole);
  const last = recording.points.at(-1) as (typeof recording.points)[number];
  expect(judge(last.disk, 100, recording, whole)).toBeUndefined();
  expect(judge(last.disk, 101, recording, whole)).toStartWith("lost");
  const halved = { ...recording, groupEnds: new Set([0, 50]) };
  expect(judge(last.disk, 100, halved, whole)).toStartWith("found half a group");
  const changed = { ...recording, stream: recording.stream.map((byte) => byte ^ 1) };
  expect(judge(last.disk, 100, changed, whole)).toBe("found other bytes");
});
