import { expect, setDefaultTimeout, test } from "bun:test";
import { FaultCounts } from "../../../src/core/sim/faults.ts";
import { expectedFaults, runSimulation } from "./simulation.ts";

setDefaultTimeout(600_000);

/** Runs the seeds and prints what they met. */
function runSeeds(first: number, last: number): FaultCounts {
  const faults = new FaultCounts();
  let acknowledged = 0;
  let views = 0;
  for (let seed = first; seed <= last; seed++) {
    const result = runSimulation(seed);
    faults.add(result.faults);
    acknowledged += result.acknowledged;
    views += result.views;
  }
  console.log(`seeds ${first}-${last}: ${acknowledged} acknowledged, ${views} views; ${faults}`);
  return faults;
}

test("a group keeps its promises, seeds 1 to 20", () => {
  runSeeds(1, 20).requireAll(expectedFaults);
});

test("a group keeps its promises, seeds 21 to 200", () => {
  runSeeds(21, 200).requireAll(expectedFaults);
});

test("a group of one, and of two, keep their promises, seeds 1 to 15", () => {
  for (let seed = 1; seed <= 15; seed++) {
    runSimulation(seed, { replicas: 1 });
    runSimulation(seed, { replicas: 2 });
  }
});

test("a replica that is in the midst of an entry takes the state of another one instead of the rest, seeds 1 to 10", () => {
  const faults = new FaultCounts();
  for (let seed = 1; seed <= 10; seed++)
    faults.add(runSimulation(seed, { replicas: 3, isStuck: true }).faults);
  faults.requireAll(["snapshot transferred", "half an entry replaced"]);
});

test("a simulation is a function of its seed", () => {
  expect(runSimulation(7).traceHash).toBe(runSimulation(7).traceHash);
  expect(runSimulation(7).traceHash).not.toBe(runSimulation(8).traceHash);
});
