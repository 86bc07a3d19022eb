/** The whole store, from one seed each: faults, anomalies, and what is left at the end. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { FaultCounts } from "../../../src/core/sim/faults.ts";
import { expectedFaults, runSimulation } from "./simulation.ts";

setDefaultTimeout(600_000);

/** Runs the seeds and prints what they met. */
function runSeeds(first: number, last: number): FaultCounts {
  const faults = new FaultCounts();
  let transactions = 0;
  for (let seed = first; seed <= last; seed++) {
    const result = runSimulation(seed);
    faults.add(result.faults);
    transactions += result.transactions;
  }
  console.log(`seeds ${first}-${last}: ${transactions} transactions; ${faults}`);
  return faults;
}

test("S22: a store keeps its promises, seeds 1 to 60", () => {
  runSeeds(1, 60);
});

test("S22: a store keeps its promises, seeds 61 to 200", () => {
  runSeeds(61, 200).requireAll(expectedFaults);
});

test("a simulated store is a function of its seed", () => {
  const once = runSimulation(7);
  expect(runSimulation(7).traceHash).toBe(once.traceHash);
  expect(runSimulation(8).traceHash).not.toBe(once.traceHash);
});
