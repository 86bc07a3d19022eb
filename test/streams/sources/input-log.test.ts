/** The input log of raw senders: records keep their numbers, whatever the disk does, and are fed again piece by piece. */
import { expect, test } from "bun:test";
import { silentLog } from "../../../src/core/logging/log.ts";
import type { World } from "../../../src/core/role.ts";
import { SimClock } from "../../../src/core/sim/clock.ts";
import { SimDisk } from "../../../src/core/sim/disk.ts";
import { Scheduler } from "../../../src/core/sim/scheduler.ts";
import { InputLog } from "../../../src/streams/sources/input-log.ts";
import { Replay } from "../../../src/streams/sources/replay.ts";

const RECORD_BYTES = 64 << 10;

function record(number: number): Uint8Array {
  const bytes = new Uint8Array(RECORD_BYTES);
  new DataView(bytes.buffer).setUint32(0, number);
  return bytes;
}

const numberOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);

const events = {
  log: silentLog(),
  onPressure: () => {},
  onFatal: (error: Error) => {
    throw error;
  },
};

function worldOf(on: Scheduler, disk: SimDisk): World {
  return { clock: new SimClock(on), disk, random: on.fork(), net: undefined as never };
}

/** Numbers of the records behind `position` that a worker finds on such a disk. */
async function found(on: Scheduler, disk: SimDisk, position: number): Promise<number[]> {
  const log = await InputLog.open(worldOf(on, disk), "/data/input-In", events);
  await log.rollBack(position);
  const fed: number[] = [];
  log.replay((bytes) => void fed.push(numberOf(bytes)), Number.POSITIVE_INFINITY);
  return fed;
}

const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => from + index);

test("what came while the disk was full is written when it has room, and a checkpoint waits for it", () => {
  const on = new Scheduler(1);
  const disk = new SimDisk(on);
  let pressures = 0;
  let next = 0;
  const pause = (ms: number) => new Promise<void>((resolve) => void on.after(ms, resolve));
  on.run(
    async () => {
      await disk.makeDirectory("/data");
      const log = await InputLog.open(worldOf(on, disk), "/data/input-In", {
        ...events,
        onPressure: () => void pressures++,
      });
      const append = () => log.append(record(next++), 0, RECORD_BYTES);
      append();
      await log.flush();
      disk.capacityBytes = disk.usedBytes();
      for (; !log.isCongested; await pause(10)) append();
      expect(pressures).toBe(1);
      let isOnDisk = false;
      const flushed = log.flush().then(() => (isOnDisk = true));
      await pause(5000);
      expect(isOnDisk).toBe(false);
      expect(log.trouble).toContain("the disk is full");
      disk.capacityBytes = Number.POSITIVE_INFINITY;
      await flushed;
      const safe = disk.capture();
      const safeCount = next;
      expect(pressures).toBe(2);
      // A checkpoint in the middle of what had waited; then the worker dies.
      const position = next - 10;
      log.committed(position);
      append();
      await log.flush();
      expect(await found(on, disk, position)).toEqual(numbers(position, next));
      // Of what the flush had promised nothing goes with the power.
      disk.restore(safe);
      expect(await found(on, disk, 0)).toEqual(numbers(0, safeCount));
    },
    { timeLimitMs: 600_000 },
  );
});

test("what was kept is fed again in pieces: a stop between two of them keeps the place, and nothing comes twice", () => {
  const on = new Scheduler(1);
  const disk = new SimDisk(on);
  const pause = (ms: number) => new Promise<void>((resolve) => void on.after(ms, resolve));
  on.run(async () => {
    await disk.makeDirectory("/data");
    const world = worldOf(on, disk);
    const log = await InputLog.open(world, "/data/input-In", events);
    for (let number = 0; number < 100; number++) log.append(record(number), 0, 1000);
    await log.rollBack(0);
    const fed: number[] = [];
    const pieces: number[] = [];
    let done = 0;
    const replay = new Replay({
      ...{ clock: world.clock, inputLog: log },
      feed: (bytes) => void fed.push(numberOf(bytes)),
      onPieceEnd: (records) => void pieces.push(records),
      onDone: () => void done++,
    });
    replay.start();
    expect(pieces).toEqual([66]);
    replay.stop();
    await pause(1000);
    expect([fed.length, done, log.position(), log.isBehind]).toEqual([66, 0, 66, true]);
    replay.start();
    await pause(1000);
    expect(fed).toEqual(numbers(0, 100));
    expect([done, log.isBehind]).toEqual([1, false]);
    // What came meanwhile is fed at the next start.
    replay.stop();
    log.keep(record(100));
    replay.start();
    expect(fed).toEqual(numbers(0, 101));
    await log.close();
  });
});

test("a log whose worker came from elsewhere without it goes on at the checkpoint's number, also behind the next crash", () => {
  const on = new Scheduler(1);
  const disk = new SimDisk(on);
  on.run(async () => {
    await disk.makeDirectory("/data");
    const log = await InputLog.open(worldOf(on, disk), "/data/input-In", events);
    log.append(record(0), 0, RECORD_BYTES);
    await log.flush();
    // The checkpoint was restored from a replica: it counts records that this directory never had.
    await log.rollBack(1000);
    expect([log.position(), log.isBehind]).toEqual([1000, false]);
    for (let number = 1000; number < 1005; number++) log.append(record(number), 0, RECORD_BYTES);
    await log.flush();
    log.committed(1002);
    await log.rollBack(1002);
    const fed: number[] = [];
    log.replay((bytes) => void fed.push(numberOf(bytes)), Number.POSITIVE_INFINITY);
    expect(fed).toEqual(numbers(1002, 1005));
    expect(await found(on, disk, 1003)).toEqual(numbers(1003, 1005));
  });
});
