/** See queue-kill9.ts for what a round does and what is checked; `bun run soak queue-kill9` runs 100 of them. */
import { expect, test } from "bun:test";
import { testSeed } from "../seed.ts";
import { runQueueKill9 } from "./queue-kill9.ts";

test("kill -9 under a queue node loses nothing that was acknowledged and brings nothing back that was popped", async () => {
  const seed = testSeed;
  const { violations, ...figures } = await runQueueKill9({ rounds: 5, seed });
  console.log(`seed ${seed}: ${JSON.stringify(figures)}`);
  expect(violations).toEqual([]);
  expect(Math.min(figures.acknowledged, figures.popped)).toBeGreaterThan(100);
}, 120_000);

test('negative control: the checker notices that durability "memory" keeps nothing', async () => {
  const { violations } = await runQueueKill9({ rounds: 1, seed: 1, durability: "memory" });
  expect(violations.some((text) => text.includes("is lost"))).toBe(true);
}, 120_000);
