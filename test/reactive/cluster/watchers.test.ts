/**
 * S8, S12, S17, S19, S20 for reactive clients, from one seed each: while frontends, leaders and whole stores die, every run is a
 * consistent snapshot, moments never fall, and the last run shows the last state.
 */
import { expect, setDefaultTimeout, test } from "bun:test";
import { FaultCounts } from "../../../src/core/sim/faults.ts";
import { runSimulation } from "./simulation.ts";

setDefaultTimeout(120_000);

const SEEDS = 16;

test("runs through the faults of 16 simulated stores are snapshots, in order, up to the last state", () => {
  const met = new FaultCounts();
  for (let seed = 1; seed <= SEEDS; seed++) met.add(runSimulation(seed, { watchers: 3 }).faults);
  console.log(`seeds 1-${SEEDS}: ${met}`);
  met.requireAll([
    "run: first",
    "run: changed",
    "run: refetch",
    "watched again elsewhere",
    "frontend killed",
    "power loss",
    "view change",
    "all killed at once",
    "link cut",
  ]);
  expect(met.of("run: changed")).toBeGreaterThan(SEEDS);
});
