/**
 * Simulated stores whose processes are restarted in turn: `bun run soak reactive-rolling [seeds] [first seed]`. A failing seed is
 * printed and can be repeated alone.
 */
import { type RollingOptions, restartInTurn } from "../reactive/cluster/rolling.ts";
import type { Soak } from "./run.ts";

const SEEDS = 100;
const ways: readonly (RollingOptions & { waitMsMax: number })[] = [
  { isGraceful: true, delayMeanMs: 0.3, waitMsMax: 1000 },
  { isGraceful: false, delayMeanMs: 0.3, waitMsMax: 3000 },
  { isGraceful: true, delayMeanMs: 10, waitMsMax: 3000 },
  { isGraceful: false, delayMeanMs: 10, waitMsMax: 6000 },
];

export const soak: Soak = {
  summary: `processes of ${SEEDS} simulated stores are restarted in turn, or die in turn: nobody waits for long; S25`,
  async run([seeds = String(SEEDS), first = "1"]) {
    const longest: Record<string, number> = {};
    for (let seed = Number(first); seed < Number(first) + Number(seeds); seed++)
      for (const { waitMsMax, ...way } of ways) {
        const { longestWaitMs } = restartInTurn(seed, waitMsMax, way);
        const name = `${way.isGraceful ? "told to stop" : "killed"}, ${way.delayMeanMs} ms`;
        longest[name] = Math.max(longest[name] ?? 0, Math.round(longestWaitMs));
      }
    return { seeds: Number(seeds), longest };
  },
};
