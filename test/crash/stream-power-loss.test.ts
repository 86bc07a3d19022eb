/**
 * Power loss after every single step of a replica's files and of a two-phase sink's output: for each state that the disk
 * may be left in, what was acknowledged must be there.
 */
import { describe, expect, test } from "bun:test";
import { SimClock } from "../../src/core/sim/clock.ts";
import { crashStates } from "../../src/core/sim/disk-crash.ts";
import type { DirectoryNode } from "../../src/core/sim/disk-state.ts";
import { SimDisk } from "../../src/core/sim/disk.ts";
import { Scheduler } from "../../src/core/sim/scheduler.ts";
import { WorkerOutput } from "../../src/streams/receiver/worker-output.ts";
import { AppendSession } from "../../src/streams/replica/append-session.ts";
import { ReplicaFiles } from "../../src/streams/replica/files.ts";
import { ByteWriter } from "../../src/streams/wire/bytes.ts";
import { readStatus, writePiece } from "../../src/streams/wire/replica.ts";
import { OUTPUT_STREAM } from "../../src/streams/wire/two-phase.ts";

const STATES_MAX = 200;
const SECTOR_BYTES = 64;
const LOOKING = ["read", "size", "list", "exists", "close", "open"];

interface Point<Promise> {
  after: string;
  disk: DirectoryNode;
  promise: Promise;
}

/** Runs `work` and keeps the disk after each change, with what had been promised by then. */
function record<Promised>(
  none: Promised,
  work: (disk: SimDisk, clock: SimClock, promise: (what: Promised) => void) => Promise<void>,
): Point<Promised>[] {
  const scheduler = new Scheduler(1);
  const disk = new SimDisk(scheduler, { sectorBytes: SECTOR_BYTES });
  const points: Point<Promised>[] = [];
  let promise = none;
  const capture = (after: string) => points.push({ after, disk: disk.capture(), promise });
  disk.onChange = (operation, path) => {
    if (!LOOKING.includes(operation)) capture(`${operation} ${path}`);
  };
  scheduler.run(() =>
    work(disk, new SimClock(scheduler), (what) => {
      promise = what;
      capture("a promise");
    }),
  );
  return points;
}

/** Calls `find` on every state after every point; collects what it says is wrong. */
function check<Promised>(
  points: readonly Point<Promised>[],
  find: (disk: SimDisk, clock: SimClock, promise: Promised) => Promise<string | undefined>,
): { problems: string[]; states: number } {
  const problems: string[] = [];
  let states = 0;
  for (const { after, disk: captured, promise } of points) {
    for (const names of ["ordered", "any"] as const) {
      crashStates(captured, { names, isTearing: true }, STATES_MAX, (state) => {
        states++;
        const scheduler = new Scheduler(2);
        const disk = new SimDisk(scheduler, { sectorBytes: SECTOR_BYTES });
        disk.restore(state);
        const problem = scheduler.run(() => find(disk, new SimClock(scheduler), promise));
        if (problem !== undefined && problems.length < 10) problems.push(`after ${after}: ${problem}`);
      });
    }
  }
  return { problems, states };
}

// --- a replica's files -------------------------------------------------------------------------------------------------

interface ReplicaPromise {
  /** Bytes that a status called synced, by file. */
  synced: Record<string, number>;
  /** Exact length of the first file once it was cut. */
  cutTo?: number;
  isFirstGone?: boolean;
}

const contentOf = (name: string, length: number) =>
  Uint8Array.from({ length }, (_, offset) => (offset * 7 + name.length) & 0xff);

async function replicaLife(
  disk: SimDisk,
  clock: SimClock,
  promise: (what: ReplicaPromise) => void,
): Promise<void> {
  const files = await ReplicaFiles.open(disk, "/files");
  const directory = await files.select("worker2", true);
  const synced: Record<string, number> = {};
  const append = async (name: string, from: number, sizes: number[]) => {
    const file = await files.append(directory, name, from);
    let end = from;
    let reached: () => void = () => {};
    const session = new AppendSession({
      ...{ clock, file, isChecked: true, statusMs: 1000, unwrittenBytesMax: 1 << 20 },
      send(frame) {
        synced[name] = readStatus(frame.subarray(4)).syncedBytes;
        promise({ synced: { ...synced }, ...(synced.other !== undefined && { cutTo: 130 }) });
        if (synced[name] === end) reached();
      },
      setPaused: () => {},
      onFailed: (error) => {
        throw error;
      },
    });
    for (const [index, size] of sizes.entries()) {
      const writer = new ByteWriter();
      writePiece(writer, contentOf(name, end + size).subarray(end));
      end += size;
      session.receive(writer.done());
      // Of two pieces the second comes while the first is being synced.
      if (index % 2 === 1)
        await new Promise<void>((resolve) => (synced[name] === end ? resolve() : (reached = resolve)));
    }
    await session.end();
    await files.release(directory, name, file);
  };
  await append("first", 0, [40, 70, 5, 100]);
  // Who cuts has given up what lies behind.
  promise({ synced: { first: 130 } });
  await files.truncate(directory, "first", 130);
  synced.first = 130;
  promise({ synced: { ...synced }, cutTo: 130 });
  await append("other", 0, [90, 90]);
  promise({ synced: { other: 180 } });
  await files.remove(directory, "first");
  promise({ synced: { other: 180 }, isFirstGone: true });
}

