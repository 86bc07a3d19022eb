/** `bun run soak kill9 [rounds] [seed]`: see test/e2e/kill9.ts. */
import { runKill9 } from "../e2e/kill9.ts";
import type { Soak } from "./run.ts";

export const soak: Soak = {
  summary: "kill -9 under load, 200 rounds: [rounds] [seed]",
  async run([rounds = "200", seed = String(Date.now() % 1_000_000)]) {
    console.log(`kill9: ${rounds} rounds, seed ${seed}`);
    const report = (line: string) => line.endsWith("0 of 200: 0 problems") && console.log(line);
    const { violations, ...figures } = await runKill9({ rounds: Number(rounds), seed: Number(seed), report });
    if (violations.length > 0) throw new Error(violations.join("\n"));
    return { rounds: Number(rounds), seed: Number(seed), ...figures };
  },
};
