/**
 * S24 in its long form: `bun run soak reactive-figures [times]`. Figures 7 to 10 of the Diamond paper with their goals
 * (test/bench/figure-goals.ts); `times` shortens the measurements (0.1: a tenth), and then the figures say little.
 */
import { benchReactiveFigures } from "../bench/reactive-figures.ts";
import type { Soak } from "./run.ts";

export const soak: Soak = {
  summary: "figures 7 to 10 of the Diamond paper, measured, drawn and judged: S24",
  async run([times = "1"]) {
    const share = Number(times);
    const words = [
      `--seconds=${Math.max(0.5, 20 * share)}`,
      `--moves=${Math.max(4, 2 * Math.round(50 * share))}`,
    ];
    const code = await benchReactiveFigures(words);
    if (code !== 0 && share >= 1) throw new Error("a goal is not held: see above");
    return { seconds: 20 * share, isHeld: code === 0 };
  },
};
