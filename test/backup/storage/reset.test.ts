/** A log that begins anew while the disk is full: at no call does the volume ship what its archive would not know. */
import { expect, test } from "bun:test";
import { StorageVolume } from "../../../src/backup/storage/volume.ts";
import type { VolumeEngine } from "../../../src/backup/volume/engine.ts";
import { silentLog } from "../../../src/core/logging/log.ts";
import { SimClock } from "../../../src/core/sim/clock.ts";
import { SimDisk } from "../../../src/core/sim/disk.ts";
import { Scheduler } from "../../../src/core/sim/scheduler.ts";

/** As much of an engine as a volume asks for when its log begins anew. */
class FakeEngine {
  uuid = new Uint8Array(16).fill(1);
  readonly isOverflow = false;
  readonly log = { written: 1000n };

  async reset(): Promise<void> {
    this.uuid = this.uuid.map((byte) => byte + 1);
    this.log.written = 0n;
  }

  keepLogFrom(): void {}
}

function inWorld(nth: number) {
  const scheduler = new Scheduler(3);
  const disk = new SimDisk(scheduler);
  const world = { disk, random: scheduler.fork(), clock: new SimClock(scheduler), log: silentLog() };
  return scheduler.run(async () => {
    await disk.makeDirectory("/storage");
    const engine = new FakeEngine();
    const volume = new StorageVolume(world, "/storage", "vol1", 1 << 20);
    await volume.init("vol1", engine as unknown as VolumeEngine);
    await volume.resetLog(0n);
    await volume.setState("Target");
    await volume.setState("Stopped");
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
    const restarted = new StorageVolume(world, "/storage", "vol1", 1 << 20);
    await restarted.load();
    restarted.attach(engine as unknown as VolumeEngine);
    // Repeated, it is as if nothing had been.
    await volume.resetLog(5n);
    return {
      hasFailed,
      isReset,
      isOverflow,
      isOverflowLater: restarted.isOverflow,
      isMended: !volume.isOverflow,
    };
  });
}

test("a log that could not begin anew counts as overflowed, now and after a restart, until it has", () => {
  let nth = 0;
  for (;;) {
    const { hasFailed, isReset, isOverflow, isOverflowLater, isMended } = inWorld(++nth);
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
