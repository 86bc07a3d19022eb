/** The file that gets every record exactly once, on a disk that is full for a while. */
import { expect, test } from "bun:test";
import { silentLog } from "../../../src/core/logging/log.ts";
import { SimClock } from "../../../src/core/sim/clock.ts";
import { SimDisk } from "../../../src/core/sim/disk.ts";
import { Scheduler } from "../../../src/core/sim/scheduler.ts";
import { FileSink } from "../../../src/streams/sinks/file-sink.ts";

const PATH = "/out/records";

test("while the disk is full output waits, and its checkpoint; going back needs no room, and nothing is doubled", () => {
  const on = new Scheduler(1);
  const disk = new SimDisk(on);
  const pause = (ms: number) => new Promise<void>((resolve) => void on.after(ms, resolve));
  on.run(
    async () => {
      let pressures = 0;
      const events = {
        onPressure: () => void pressures++,
        onFatal: (error: Error) => {
          throw error;
        },
      };
      const sink = new FileSink("out", PATH, events, {
        world: { clock: new SimClock(on), disk },
        log: silentLog(),
      });
      await sink.open();
      await sink.rollBack(0, undefined);
      const write = (letter: string, bytes: number) => {
        sink.writer.utf8(letter.repeat(bytes));
        sink.flush();
      };
      write("a", 1000);
      const first = sink.prepare(1);
      expect(await first.safe).toBe(true);
      sink.commit(1);
      await pause(100);

      disk.capacityBytes = disk.usedBytes();
      write("b", 5 << 20);
      let isSafe = false;
      void sink.prepare(2).safe.then(() => (isSafe = true));
      await pause(10_000);
      expect([isSafe, sink.isCongested, pressures]).toEqual([false, true, 1]);
      expect(sink.stats().trouble).toContain("the disk is full");

      // The cluster goes back: what waited is void, and takes no room.
      await sink.rollBack(1, first.position);
      await pause(1000);
      expect(sink.stats().trouble).toBe("");
      expect([sink.isCongested, sink.stats().waitingBytes, pressures]).toEqual([false, 0, 2]);
      write("c", 5 << 20);
      const third = sink.prepare(3);
      await pause(5000);
      expect(sink.isCongested).toBe(true);
      disk.capacityBytes = Number.POSITIVE_INFINITY;
      expect(await third.safe).toBe(true);
      sink.commit(3);
      await sink.close();
      const file = await disk.open(PATH, "read");
      const bytes = new Uint8Array(await file.size());
      await file.read(bytes, 0);
      expect(Buffer.from(bytes).toString()).toBe("a".repeat(1000) + "c".repeat(5 << 20));
    },
    { timeLimitMs: 600_000 },
  );
});

test("a file that lacks what is committed is refused and stays as it is", () => {
  const on = new Scheduler(2);
  const disk = new SimDisk(on);
  on.run(async () => {
    let fatal: Error | undefined;
    const events = { onPressure: () => {}, onFatal: (error: Error) => (fatal = error) };
    const sink = new FileSink("out", PATH, events, {
      world: { clock: new SimClock(on), disk },
      log: silentLog(),
    });
    await sink.open();
    await sink.rollBack(7, 1000);
    expect(fatal?.message).toBe(`${PATH}, the output of out, has 0 bytes, and 1000 are committed`);
    expect(await (await disk.open(PATH, "read")).size()).toBe(0);
    await sink.close();
  });
});
