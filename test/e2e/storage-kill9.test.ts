/** A few rounds of kill -9 of a storage under clients; `bun run soak storage-kill9` has 200. */
import { expect, test } from "bun:test";
import { runStorageKill9 } from "./storage-kill9.ts";

test("no acknowledged write is lost when a storage is killed, none is half, and its backup goes on", async () => {
  const { kills, writes } = await runStorageKill9(3, 23);
  expect(kills).toBe(3);
  expect(writes).toBeGreaterThan(100);
}, 120_000);
