/** What a group remembers for a time is counted by a clock of its own, which nobody sets. */
import { expect, test } from "bun:test";
import { silentLog } from "../../../src/core/logging/log.ts";
import { SimClock } from "../../../src/core/sim/clock.ts";
import { SimDisk } from "../../../src/core/sim/disk.ts";
import { SimProcess } from "../../../src/core/sim/process.ts";
import { Scheduler } from "../../../src/core/sim/scheduler.ts";
import { crc32c } from "../../../src/native/crc32c.ts";
import { ReplicaDriver } from "../../../src/reactive/replication/driver.ts";
import { GroupClock } from "../../../src/reactive/replication/group-clock.ts";
import { replicaDefaults } from "../../../src/reactive/replication/settings.ts";
import { ListMachine } from "./list-machine.ts";

const HOUR_MS = 3_600_000;

test("a backup goes by the entries that it applies, a primary is not set back by its own", () => {
  const scheduler = new Scheduler(1);
  const clock = new SimClock(scheduler, { wallStartMs: 5000 });
  const group = new GroupClock(clock, 0);
  expect(group.nowMs).toBe(5000);
  group.follow(3000, true);
  expect(group.nowMs).toBe(5000);
  group.follow(3000, false);
  expect(group.nowMs).toBe(3000);
  group.follow(4000, true);
  clock.step(HOUR_MS);
  expect(group.nowMs).toBe(4000);
  expect(new GroupClock(clock, 7000).nowMs).toBe(7000);
});

test("a wall clock that is set, and the time without power, are no time to the group", () => {
  const scheduler = new Scheduler(1);
  scheduler.run(
    async () => {
      const disk = new SimDisk(scheduler);
      const times: number[] = [];
      const live = async (wallStepMs: number) => {
        const process = new SimProcess(scheduler, disk);
        const machine = new ListMachine();
        machine.onApply = ({ timeMs }) => void times.push(timeMs);
        const driver = await ReplicaDriver.open({
          world: { clock: process.clock, random: scheduler.fork(), disk: process.disk },
          crc32c,
          log: silentLog(),
          directory: "/data",
          settings: { ...replicaDefaults, replica: 0, replicas: 1 },
          machine,
          send: () => {},
          journalBytesMin: 1 << 20,
          onFatal: (error) => {
            throw error;
          },
        });
        const pause = (ms: number) => new Promise<void>((resolve) => void process.clock.after(ms, resolve));
        while (!driver.takesRequests) await pause(10);
        for (let number = 1; number <= 2; number++) {
          const body = new Uint8Array(0);
          await new Promise<void>((resolve) => {
            driver.submit({ session: 0, number, floor: 0, body }, () => resolve());
          });
          process.clock.step(wallStepMs);
        }
        await driver.close();
        process.kill();
      };
      await live(HOUR_MS);
      await live(-3 * HOUR_MS);
      await new Promise<void>((resolve) => void scheduler.after(HOUR_MS, resolve));
      await live(HOUR_MS);
      const [first = 0] = times;
      expect(times.length).toBeGreaterThanOrEqual(6);
      expect(Math.max(...times) - first).toBeLessThan(1000);
    },
    { timeLimitMs: 3 * HOUR_MS },
  );
  expect(scheduler.timeMs).toBeGreaterThan(HOUR_MS);
});
