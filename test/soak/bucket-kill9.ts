/** `bun run soak bucket-kill9 [kills] [seed]`: see test/e2e/bucket-kill9.ts. */
import { runBucketKill9 } from "../e2e/bucket-kill9.ts";
import type { Soak } from "./run.ts";

export const soak: Soak = {
  summary: "kill -9 of an archive that writes to a bucket, 100 times in each mode: [kills] [seed]",
  async run([kills = "100", seed = String(Date.now() % 1_000_000)]) {
    console.log(`bucket-kill9: ${kills} kills in each mode, seed ${seed}`);
    const second = await runBucketKill9(Number(kills), Number(seed), "second");
    const primary = await runBucketKill9(Number(kills), Number(seed), "primary");
    return { second, primary };
  },
};
