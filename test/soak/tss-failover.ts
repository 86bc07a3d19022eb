/**
 * `bun run soak tss-failover [kills]`: the primary of three timestamp servers is killed with -9 under load, again and again.
 * Floors: median below 1 s and 99th percentile below 3 s from the kill to the next timestamp; no timestamp twice, none
 * smaller than one that had been received before it was asked for.
 */
import { GroupProcesses } from "../e2e/group-processes.ts";
import type { Soak } from "./run.ts";

const KILLS = 50;
const percentile = (values: number[], part: number) =>
  values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * part))] as number;

export const soak: Soak = {
  summary: `kill -9 of the primary timestamp server, ${KILLS} times under load`,
  async run([kills = String(KILLS)]) {
    using group = await GroupProcesses.create();
    group.startAll();
    await group.allReady();
    group.startClients(3);
    const gapsMs: number[] = [];
    for (let round = 0; round < Number(kills); round++) {
      await group.nextIssuedMs();
      const primary = await group.primary();
      void group.kill(primary);
      gapsMs.push(await group.nextIssuedMs());
      group.start(primary);
      await group.allReady();
    }
    const problems = await group.finish();
    if (problems.length > 0) throw new Error(problems.slice(0, 5).join("\n"));
    const figures = {
      kills: gapsMs.length,
      timestamps: group.issued.length,
      medianMs: Math.round(percentile(gapsMs, 0.5)),
      p99Ms: Math.round(percentile(gapsMs, 0.99)),
      maxMs: Math.round(Math.max(...gapsMs)),
    };
    if (figures.medianMs >= 1000 || figures.p99Ms >= 3000)
      throw new Error(`too slow: ${JSON.stringify(figures)}`);
    return figures;
  },
};
