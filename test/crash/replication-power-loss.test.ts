/**
 * Power loss under the journal and the superblocks of a replica, on the real code: every moment of small histories, every
 * state that the disk may be left in (or a sample of them where there are too many).
 *
 * What must hold: the promises found are the last acknowledged ones or later ones; the log found is one that the
 * replica had in memory at or after its last acknowledged write, whole; a snapshot never loses what stands behind it.
 */
import { expect, setDefaultTimeout, test } from "bun:test";
import { NxError } from "../../src/core/errors.ts";
import type { Disk } from "../../src/core/seams/disk.ts";
import { SimClock } from "../../src/core/sim/clock.ts";
import { crashStates } from "../../src/core/sim/disk-crash.ts";
import type { DirectoryNode } from "../../src/core/sim/disk-state.ts";
import { SimDisk } from "../../src/core/sim/disk.ts";
import { Scheduler } from "../../src/core/sim/scheduler.ts";
import { crc32c } from "../../src/native/crc32c.ts";
import { Journal, type DurableLog } from "../../src/reactive/replication/journal.ts";
import { Service } from "../../src/reactive/replication/service.ts";
import { Superblock } from "../../src/reactive/replication/superblock.ts";
import type { Entry, Promises } from "../../src/reactive/replication/types.ts";
import { encodeRequests } from "../../src/reactive/replication/codec.ts";
import { encodeCommand, ListMachine } from "../reactive/replication/list-machine.ts";
import { whole } from "../reactive/whole.ts";
import { boundDisk } from "./bound-disk.ts";
import { keyOf, makeDataDirectory, models } from "./log-harness.ts";

setDefaultTimeout(600_000);

// --- superblocks -----------------------------------------------------------------------------------------------

const promisesOf = (view: number): Promises => ({
  group: 77,
  replica: 1,
  replicas: 3,
  view,
  incarnations: [1, 1, 2],
  founders: view === 0 ? [4, 5, 6] : [],
});

interface Point {
  disk: DirectoryNode;
  /** Number of writes that were acknowledged. */
  acknowledged: number;
}

/** Runs `life` and keeps the disk after every call that changed it. `wrap` may break the disk's promises. */
function record(
  life: (
    disk: Disk,
    clock: SimClock,
    scheduler: Scheduler,
    acknowledge: (count: number) => void,
  ) => Promise<void>,
  wrap: (disk: Disk) => Disk,
): Point[] {
  const scheduler = new Scheduler(1);
  const disk = new SimDisk(scheduler);
  const points: Point[] = [];
  let acknowledged = 0;
  const capture = () => points.push({ disk: disk.capture(), acknowledged });
  disk.onChange = capture;
  const acknowledge = (count: number) => {
    acknowledged = count;
    capture();
  };
  scheduler.run(
    async () => {
      await makeDataDirectory(disk);
      await life(wrap(disk), new SimClock(scheduler), scheduler, acknowledge);
    },
    { timeLimitMs: 60_000 },
  );
  return points;
}

/** Visits the states of all points, each different one once per acknowledgement count. */
function explore(
  points: Point[],
  limit: number,
  judge: (disk: SimDisk, scheduler: Scheduler, acknowledged: number) => Promise<string | undefined>,
) {
  const violations: string[] = [];
  const known = new Set<string>();
  let states = 0;
  for (const point of points) {
    for (const model of models) {
      crashStates(point.disk, model, limit, (state) => {
        states++;
        const key = `${point.acknowledged}:${keyOf(state)}`;
        if (known.has(key)) return;
        known.add(key);
        const scheduler = new Scheduler(2);
        const disk = new SimDisk(scheduler);
        disk.restore(state);
        const verdict = scheduler.run(
          () => judge(disk, scheduler, point.acknowledged).catch((error: unknown) => `refused: ${error}`),
          { timeLimitMs: 60_000 },
        );
        if (verdict !== undefined) violations.push(verdict);
      });
    }
  }
  return { states, different: known.size, violations };
}

const VIEWS = 4;

async function superblockLife(disk: Disk, acknowledge: (count: number) => void): Promise<void> {
  const { superblock, promises } = await Superblock.open(disk, "/data/superblock", crc32c);
  expect(promises).toBeUndefined();
  for (let view = 0; view < VIEWS; view++) {
    await superblock.write(promisesOf(view));
    acknowledge(view + 1);
  }
  await superblock.close();
}

