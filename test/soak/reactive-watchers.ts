/**
 * Long run of simulated stores with reactive clients: `bun run soak reactive-watchers [seeds] [first seed]`. A failing seed is
 * printed and can be repeated alone.
 */
import { FaultCounts } from "../../src/core/sim/faults.ts";
import { runSimulation } from "../reactive/cluster/simulation.ts";
import type { Soak } from "./run.ts";

const SEEDS = 2000;

export const soak: Soak = {
  summary: `reactive clients of ${SEEDS} simulated stores: lost frontends, leaders, power; every run a snapshot`,
  async run([seeds = String(SEEDS), first = "1"]) {
    const faults = new FaultCounts();
    for (let seed = Number(first); seed < Number(first) + Number(seeds); seed++) {
      faults.add(runSimulation(seed, { watchers: 3 }).faults);
      if (seed % 100 === 0) console.log(`seed ${seed}: ${faults.of("run: changed")} runs so far`);
    }
    console.log(String(faults));
    return { seeds: Number(seeds), runs: faults.of("run: changed"), refetches: faults.of("run: refetch") };
  },
};
