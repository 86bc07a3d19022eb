/**
 * `bun run soak tss-load [seconds]`: three timestamp servers under full load. Floors: the view never changes, every timestamp
 * keeps its promise, and the primary's memory at the end is within 10 % of what it was after a third of the time.
 */
import { GroupProcesses } from "../e2e/group-processes.ts";
import type { Soak } from "./run.ts";

const SECONDS = 600;
const CALLERS = 64;
/** Shorter runs end before the entries that are kept for slow replicas have reached their number: memory is not judged. */
const MEMORY_SECONDS_MIN = 180;

/** Keeps only the extremes that matter: the history of ten minutes would be the memory that is measured. */
class Caller {
  asked = 0;
  last = 0;

  check(timestamp: number): void {
    if (timestamp <= this.last) throw new Error(`${timestamp} came after ${this.last}`);
    this.last = timestamp;
    this.asked++;
  }
}

export const soak: Soak = {
  summary: `three timestamp servers under full load for ${SECONDS} s: no change of the primary, memory flat`,
  async run([seconds = String(SECONDS)]) {
    using group = await GroupProcesses.create({ settings: ["journalBytesMin=4000000"] });
    group.startAll();
    await group.allReady();
    const primary = await group.primary();
    const view = (await group.ready(primary)).tss.view;
    const client = group.connect();
    const endMs = performance.now() + Number(seconds) * 1000;
    const callers = Array.from({ length: CALLERS }, () => new Caller());
    const work = callers.map(async (caller) => {
      while (performance.now() < endMs) caller.check(await client.next());
    });
    await Bun.sleep((Number(seconds) * 1000) / 3);
    const early = (await group.ready(primary)).process.rssBytes;
    await Promise.all(work);
    const stats = await group.ready(primary);
    const views = await Promise.all(
      group.ports.map(async (_, index) => (await group.stats(index))?.tss.view),
    );
    const figures = {
      timestamps: callers.reduce((sum, { asked }) => sum + asked, 0),
      last: stats.tss.last,
      views,
      rssEarlyMb: Math.round(early / 1e6),
      rssLateMb: Math.round(stats.process.rssBytes / 1e6),
    };
    if (views.some((each) => each !== view))
      throw new Error(`the primary changed: ${JSON.stringify(figures)}`);
    if (Number(seconds) >= MEMORY_SECONDS_MIN && stats.process.rssBytes > 1.1 * early)
      throw new Error(`memory grows: ${JSON.stringify(figures)}`);
    return figures;
  },
};
