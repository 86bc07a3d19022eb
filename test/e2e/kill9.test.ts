/** See kill9.ts for what a round does and what is checked; `bun run soak kill9` runs 200 of them. */
import { expect, test } from "bun:test";
import { testSeed } from "../seed.ts";
import { runKill9 } from "./kill9.ts";

test("kill -9 under load loses nothing that was acknowledged or seen", async () => {
  const seed = testSeed;
  const { violations, ...figures } = await runKill9({ rounds: 8, seed });
  console.log(`seed ${seed}: ${JSON.stringify(figures)}`);
  expect(violations).toEqual([]);
  expect(figures.acknowledged).toBeGreaterThan(1000);
  // A kill may come before the first snapshot is whole; then it came while one was being written.
  expect(figures.compactions + figures.killsInCompaction).toBeGreaterThan(0);
}, 120_000);

test('negative control: the checker notices that durability "memory" keeps nothing', async () => {
  const { violations } = await runKill9({ rounds: 1, seed: 1, durability: "memory" });
  expect(violations.filter((text) => text.includes("allowed")).length).toBeGreaterThan(0);
}, 120_000);
