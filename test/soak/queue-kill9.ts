/** `bun run soak queue-kill9 [rounds] [seed]`: see test/e2e/queue-kill9.ts. */
import { runQueueKill9 } from "../e2e/queue-kill9.ts";
import type { Soak } from "./run.ts";

export const soak: Soak = {
  summary: "kill -9 under a queue node, 100 rounds: [rounds] [seed]",
  async run([rounds = "100", seed = String(Date.now() % 1_000_000)]) {
    console.log(`queue-kill9: ${rounds} rounds, seed ${seed}`);
    const { violations, ...figures } = await runQueueKill9({ rounds: Number(rounds), seed: Number(seed) });
    if (violations.length > 0) throw new Error(violations.join("\n"));
    return { rounds: Number(rounds), seed: Number(seed), ...figures };
  },
};
