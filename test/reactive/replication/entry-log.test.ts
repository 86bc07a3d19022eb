/** What is kept of the log in memory, for whom. */
import { expect, test } from "bun:test";
import { SimClock } from "../../../src/core/sim/clock.ts";
import { Scheduler } from "../../../src/core/sim/scheduler.ts";
import { EntryLog } from "../../../src/reactive/replication/entry-log.ts";
import { Service } from "../../../src/reactive/replication/service.ts";
import { SnapshotSender } from "../../../src/reactive/replication/snapshot-transfer.ts";
import { ListMachine } from "./list-machine.ts";

const settings = { retainEntriesMax: 10, retainBytesMax: 1 << 20, heldBytesMax: 100_000 };

test("behind a snapshot that somebody fetches entries are kept, up to a limit of their own", () => {
  const log = new EntryLog();
  const append = (count: number) => {
    for (let left = count; left > 0; left--)
      log.append({ op: log.op + 1, view: 0, timeMs: 0, payload: new Uint8Array(1000) });
  };
  append(50);
  log.release(51, settings);
  expect(log.start).toBe(41);
  append(40);
  log.release(91, settings, 60);
  expect(log.start).toBe(61);
  append(100);
  log.release(191, settings, 60);
  const kept = log.op - log.start + 1;
  expect([kept > 80, kept <= 100]).toEqual([true, true]);
  log.release(191, settings);
  expect(log.start).toBe(181);
});

test("a receiver that has everything has time to write it down before entries behind it go", () => {
  const scheduler = new Scheduler(1);
  scheduler.run(
    async () => {
      const held: number[] = [];
      const service = new Service(new ListMachine());
      const sender = new SnapshotSender(
        service,
        new SimClock(scheduler),
        () => {},
        (op) => void held.push(op),
      );
      for (let index = 0; index === 0 || !service.canBeRead; index++)
        await sender.onRequest(1, { type: "getSnapshot", transfer: 7, index });
      const pause = (ms: number) => new Promise<void>((resolve) => void scheduler.after(ms, resolve));
      await pause(50_000);
      expect(held).toEqual([0]);
      await pause(20_000);
      expect(held).toEqual([0, Number.POSITIVE_INFINITY]);
      await sender.onRequest(1, { type: "getSnapshot", transfer: 8, index: 0 });
      await pause(15_000);
      expect(held).toEqual([0, Number.POSITIVE_INFINITY, 0, Number.POSITIVE_INFINITY]);
    },
    { timeLimitMs: 200_000 },
  );
});
