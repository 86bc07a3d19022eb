/** `bun run soak log-simulation [seeds] [first]`: see test/sim/log-simulation.ts. */
import { FaultCounts } from "../../src/core/sim/faults.ts";
import { expectedFaults, runLogSimulation } from "../sim/log-simulation.ts";
import type { Soak } from "./run.ts";

const STEPS = 600;

export const soak: Soak = {
  summary: "random lives of the append log, 2000 seeds: [seeds] [first seed]",
  async run([seeds = "2000", first = String(Date.now() % 1_000_000)]) {
    console.log(`log-simulation: ${seeds} seeds from ${first}`);
    const faults = new FaultCounts();
    const sums = { lives: 0, appends: 0, compactions: 0 };
    for (let seed = Number(first); seed < Number(first) + Number(seeds); seed++) {
      const result = runLogSimulation(seed, STEPS);
      faults.add(result.faults);
      sums.lives += result.lives;
      sums.appends += result.appends;
      sums.compactions += result.compactions;
    }
    faults.requireAll(expectedFaults);
    return { seeds: Number(seeds), first: Number(first), ...sums, faults: String(faults) };
  },
};
