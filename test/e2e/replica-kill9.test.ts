/** See replica-kill9.ts for what a round does and what is checked; `bun run soak replica-kill9` runs 100 of them. */
import { expect, test } from "bun:test";
import { testSeed } from "../seed.ts";
import { runReplicaKill9 } from "./replica-kill9.ts";

test("kill -9 under a replica server takes no byte that was acknowledged", async () => {
  const seed = testSeed;
  const { violations, ...figures } = await runReplicaKill9({ rounds: 4, seed });
  console.log(`seed ${seed}: ${JSON.stringify(figures)}`);
  expect(violations).toEqual([]);
  expect(figures.acknowledgedBytes).toBeGreaterThan(100_000);
}, 120_000);
