/** The whole store, from one seed each: faults, anomalies, and what is left at the end. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { FaultCounts } from "../../../src/core/sim/faults.ts";
import { expectedFaults, runSimulation } from "./simulation.ts";

setDefaultTimeout(600_000);

/** Of all seeds. */
const met = new FaultCounts();
let transactions = 0;
let hasFailed = false;

// In tens, so that a negative control can ask for some of them.
describe.each(Array.from({ length: 20 }, (_, index) => [10 * index + 1, 10 * index + 10]))(
  "S22: seeds %p to %p",
  (first, last) => {
    test("a store keeps its promises", () => {
      if (hasFailed) throw new Error("an earlier seed has failed");
      hasFailed = true;
      for (let seed = first as number; seed <= (last as number); seed++) {
        const result = runSimulation(seed);
        met.add(result.faults);
        transactions += result.transactions;
      }
      hasFailed = false;
    });
  },
);

test("S22: the seeds met every kind of fault", () => {
  console.log(`${transactions} transactions; ${met}`);
  met.requireAll(expectedFaults);
});

test("a store keeps its promises where frontends are in the processes of replicas, seeds 1 to 20", () => {
  const faults = new FaultCounts();
  for (let seed = 1; seed <= 20; seed++) faults.add(runSimulation(seed, { lodges: true }).faults);
  console.log(String(faults));
  faults.requireAll(["frontend killed", "view change", "power loss", "orphan settled", "committed at once"]);
});

test("a simulated store is a function of its seed", () => {
  const once = runSimulation(7);
  expect(runSimulation(7).traceHash).toBe(once.traceHash);
  expect(runSimulation(8).traceHash).not.toBe(once.traceHash);
});
