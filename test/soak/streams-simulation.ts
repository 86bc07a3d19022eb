/** Simulated lives of stream clusters from many seeds: `bun run soak streams-simulation [SEEDS] [FIRST]`. */
import { FaultCounts } from "../../src/core/sim/faults.ts";
import { chaos } from "../streams/worker/chaos.ts";
import type { Soak } from "./run.ts";

const SEEDS = 500;

export const soak: Soak = {
  summary:
    "stream clusters that crash, lose power and connections and come back, judged by their committed output",
  async run([seeds = String(SEEDS), first = "1"]) {
    const faults = new FaultCounts();
    let [epochs, values] = [0, 0];
    for (let seed = Number(first); seed < Number(first) + Number(seeds); seed++) {
      const result = chaos(seed, 16);
      if (result.wrong !== undefined) throw new Error(`seed ${seed}: ${result.wrong}`);
      faults.add(result.faults);
      epochs += result.epochs;
      values += result.count;
    }
    return { seeds: Number(seeds), epochs, valuesOfEachKey: values, faults: String(faults) };
  },
};
