/** `bun run soak storage-scenario1 [seconds] [seed]`: see test/backup/storage/scenario1.ts. */
import { runScenario1 } from "../backup/storage/scenario1.ts";
import type { Soak } from "./run.ts";

export const soak: Soak = {
  summary: "scenario1: three volumes, backups, merges, applies, stops and starts at random: [seconds] [seed]",
  run([seconds = "600", seed = String(Date.now() % 1_000_000)]) {
    console.log(`storage-scenario1: ${seconds} s, seed ${seed}`);
    return runScenario1(Number(seconds), Number(seed));
  },
};
