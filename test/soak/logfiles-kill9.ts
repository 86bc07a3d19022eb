/** `bun run soak logfiles-kill9 [rounds]`: a logfiles node killed again and again under load, with either layout. */
import { runLogfilesKill9 } from "../e2e/logfiles.ts";
import type { Soak } from "./run.ts";

export const soak: Soak = {
  summary: "Kill a logfiles node under load (rounds: 100)",
  async run([rounds = "100"]) {
    const figures: Record<string, unknown> = {};
    for (const layout of ["segments", "classic"] as const)
      for (const durability of ["log", "buffered"] as const) {
        const seed = 1 + Math.floor(Math.random() * 1e6);
        const result = await runLogfilesKill9({ rounds: Number(rounds), seed, layout, durability });
        if (result.violations.length > 0) throw new Error(result.violations.join("\n"));
        figures[`${layout}, ${durability}`] = {
          seed,
          acknowledged: result.acknowledged,
          seals: result.seals,
        };
      }
    return figures;
  },
};
