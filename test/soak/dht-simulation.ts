/** `bun run soak dht-simulation [seeds] [first]`: see test/crash/dht-simulation.ts. */
import { FaultCounts } from "../../src/core/sim/faults.ts";
import { runDhtSimulation } from "../crash/dht-simulation.ts";
import type { Soak } from "./run.ts";

export const soak: Soak = {
  summary: "power loss under a simulated node, 2000 seeds: [seeds] [first seed]",
  async run([seeds = "2000", first = String(Date.now() % 1_000_000)]) {
    console.log(`dht-simulation: ${seeds} seeds from ${first}`);
    const faults = new FaultCounts();
    let acknowledged = 0;
    for (let seed = Number(first); seed < Number(first) + Number(seeds); seed++) {
      const result = runDhtSimulation({ seed });
      if (result.violations.length > 0) throw new Error(`seed ${seed}: ${result.violations.join("\n")}`);
      acknowledged += result.acknowledged;
      faults.add(result.faults);
    }
    return { seeds: Number(seeds), first: Number(first), acknowledged, faults: String(faults) };
  },
};
