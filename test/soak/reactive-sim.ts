/**
 * Long run of the simulated replication group: `bun run soak reactive-sim [seeds] [first seed]`. Each seed is a life of a
 * group of 3 or 5 replicas; a failing one is printed and can be repeated alone.
 */
import { FaultCounts } from "../../src/core/sim/faults.ts";
import { expectedFaults, runSimulation } from "../reactive/replication/simulation.ts";
import type { Soak } from "./run.ts";

const SEEDS = 10_000;

export const soak: Soak = {
  summary: `replicated groups in ${SEEDS} simulated lives: crashes, power loss, lost disks, partitions`,
  async run([seeds = String(SEEDS), first = "1"]) {
    const faults = new FaultCounts();
    let acknowledged = 0;
    let views = 0;
    let recoveries = 0;
    for (let seed = Number(first); seed < Number(first) + Number(seeds); seed++) {
      const result = runSimulation(seed);
      faults.add(result.faults);
      acknowledged += result.acknowledged;
      views += result.views;
      recoveries += result.incarnations;
      if (seed % 500 === 0) console.log(`seed ${seed}: ${acknowledged} acknowledged, ${views} views so far`);
    }
    console.log(String(faults));
    faults.requireAll(expectedFaults);
    return { seeds: Number(seeds), acknowledged, views, recoveries };
  },
};
