/** One volume of a storage, over a disk that is full at times: what it knows of its log, and of its marks. */
import { expect, test } from "bun:test";
import { MARKS_MAX, StorageVolume } from "../../../src/backup/storage/volume.ts";
import type { VolumeEngine } from "../../../src/backup/volume/engine.ts";
import { silentLog } from "../../../src/core/logging/log.ts";
import { SimClock } from "../../../src/core/sim/clock.ts";
import { SimDisk } from "../../../src/core/sim/disk.ts";
import { Scheduler } from "../../../src/core/sim/scheduler.ts";

/** As much of an engine as a volume asks for when its log begins anew. */
class FakeEngine {
  uuid = new Uint8Array(16).fill(1);
  readonly isOverflow = false;
  readonly physicalBytes = 512;
  readonly log = { written: 1000n };

  async flush(): Promise<void> {}

  async reset(): Promise<void> {
    this.uuid = this.uuid.map((byte) => byte + 1);
    this.log.written = 0n;
  }

  keepLogFrom(): void {}
}

interface Made {
  volume: StorageVolume;
  disk: SimDisk;
  engine: FakeEngine;
  /** What a start would find. */
  restart(): Promise<StorageVolume>;
}

/** Runs `work` on a volume that is Stopped, with a log that nothing was shipped of. */
function withVolume<Value>(work: (made: Made) => Promise<Value>): Value {
  const scheduler = new Scheduler(3);
  const disk = new SimDisk(scheduler);
  const world = { disk, random: scheduler.fork(), clock: new SimClock(scheduler), log: silentLog() };
  const newVolume = () => new StorageVolume(world, "/storage", "vol1", 1 << 20);
  return scheduler.run(async () => {
    await disk.makeDirectory("/storage");
    const engine = new FakeEngine();
    const volume = newVolume();
    await volume.init("vol1", engine as unknown as VolumeEngine);
    await volume.resetLog(0n);
    await volume.setState("Target");
    await volume.setState("Stopped");
    const restart = async () => {
      const restarted = newVolume();
      await restarted.load();
      restarted.attach(engine as unknown as VolumeEngine);
      return restarted;
    };
    return await work({ volume, disk, engine, restart });
  });
}

function resetWithFailure(nth: number) {
  return withVolume(async ({ volume, disk, restart }) => {
    disk.failLater({
      nth,
      isSticky: false,
      errno: "ENOSPC",
      operations: ["open", "write", "sync", "rename"],
    });
    const isReset = await volume.resetLog(5n).then(
      () => true,
      () => false,
    );
    const { hasFailed } = disk;
    disk.failLater(undefined);
    const isOverflow = volume.isOverflow;
    const isOverflowLater = (await restart()).isOverflow;
    // Repeated, it is as if nothing had been.
    await volume.resetLog(5n);
    return { hasFailed, isReset, isOverflow, isOverflowLater, isMended: !volume.isOverflow };
  });
}

test("a log that could not begin anew counts as overflowed, now and after a restart, until it has", () => {
  let nth = 0;
  for (;;) {
    const { hasFailed, isReset, isOverflow, isOverflowLater, isMended } = resetWithFailure(++nth);
    if (!hasFailed) break;
    expect({ nth, isReset, isOverflow, isMended }).toEqual({
      nth,
      isReset,
      isOverflow: !isReset,
      isMended: true,
    });
    // The last rename may have happened, although its directory could not be synced.
    expect(isOverflowLater || isReset).toBe(true);
  }
  console.log(`${nth - 1} calls failed`);
  expect(nth).toBeGreaterThan(15);
});

test("so many snapshots wait as a start can read, and no more", () => {
  withVolume(async ({ volume, engine, restart }) => {
    // One by one they would take their time; the file is the same.
    volume.queue = Array.from({ length: MARKS_MAX - 1 }, (_, index) => ({
      ...{ isMergeable: false, timestamp: 4_000_000_000, lsid: 2n ** 40n + BigInt(index) },
      gid: 2n ** 60n + BigInt(index),
    }));
    engine.log.written = 2n ** 41n;
    await volume.snapshot(false);
    expect((await restart()).queue).toHaveLength(MARKS_MAX);
    const refusal = await volume.snapshot(false).then(
      () => "taken",
      (error: Error) => error.message,
    );
    expect(refusal).toContain("10000 snapshots wait to be shipped");
    await volume.cutIfDue(0);
    expect(volume.queue).toHaveLength(MARKS_MAX);
  });
});

test("a snapshot and a cut that is due at the same time are one point", () => {
  withVolume(async ({ volume, engine }) => {
    engine.log.written = 500n;
    await Promise.all([volume.snapshot(false), volume.cutIfDue(0)]);
    expect(volume.queue.map(({ lsid, isMergeable }) => [lsid, isMergeable])).toEqual([[500n, false]]);
    engine.log.written = 600n;
    await volume.cutIfDue(0);
    expect(volume.queue.map(({ lsid }) => lsid)).toEqual([500n, 600n]);
  });
});
