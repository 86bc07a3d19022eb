/** `bun run soak storage-kill9 [kills] [seed]`: see test/e2e/storage-kill9.ts. */
import { runStorageKill9 } from "../e2e/storage-kill9.ts";
import type { Soak } from "./run.ts";

export const soak: Soak = {
  summary: "kill -9 of a storage while clients write and it ships, 200 times: [kills] [seed]",
  run([kills = "200", seed = String(Date.now() % 1_000_000)]) {
    console.log(`storage-kill9: ${kills} kills, seed ${seed}`);
    return runStorageKill9(Number(kills), Number(seed));
  },
};