async function findReplica(
  disk: SimDisk,
  _clock: SimClock,
  promise: ReplicaPromise,
): Promise<string | undefined> {
  const files = await ReplicaFiles.open(disk, "/files");
  const directory = await files.select("worker2", true);
  const list = await files.list(directory);
  for (const [name, bytes] of Object.entries(promise.synced)) {
    const file = list.find((each) => each.name === name);
    if (file === undefined) return `${name} is gone`;
    if (file.bytes < bytes) return `${name} has ${file.bytes} bytes, ${bytes} were acknowledged`;
    const found = await files.read(directory, name, 0, 0);
    const wrong = contentOf(name, bytes).findIndex((byte, offset) => found[offset] !== byte);
    if (wrong >= 0) return `byte ${wrong} of ${name} is not what was appended`;
  }
  const first = list.find(({ name }) => name === "first");
  if (promise.isFirstGone === true && first !== undefined) return "first was removed and is back";
  if (promise.cutTo !== undefined && first !== undefined && first.bytes !== promise.cutTo)
    return `first was cut to ${promise.cutTo} and has ${first.bytes} bytes`;
  return undefined;
}

// --- a two-phase sink's output -----------------------------------------------------------------------------------------

interface OutputPromise {
  /** What is committed for good. */
  committed: string;
  /** A promise that was given and not settled, with its bytes. */
  pending?: { transaction: string; text: string };
}

const WORKER = "worker2.out";

async function outputLife(
  disk: SimDisk,
  clock: SimClock,
  promise: (what: OutputPromise) => void,
): Promise<void> {
  await disk.makeDirectory("/out");
  await disk.syncDirectory("/");
  const output = await WorkerOutput.open({ disk, clock }, "/out", WORKER);
  let committed = "";
  const interval = async (id: number, text: string, isCommit: boolean) => {
    output.append(committed.length, Buffer.from(text.slice(0, 30)));
    await output.flush();
    output.append(committed.length + 30, Buffer.from(text.slice(30)));
    const transaction = `${WORKER}:c_id=${id}`;
    const start = committed.length;
    const ranges = [{ streamId: OUTPUT_STREAM, start, end: start + text.length }];
    expect(await output.promise(transaction, ranges)).toBe(true);
    promise({ committed, pending: { transaction, text } });
    // The worker has decided: from here on either may be found.
    promise({ committed });
    await output.settle(transaction, isCommit);
    if (isCommit) committed += text;
    promise({ committed });
  };
  await interval(1, "a".repeat(150), true);
  await interval(2, "b".repeat(90), false);
  await interval(3, "c".repeat(200), true);
  await output.close();
}

async function findOutput(
  disk: SimDisk,
  clock: SimClock,
  promise: OutputPromise,
): Promise<string | undefined> {
  const { committed, pending } = promise;
  await disk.makeDirectory("/out");
  const output = await WorkerOutput.open({ disk, clock }, "/out", WORKER);
  if (output.committedBytes < committed.length)
    return `${committed.length} bytes were committed, ${output.committedBytes} are there`;
  const text = await readText(disk, output.bytes);
  if (!text.startsWith(committed)) return "committed bytes are not what was written";
  if (pending === undefined) return undefined;
  const isSettled = output.committedBytes > committed.length;
  if (!isSettled && !output.uncommitted.includes(pending.transaction))
    return `${pending.transaction} is forgotten`;
  if (text.slice(committed.length, committed.length + pending.text.length) !== pending.text)
    return "promised bytes are not what was written";
  return undefined;
}

async function readText(disk: SimDisk, bytes: number): Promise<string> {
  const file = await disk.open(`/out/out.${WORKER}`, "read");
  const content = new Uint8Array(bytes);
  await file.read(content, 0);
  await file.close();
  return Buffer.from(content).toString();
}

describe("power loss at every step", () => {
  test("of a replica: what a status called synced is there, unchanged; what was cut or removed stays so", () => {
    const { problems, states } = check(record<ReplicaPromise>({ synced: {} }, replicaLife), findReplica);
    console.log(`${states} states of a replica's disk`);
    expect(problems).toEqual([]);
    expect(states).toBeGreaterThan(300);
  }, 120_000);

  test("of a two-phase sink: every promise is kept and every commit stays", () => {
    const { problems, states } = check(record<OutputPromise>({ committed: "" }, outputLife), findOutput);
    console.log(`${states} states of a sink's disk`);
    expect(problems).toEqual([]);
    expect(states).toBeGreaterThan(300);
  }, 120_000);
});
