/** A volume's place in a bucket that somebody else writes to meanwhile, and volumes whose turn it is not. */
import { expect, test } from "bun:test";
import { homeVolumeOf } from "../../../src/backup/archive/bucket/homes.ts";
import { diffsToMerge, merge } from "../../../src/backup/archive/jobs.ts";
import { PartStore } from "../../../src/backup/bucket/part-store.ts";
import { CrashWorld, makeHistory, VOLUME, whole } from "../../crash/backup-harness.ts";
import { homeOf } from "../../crash/bucket-harness.ts";
import { MemoryObjects } from "./memory-store.ts";

const KEY = `${VOLUME}/manifest`;
const BEGIN = 1_800_001_000;

/** A volume whose diffs 3 and 4 were merged after all was in the bucket; what is unused goes after 100 seconds. */
function merged(isTakenOver: boolean) {
  const world = new CrashWorld(whole);
  const objects = new MemoryObjects();
  let now = BEGIN;
  return world.run(async () => {
    const volume = world.volume();
    await volume.init();
    await makeHistory(volume, 4);
    const parts = new PartStore(objects, VOLUME);
    const home = homeOf(homeVolumeOf(volume), parts, { nowSeconds: () => now, keepUnusedSeconds: 100 });
    await home.bringUp();
    await volume.diffs.setMergeable(3n, true);
    await merge(volume, diffsToMerge(volume, 2n, { upTo: 4n }));
    await home.bringUp();
    const removedAtOnce = objects.calls.remove;
    if (isTakenOver) objects.objects.set(KEY, Buffer.from("another archive's manifest"));
    now += 200;
    const failure = await home.bringUp().then(
      () => "",
      (error: Error) => error.message,
    );
    return { removedAtOnce, removed: objects.calls.remove, failure };
  });
}

test("what a merge made superfluous stays for a while, then goes", () => {
  const { removedAtOnce, removed, failure } = merged(false);
  expect([removedAtOnce, failure]).toEqual([0, ""]);
  expect(removed).toBeGreaterThan(2);
});

test("an archive whose place was taken over removes nothing of what it thinks unused", () => {
  expect(merged(true)).toEqual({
    removedAtOnce: 0,
    removed: 0,
    failure: "s3://memory/archive0/vol1/manifest was replaced by somebody else",
  });
});

test("a base image waits while another one is read, and nothing is said to be in the bucket", () => {
  const world = new CrashWorld(whole);
  const objects = new MemoryObjects();
  world.run(async () => {
    const volume = world.volume();
    await volume.init();
    await makeHistory(volume, 1);
    let isTaken = true;
    const beginBase = () => (isTaken ? undefined : () => undefined);
    const home = homeOf(homeVolumeOf(volume), new PartStore(objects, VOLUME), { beginBase });
    await home.bringUp();
    expect(objects.objects.size).toBe(0);
    expect(home.behind()).toMatchObject({ isBaseMissing: true, diffs: [{}] });
    isTaken = false;
    await home.bringUp();
    expect(home.behind()).toEqual({ isBaseMissing: false, diffs: [] });
  });
});
