/** A few rounds of kill -9 of archive and proxy; `bun run soak backup-kill9` has 200. */
import { expect, test } from "bun:test";
import { runBackupKill9 } from "./backup-kill9.ts";

test("nothing that was acknowledged is lost when archives and proxy are killed", async () => {
  expect(await runBackupKill9(4, 17)).toMatchObject({ kills: 4, shipped: 4 });
}, 120_000);
