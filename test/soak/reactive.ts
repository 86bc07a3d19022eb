/**
 * Long run of the simulated store: `bun run soak reactive [seeds] [first seed]`. Each seed is a life of timestamp servers, shards,
 * frontends and their clients; a failing one is printed and can be repeated alone.
 */
import { FaultCounts } from "../../src/core/sim/faults.ts";
import { expectedFaults, runSimulation } from "../reactive/cluster/simulation.ts";
import type { Soak } from "./run.ts";

const SEEDS = 10_000;

export const soak: Soak = {
  summary: `transactional stores in ${SEEDS} simulated lives: isolation levels under crashes, power loss, partitions`,
  async run([seeds = String(SEEDS), first = "1"]) {
    const faults = new FaultCounts();
    let transactions = 0;
    for (let seed = Number(first); seed < Number(first) + Number(seeds); seed++) {
      // Every second one with frontends in the processes of replicas.
      const result = runSimulation(seed, { lodges: seed % 2 === 0 });
      faults.add(result.faults);
      transactions += result.transactions;
      if (seed % 500 === 0) console.log(`seed ${seed}: ${transactions} transactions so far`);
    }
    console.log(String(faults));
    faults.requireAll(expectedFaults);
    return { seeds: Number(seeds), transactions, viewChanges: faults.of("view change") };
  },
};
