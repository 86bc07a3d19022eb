/** A file that is synced while it is written. */
import { expect, test } from "bun:test";
import { EarlySync } from "../../../src/backup/formats/early-sync.ts";
import type { DiskFile } from "../../../src/core/seams/disk.ts";

/** A file whose syncs end when the test says so. */
function controlled() {
  const syncs: PromiseWithResolvers<void>[] = [];
  const sync = () => {
    const next = Promise.withResolvers<void>();
    syncs.push(next);
    return next.promise;
  };
  return { file: { sync } as unknown as DiskFile, syncs };
}

test("one sync at a time, and one behind everything at the end", async () => {
  const { file, syncs } = controlled();
  const early = new EarlySync(file);
  early.begin();
  early.begin();
  expect(syncs).toHaveLength(1);
  let isDone = false;
  const finishing = early.finish().then(() => (isDone = true));
  syncs[0]?.resolve();
  while (syncs.length < 2) await Bun.sleep(1);
  expect(isDone).toBe(false);
  syncs[1]?.resolve();
  await finishing;
});

test("who writes faster than the disk waits for it, so that the sync at the end is a short one", async () => {
  const { file, syncs } = controlled();
  const early = new EarlySync(file);
  const MIB = 1 << 20;
  for (let written = 0; written < 64; written += 8) await early.wrote(8 * MIB);
  // The first 16 MiB are on their way.
  expect(syncs).toHaveLength(1);
  let isTaken = false;
  const waiting = early.wrote(8 * MIB).then(() => (isTaken = true));
  await Bun.sleep(1);
  expect(isTaken).toBe(false);
  syncs[0]?.resolve();
  await waiting;
  const more = early.wrote(16 * MIB);
  expect(syncs).toHaveLength(2);
  syncs[1]?.reject(new Error("the disk is gone"));
  await expect(more).rejects.toThrow("the disk is gone");
});

test("a sync that failed on the way is told at the end", async () => {
  const { file, syncs } = controlled();
  const early = new EarlySync(file);
  early.begin();
  syncs[0]?.reject(new Error("the disk is gone"));
  await early.settled();
  early.begin();
  expect(syncs).toHaveLength(1);
  await expect(early.finish()).rejects.toThrow("the disk is gone");
});
