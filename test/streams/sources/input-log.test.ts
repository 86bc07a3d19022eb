/** The input log of raw senders: records keep their numbers, whatever the disk does. */
import { expect, test } from "bun:test";
import { silentLog } from "../../../src/core/logging/log.ts";
import type { World } from "../../../src/core/role.ts";
import { SimClock } from "../../../src/core/sim/clock.ts";
import { SimDisk } from "../../../src/core/sim/disk.ts";
import { Scheduler } from "../../../src/core/sim/scheduler.ts";
import { InputLog } from "../../../src/streams/sources/input-log.ts";

const RECORD_BYTES = 64 << 10;

function record(number: number): Uint8Array {
  const bytes = new Uint8Array(RECORD_BYTES);
  new DataView(bytes.buffer).setUint32(0, number);
  return bytes;
}

const numberOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);

test("what came while the disk was full is written when it has room, and a checkpoint waits for it", () => {
  const on = new Scheduler(1);
  const disk = new SimDisk(on);
  const world: World = { clock: new SimClock(on), disk, random: on.fork(), net: undefined as never };
  let pressures = 0;
  const events = {
    log: silentLog(),
    onPressure: () => void pressures++,
    onFatal: (error: Error) => {
      throw error;
    },
  };
  const open = () => InputLog.open(world, "/data/input-In", events);
  const pause = (ms: number) => new Promise<void>((resolve) => void on.after(ms, resolve));
  on.run(
    async () => {
      await disk.makeDirectory("/data");
      const log = await open();
      let next = 0;
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
      expect(pressures).toBe(2);
      // A checkpoint in the middle of what had waited; then the worker dies.
      const position = next - 10;
      log.committed(position);
      append();
      await log.flush();
      const again = await open();
      again.rollBack(position);
      const fed: number[] = [];
      again.replay((bytes) => void fed.push(numberOf(bytes)));
      expect(fed).toEqual(Array.from({ length: next - position }, (_, index) => position + index));
    },
    { timeLimitMs: 600_000 },
  );
});
