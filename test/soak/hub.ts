/**
 * The hub over time: hours of recording in minutes, restarts at any moment, a file that is damaged now and then. Its memory and its file
 * stay bounded, and what it shows is what was recorded.
 */
import { closeSync, openSync, statSync, writeSync } from "node:fs";
import { seededRandom } from "../../src/core/seams/random.ts";
import { TestHistory } from "../hub/history/harness.ts";
import type { Soak } from "./run.ts";

const INSTANCES = 50;
const FIGURES = 20;
const STEP_MS = 1000;
const RSS_GROWTH_MAX = 200 * 2 ** 20;

export const soak: Soak = {
  summary: "the hub's graphs: [HOURS of recording, 48] [SEED, 1] of 50 instances, restarted and damaged",
  async run([hours = "48", seed = "1"]) {
    const random = seededRandom(Number(seed));
    using place = new TestHistory();
    place.bytesMax = 64 * 2 ** 20;
    let history = await place.open();
    const steps = (Number(hours) * 3_600_000) / STEP_MS;
    let [restarts, damages, rssAfterWarmUp] = [0, 0, 0];
    for (let step = 0; step < steps; step++) {
      const value = Math.floor(place.nowMs / 60_000) % 1000;
      const figures = new Map(Array.from({ length: FIGURES }, (_, index) => [`f${index}`, value + index]));
      history.record(
        place.nowMs,
        new Map(Array.from({ length: INSTANCES }, (_, index) => [`p.dht${index}`, figures])),
      );
      place.nowMs += STEP_MS;
      if (random.float() < 1 / 3600) {
        history.close();
        restarts += 1;
        if (random.float() < 0.1) {
          damage(place.path, random.integer(statSync(place.path).size));
          damages += 1;
        }
        history = await place.open();
      }
      if (step % 3600 === 0) {
        if (step === 7200) rssAfterWarmUp = process.memoryUsage.rss();
        check(history.read("p.dht7", "f3", place.nowMs - 3_600_000, place.nowMs), 3);
      }
    }
    const { bytes } = history;
    const growth = process.memoryUsage.rss() - (rssAfterWarmUp || process.memoryUsage.rss());
    history.close();
    if (bytes > 1.5 * place.bytesMax)
      throw new Error(`the file has ${bytes} bytes, ${place.bytesMax} are allowed`);
    if (growth > RSS_GROWTH_MAX) throw new Error(`memory grew by ${growth} bytes`);
    return { hours: Number(hours), restarts, damages, bytes, growthBytes: growth };
  },
};

function damage(path: string, offset: number): void {
  const file = openSync(path, "r+");
  writeSync(file, Buffer.alloc(4096, 0xa5), 0, 4096, offset);
  closeSync(file);
}

/** Every point is the mean of values that were recorded in its minute or the next. */
function check({ atMs, mean }: { atMs: number[]; mean: (number | null)[] }, index: number): void {
  atMs.forEach((at, position) => {
    const value = mean[position];
    if (value == null) return;
    const least = (Math.floor(at / 60_000) % 1000) + index;
    if (value < least - 1e-2 || (value > least + 1 + 1e-2 && least < 999))
      throw new Error(`${value} at ${at}: wanted ${least} to ${least + 1}`);
  });
}