async function judgeSuperblock(disk: Disk, acknowledged: number): Promise<string | undefined> {
  const { superblock, promises } = await Superblock.open(disk, "/data/superblock", crc32c);
  await superblock.close();
  if (promises === undefined) return acknowledged > 0 ? `${acknowledged} promises are lost` : undefined;
  expect(promises).toEqual(promisesOf(promises.view));
  return promises.view + 1 < acknowledged
    ? `view ${promises.view} found, ${acknowledged - 1} promised`
    : undefined;
}

const exploreSuperblocks = (wrap: (disk: Disk) => Disk) =>
  explore(
    record((disk, _clock, _scheduler, acknowledge) => superblockLife(disk, acknowledge), wrap),
    512,
    (disk, _scheduler, acknowledged) => judgeSuperblock(disk, acknowledged),
  );

test("promises survive power loss at every moment of being written", () => {
  const found = exploreSuperblocks((disk) => disk);
  console.log(`superblocks: ${found.states} states, ${found.different} different`);
  expect(found.violations).toEqual([]);
  expect(found.states).toBeGreaterThan(5000);
});

test("damage of one superblock costs nothing, of both it is refused", () => {
  const scheduler = new Scheduler(3);
  const disk = new SimDisk(scheduler);
  scheduler.run(async () => {
    await makeDataDirectory(disk);
    await superblockLife(disk, () => {});
    disk.flipBit("/data/superblock", 8 * 40);
    expect(await judgeSuperblock(disk, VIEWS)).toBeUndefined();
    // The first one was repaired when it was opened; now the other one.
    disk.flipBit("/data/superblock", 8 * (4096 + 4000));
    expect(await judgeSuperblock(disk, VIEWS)).toBeUndefined();
    disk.flipBit("/data/superblock", 8 * 40);
    disk.flipBit("/data/superblock", 8 * (4096 + 40));
    const refusal = await Superblock.open(disk, "/data/superblock", crc32c).catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(NxError);
    expect((refusal as NxError).code).toBe("NX_DATA_CORRUPT");
  });
});

/** A disk whose syncs do nothing. */
const unsynced = (disk: Disk): Disk => ({
  ...boundDisk(disk),
  async open(path, mode) {
    const file = await disk.open(path, mode);
    const handle = Object.create(file) as typeof file;
    return Object.assign(handle, {
      sync: async () => {},
      writeDurably: (bytes: Uint8Array, offset: number) => file.write(bytes, offset),
    });
  },
});

/** A disk that keeps new names to itself. */
const forgetful = (disk: Disk): Disk => ({ ...boundDisk(disk), syncDirectory: async () => {} });

for (const [name, wrap] of Object.entries({
  "nothing is synced": unsynced,
  "no name is synced": forgetful,
})) {
  test(`negative control: lost promises are noticed when ${name}`, () => {
    expect(exploreSuperblocks(wrap).violations.length).toBeGreaterThan(0);
  });
}

// --- the journal -----------------------------------------------------------------------------------------------

const entry = (op: number, view: number, value: number): Entry => ({
  op,
  view,
  timeMs: 0,
  payload: encodeRequests([{ session: 1, number: op, floor: 1, body: encodeCommand({ key: 1, value }) }]),
});

/** A log as text: log view, then the views of its entries from 1 on; what the snapshot holds counts as applied. */
const textOf = ({ logView, snapshotOp, entries }: DurableLog, applied: string) =>
  `${logView}/${applied}${entries.map(({ op, view }) => `${op}.${view}`).join(" ")}/${snapshotOp}`;

type Step =
  | { do: "append"; entries: Entry[] }
  | { do: "install"; logView: number; keep: number; entries: Entry[] }
  | { do: "compact"; op: number };

/** Views 0 and 2, a log that is cut and continued, a snapshot in the middle, another cut behind it. */
const tour: Step[] = [
  { do: "append", entries: [entry(1, 0, 11), entry(2, 0, 12)] },
  { do: "append", entries: [entry(3, 0, 13)] },
  { do: "install", logView: 2, keep: 2, entries: [entry(3, 1, 23), entry(4, 2, 24)] },
  { do: "compact", op: 3 },
  { do: "append", entries: [entry(5, 2, 25)] },
  { do: "install", logView: 5, keep: 4, entries: [] },
  { do: "append", entries: [entry(5, 5, 35)] },
];

