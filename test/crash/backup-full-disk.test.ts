/**
 * A disk that is full for one call, at each call of the history of an archive and of a proxy: the process goes on, what
 * failed is asked for again, and in the end everything is there and nothing else.
 */
import { expect, setDefaultTimeout, test } from "bun:test";
import { apply, diffsToMerge, merge, restore } from "../../src/backup/archive/jobs.ts";
import { snappy } from "../../src/backup/formats/compression.ts";
import type { DiskOperation } from "../../src/core/sim/disk.ts";
import {
  CrashWorld,
  diffBytes,
  DIRECTORY,
  makeHistory,
  metaDiff,
  pointsFound,
  VOLUME,
  whole,
} from "./backup-harness.ts";

setDefaultTimeout(120_000);

/** Those that need space. */
const operations: DiskOperation[] = [
  "open", "write", "sync", "truncate", "allocate", "rename", "link", "syncDirectory", "makeDirectory",
]; // prettier-ignore
const JOBS = { discard: "zero", openMax: 10, keepsOneCold: false, applySleepPercent: 0 } as const;

type Step = () => Promise<unknown>;

/** Takes the steps; the n-th call for space of them fails, and the step is repeated. False: there are fewer. */
async function takeSteps(world: CrashWorld, steps: readonly Step[], nth: number): Promise<boolean> {
  world.sim.failLater({ nth, isSticky: false, errno: "ENOSPC", operations });
  for (const step of steps) await step().catch(() => step());
  const { hasFailed } = world.sim;
  world.sim.failLater(undefined);
  return hasFailed;
}

/** Files that only a start would remove. */
const leftOver = async (world: CrashWorld, directory: string) =>
  (await world.sim.list(directory)).map(({ name }) => name).filter((name) => /^tmp|_tmp$/.test(name));

async function archiveWith(nth: number): Promise<{ hasFailed: boolean; points: string; left: string[] }> {
  const world = new CrashWorld(whole);
  return world.run(async () => {
    const volume = world.volume();
    await volume.init();
    await makeHistory(volume, 3);
    const bytes = await diffBytes(4);
    const steps: Step[] = [
      () => volume.diffs.add(metaDiff(4, false), (sink) => sink.append(bytes)),
      () => volume.diffs.setMergeable(2n, true),
      async () => {
        const diffs = diffsToMerge(volume, 1n, { upTo: 3n });
        // The second try may find it done.
        if (diffs.length > 1) await merge(volume, diffs);
      },
      () => restore(volume, 4n, JOBS),
      () => apply(volume, 1n, JOBS),
      () => apply(volume, 3n, JOBS),
    ];
    const hasFailed = await takeSteps(world, steps, nth);
    const left = await leftOver(world, `${DIRECTORY}/${VOLUME}`);
    expect(await pointsFound(volume)).toEqual(["3", "4"]);
    const restarted = world.volume();
    await restarted.load();
    return { hasFailed, points: (await pointsFound(restarted)).join(), left };
  });
}

test("an archive whose disk is full for one call goes on", async () => {
  let nth = 0;
  for (;;) {
    const { hasFailed, points, left } = await archiveWith(++nth);
    expect({ nth, points, left }).toEqual({ nth, points: "3,4", left: [] });
    if (!hasFailed) break;
  }
  console.log(`${nth - 1} calls failed`);
  expect(nth).toBeGreaterThan(40);
});

async function proxyWith(nth: number): Promise<{ hasFailed: boolean; queue: string; left: string[] }> {
  const world = new CrashWorld(whole);
  const forwarding = { archive: { host: "127.0.0.1", port: 1 }, compression: snappy, delaySeconds: 0 };
  return world.run(async () => {
    const volume = world.proxyVolume();
    const store = (gid: number) => async () => {
      const bytes = await diffBytes(gid);
      await volume.store(async (sink) => {
        await sink.append(bytes);
        return metaDiff(gid, false);
      });
    };
    const steps: Step[] = [
      () => volume.setArchive("a0", forwarding),
      store(1),
      store(2),
      () => volume.setBlocks(24),
    ];
    const hasFailed = await takeSteps(world, steps, nth);
    const left = await leftOver(world, `${DIRECTORY}/${VOLUME}/received`);
    const queue = volume.queue("a0").diffs.all.map(({ to }) => to.begin);
    expect(queue).toEqual([1n, 2n]);
    const restarted = world.proxyVolume();
    await restarted.load();
    return {
      hasFailed,
      queue: restarted
        .queue("a0")
        .diffs.all.map(({ to }) => to.begin)
        .join(),
      left,
    };
  });
}

test("a proxy whose disk is full for one call goes on", async () => {
  let nth = 0;
  for (;;) {
    const { hasFailed, queue, left } = await proxyWith(++nth);
    expect({ nth, queue, left }).toEqual({ nth, queue: "1,2", left: [] });
    if (!hasFailed) break;
  }
  console.log(`${nth - 1} calls failed`);
  expect(nth).toBeGreaterThan(20);
});
