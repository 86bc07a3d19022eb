/** `bun run soak replica-kill9 [rounds] [seed]`: see test/e2e/replica-kill9.ts. */
import { runReplicaKill9 } from "../e2e/replica-kill9.ts";
import type { Soak } from "./run.ts";

export const soak: Soak = {
  summary: "kill -9 under a replica server, 100 rounds: [rounds] [seed]",
  async run([rounds = "100", seed = String(Date.now() % 1_000_000)]) {
    console.log(`replica-kill9: ${rounds} rounds, seed ${seed}`);
    const { violations, ...figures } = await runReplicaKill9({ rounds: Number(rounds), seed: Number(seed) });
    if (violations.length > 0) throw new Error(violations.join("\n"));
    return { rounds: Number(rounds), seed: Number(seed), ...figures };
  },
};
