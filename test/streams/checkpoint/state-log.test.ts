/** The state log beyond crashes: mirrors, damage, compaction. */
import { expect, test } from "bun:test";
import type { NxError } from "../../../src/core/errors.ts";
import { silentLog } from "../../../src/core/logging/log.ts";
import type { World } from "../../../src/core/role.ts";
import { SimClock } from "../../../src/core/sim/clock.ts";
import { SimDisk } from "../../../src/core/sim/disk.ts";
import { Scheduler } from "../../../src/core/sim/scheduler.ts";
import { json } from "../../../src/streams/api/codecs.ts";
import { noMeta } from "../../../src/streams/checkpoint/contents.ts";
import { type Mirror, StateLog } from "../../../src/streams/checkpoint/state-log.ts";
import { FrameCursor } from "../../../src/streams/runtime/frame-cursor.ts";
import { StateStore } from "../../../src/streams/state/store.ts";

const scheduler = () => new Scheduler(1);

async function open(on: Scheduler, disk: SimDisk, mirror?: Mirror, name = "counts") {
  const store = new StateStore(
    name,
    { init: () => ({ count: 0 }), codec: json<unknown>() },
    new FrameCursor(),
  );
  const world: World = { clock: new SimClock(on), disk, random: on.fork(), net: undefined as never };
  const log = await StateLog.open({
    ...{ world, log: silentLog(), directory: "/data/state", stores: [store], mirror },
    compaction: { logBytesMin: 8000, growthPercent: 100 },
    onFatal: (error) => {
      throw error;
    },
    progress: () => {},
  });
  return { log, store };
}

const bump = (store: StateStore, key: string) => {
  (store.value(key) as { count: number }).count += 1;
};

test("a checkpoint is prepared only when the mirror has it too", () => {
  const on = scheduler();
  const disk = new SimDisk(on);
  on.run(async () => {
    let isSafe = false;
    const gate = Promise.withResolvers<void>();
    const mirror: Mirror = { append: () => {}, restart: () => {}, flush: () => gate.promise };
    const { log, store } = await open(on, disk, mirror);
    bump(store, "a");
    const prepared = log.prepare(1, noMeta(), new Map()).then(() => {
      isSafe = true;
    });
    await new Promise<void>((resolve) => void on.after(1000, resolve));
    expect(isSafe).toBe(false);
    gate.resolve();
    await prepared;
    expect(isSafe).toBe(true);
  });
});

test("only what changed since the last checkpoint is written, and the log is compacted when it has grown", () => {
  const on = scheduler();
  const disk = new SimDisk(on);
  on.run(async () => {
    const { log, store } = await open(on, disk);
    for (let key = 0; key < 100; key++) bump(store, `key ${key}`);
    await log.prepare(1, noMeta(), new Map());
    const full = log.figures.lastCheckpointBytes;
    log.commit(1, "{}");
    bump(store, "key 7");
    await log.prepare(2, noMeta(), new Map());
    expect(log.figures.lastCheckpointBytes).toBeLessThan(full / 10);
    log.commit(2, "{}");
    for (let id = 3; id < 60; id++) {
      bump(store, `key ${id % 10}`);
      await log.prepare(id, noMeta(), new Map());
      log.commit(id, "{}");
    }
    await log.close();
    expect(log.figures.snapshotBytes).toBeGreaterThan(0);
    const again = await open(on, disk);
    expect(again.log.committed.id).toBe(59);
    expect(again.store.peek("key 7")).toEqual({ count: 8 });
    expect(again.store.size).toBe(100);
  });
});

/** The one log file of a directory, as far as it was written: what is reserved behind that is zeros. */
async function writtenLog(disk: SimDisk): Promise<{ path: string; bytes: Uint8Array }> {
  const names = (await disk.list("/data/state")).map(({ name }) => name);
  const path = `/data/state/${names.find((name) => name.startsWith("log-"))}`;
  const file = await disk.open(path, "read");
  // All that these tests write is at its beginning.
  const bytes = new Uint8Array(4096);
  await file.read(bytes, 0);
  await file.close();
  return { path, bytes: bytes.subarray(0, bytes.findLastIndex((byte) => byte !== 0) + 1) };
}

test("A13: a log that lost its last 1 to 64 bytes goes back to the last checkpoint that is whole", () => {
  const on = scheduler();
  on.run(async () => {
    const disk = new SimDisk(on);
    const { log, store } = await open(on, disk);
    for (let id = 1; id < 4; id++) {
      bump(store, "a");
      await log.prepare(id, noMeta(), new Map());
      log.commit(id, "{}");
      await log.flush();
    }
    await log.close();
    const { path, bytes } = await writtenLog(disk);
    const committed: number[] = [];
    for (let cut = 1; cut <= 64; cut++) {
      const torn = new SimDisk(on);
      await torn.makeDirectory("/data/state");
      const file = await torn.open(path, "create");
      await file.write(bytes.subarray(0, bytes.byteLength - cut), 0);
      await file.close();
      const again = await open(on, torn);
      const { id } = again.log.committed;
      again.log.rollBack(id);
      expect({ cut, state: again.store.peek("a") }).toEqual({ cut, state: { count: id } });
      committed.push(id);
    }
    // 64 bytes are more than the note that the third is committed, and less than the third.
    expect(committed).toEqual(committed.toSorted((a, b) => b - a));
    expect(committed.at(-1)).toBe(2);
  });
}, 120_000);

test("A13: a flipped bit in what is committed is refused with file and byte", () => {
  const on = scheduler();
  const disk = new SimDisk(on);
  on.run(async () => {
    const { log, store } = await open(on, disk);
    for (let id = 1; id < 4; id++) {
      bump(store, "a");
      await log.prepare(id, noMeta(), new Map());
      log.commit(id, "{}");
    }
    await log.close();
    const [file = ""] = (await disk.list("/data/state"))
      .map(({ name }) => name)
      .filter((name) => name.startsWith("log-"));
    disk.flipBit(`/data/state/${file}`, 8 * 150);
    const found = await open(on, disk).then(
      () => "opened",
      (error: NxError) => `${error.code} ${error.message}`,
    );
    expect(found).toMatch(/^NX_DATA_CORRUPT \/data\/state\/log-\S+, byte \d+: /);
  });
});

test("states of a step that the application does not have any more are named", () => {
  const on = scheduler();
  const disk = new SimDisk(on);
  on.run(async () => {
    const { log, store } = await open(on, disk);
    bump(store, "a");
    await log.prepare(1, noMeta(), new Map());
    await log.close();
    const other = await open(on, disk, undefined, "other");
    expect([...other.log.unknownSteps]).toEqual(["counts"]);
  });
});
