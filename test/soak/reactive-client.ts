/**
 * Long run of the reactive client in random lives: `bun run soak reactive-client [seeds] [first seed]`. A failing seed is printed
 * and can be repeated alone.
 */
import { live } from "../reactive/client/life.ts";
import type { Soak } from "./run.ts";

const SEEDS = 5000;

export const soak: Soak = {
  summary: `reactive clients in ${SEEDS} random lives: every run compared with what the store held`,
  async run([seeds = String(SEEDS), first = "1"]) {
    for (let seed = Number(first); seed < Number(first) + Number(seeds); seed++)
      for (const hasCache of [true, false]) {
        const faults = await live(seed, hasCache);
        if (faults.length > 0) throw new Error(`seed ${seed}, cache ${hasCache}: ${faults.join("; ")}`);
      }
    return { seeds: Number(seeds) };
  },
};
