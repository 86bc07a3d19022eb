/** `bun run soak storage-stops [seed]`: n4a, see test/backup/storage/stops.ts. */
import { allStops, runStops } from "../backup/storage/stops.ts";
import type { Soak } from "./run.ts";

export const soak: Soak = {
  summary: "n4a: storage, proxy and archive stopped and started in every order while a writer writes: [seed]",
  run([seed = String(Date.now() % 1_000_000)]) {
    console.log(`storage-stops: ${allStops.length} rounds, seed ${seed}`);
    return runStops(allStops, Number(seed));
  },
};