/** The log after each step, as a restart would show it: snapshot op apart. */
function modelOf(steps: readonly Step[]): string[] {
  let logView = 0;
  let log: Entry[] = [];
  return [
    "0/",
    ...steps.map((step) => {
      if (step.do === "append") log = [...log, ...step.entries];
      else if (step.do === "install") {
        log = [...log.filter(({ op }) => op <= step.keep), ...step.entries];
        logView = step.logView;
      }
      return `${logView}/${log.map(({ op, view }) => `${op}.${view}`).join(" ")}`;
    }),
  ];
}

async function openJournal(disk: Disk, clock: SimClock, scheduler: Scheduler) {
  const service = new Service(new ListMachine());
  const opened = await Journal.open({
    world: { disk, clock, random: scheduler.fork() },
    crc32c,
    directory: "/data/journal",
    service,
    onState: () => {},
    segmentBytesMin: 2048,
    readChunkBytes: 65_536,
  });
  return { ...opened, service };
}

async function journalLife(
  disk: Disk,
  clock: SimClock,
  scheduler: Scheduler,
  acknowledge: (count: number) => void,
): Promise<void> {
  const { journal, service } = await openJournal(disk, clock, scheduler);
  let log: DurableLog = { logView: 0, snapshotOp: 0, entries: [] };
  const all: Entry[] = [];
  for (const [index, step] of tour.entries()) {
    if (step.do === "compact") {
      for (const known of all.filter(({ op }) => op > service.op && op <= step.op))
        whole(service.apply(known));
      log = { logView: log.logView, snapshotOp: step.op, entries: all.filter(({ op }) => op > step.op) };
      await journal.compact(log, service);
    } else {
      const keep = step.do === "install" ? step.keep : all.length;
      all.length = keep;
      all.push(...step.entries);
      if (step.do === "install") log.logView = step.logView;
      await new Promise<void>((resolve) =>
        journal.write(
          step.do === "append" ? { kind: "append", entries: step.entries } : { kind: "install", ...step },
          resolve,
        ),
      );
    }
    acknowledge(index + 1);
  }
  await journal.close();
}

const logs = modelOf(tour);

async function judgeJournal(
  disk: SimDisk,
  scheduler: Scheduler,
  acknowledged: number,
): Promise<string | undefined> {
  const { journal, found, service } = await openJournal(disk, new SimClock(scheduler), scheduler);
  await journal.close();
  const behind = found.entries.map(({ op, view }) => `${op}.${view}`);
  const matches = logs.flatMap((text, index) => {
    const [logView = "", entries = ""] = text.split("/");
    const all = entries === "" ? [] : entries.split(" ");
    const isSame =
      Number(logView) === found.logView &&
      all.slice(found.snapshotOp).join() === behind.join() &&
      all.length === found.snapshotOp + behind.length;
    return isSame ? [index] : [];
  });
  const newest = matches.at(-1);
  if (newest === undefined) return `a log that never was: ${textOf(found, "…")}`;
  if (newest < acknowledged) return `the log of step ${newest} was found, ${acknowledged} were acknowledged`;
  if (service.op !== found.snapshotOp)
    return `the service is at ${service.op}, the snapshot at ${found.snapshotOp}`;
  return undefined;
}

const exploreJournal = (wrap: (disk: Disk) => Disk, limit: number) =>
  explore(record(journalLife, wrap), limit, judgeJournal);

test("the journal survives power loss at every moment of appending, cutting and compacting", () => {
  const found = exploreJournal((disk) => disk, 96);
  console.log(`journal: ${found.states} states, ${found.different} different`);
  expect(found.violations.slice(0, 3)).toEqual([]);
  expect(found.states).toBeGreaterThan(2000);
});

for (const [name, wrap] of Object.entries({
  "nothing is synced": unsynced,
  "no name is synced": forgetful,
})) {
  test(`negative control: a lost log is noticed when ${name}`, () => {
    expect(exploreJournal(wrap, 24).violations.length).toBeGreaterThan(0);
  });
}
