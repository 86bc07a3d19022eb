/**
 * Every property test again and again, each time from other random seeds: `bun run soak properties [rounds]`.
 *
 * `check` runs them from one seed, so that a commit always gets the same verdict; this run is the one that searches. A
 * failure prints the seed and the path of its smallest example, which a test can then repeat.
 */
import { runTests, testFilesWith } from "../run-tests.ts";
import type { Soak } from "./run.ts";

export const soak: Soak = {
  summary: "every property test from random seeds: [rounds], 20 without",
  async run([rounds = "20"]) {
    const files = testFilesWith('"fast-check"');
    for (let round = 1; round <= Number(rounds); round++) await runTests(files, { NODE_X_SEED: "random" });
    return { files: files.length, rounds: Number(rounds) };
  },
};
