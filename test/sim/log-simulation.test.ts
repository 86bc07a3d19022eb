import { expect, setDefaultTimeout, test } from "bun:test";
import { FaultCounts } from "../../src/core/sim/faults.ts";
import { failedSyncMutants, mutants } from "../crash/log-mutants.ts";
import { expectedFaults, runLogSimulation } from "./log-simulation.ts";

setDefaultTimeout(60_000);

test("a log keeps its promises through random lives and meets every kind of fault", () => {
  const faults = new FaultCounts();
  let lives = 0;
  let compactions = 0;
  for (let seed = 1; seed <= 40; seed++) {
    const result = runLogSimulation(seed, 400);
    faults.add(result.faults);
    lives += result.lives;
    compactions += result.compactions;
  }
  console.log(`seeds 1-40: ${lives} lives, ${compactions} compactions; ${faults}`);
  faults.requireAll(expectedFaults);
  expect(compactions).toBeGreaterThan(40);
});

/** Seeds that found a defect once, each with what it was. */
const regressions = [
  {
    seed: 5673,
    steps: 600,
    story: "half a seal from a full disk stood before the next segment and passed for damage",
  },
  { seed: 5693, steps: 600, story: "as 5673, through a compaction" },
];

for (const { seed, steps, story } of regressions) {
  test(`stays fixed: ${story}`, () => {
    expect(runLogSimulation(seed, steps).lives).toBeGreaterThan(1);
  });
}

test("a simulation is a function of its seed", () => {
  expect(runLogSimulation(7, 300).traceHash).toBe(runLogSimulation(7, 300).traceHash);
  expect(runLogSimulation(7, 300).traceHash).not.toBe(runLogSimulation(8, 300).traceHash);
});

for (const [name, mutant] of Object.entries({ ...mutants, ...failedSyncMutants })) {
  test(`negative control: some seed notices when ${name}`, () => {
    const failures: string[] = [];
    for (let seed = 1; seed <= 40 && failures.length === 0; seed++) {
      try {
        runLogSimulation(seed, 400, mutant);
      } catch (error) {
        failures.push(String(error));
      }
    }
    expect(failures.join()).toContain("seed");
  });
}
