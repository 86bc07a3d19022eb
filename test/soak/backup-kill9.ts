/** `bun run soak backup-kill9 [kills] [seed]`: see test/e2e/backup-kill9.ts. */
import { runBackupKill9 } from "../e2e/backup-kill9.ts";
import type { Soak } from "./run.ts";

export const soak: Soak = {
  summary: "kill -9 of two archives and a proxy while a storage ships, 200 times: [kills] [seed]",
  run([kills = "200", seed = String(Date.now() % 1_000_000)]) {
    console.log(`backup-kill9: ${kills} kills, seed ${seed}`);
    return runBackupKill9(Number(kills), Number(seed));
  },
};
