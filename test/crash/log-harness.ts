/**
 * Drives the real log code on a simulated disk and judges what a restart finds.
 *
 * The owner in these tests is the simplest that can notice everything: its state is the concatenation of all
 * its appends. A restart must therefore replay exactly the first L bytes of that stream, where L is at least
 * what was acknowledged, and is the end of a group.
 */
import { crc32c, type Crc32c } from "../../src/core/crc32c.ts";
import type { Disk } from "../../src/core/seams/disk.ts";
import { NxError } from "../../src/core/errors.ts";
import { LogFile, type LogListener, type LogState } from "../../src/core/append-log/log-file.ts";
import { seededRandom } from "../../src/core/seams/random.ts";
import type { Clock } from "../../src/core/seams/clock.ts";
import { SimClock } from "../../src/core/sim/clock.ts";
import { crashStates, type CrashModel } from "../../src/core/sim/disk-crash.ts";
import type { DirectoryNode } from "../../src/core/sim/disk-state.ts";
import { SimDisk, type DiskOperation } from "../../src/core/sim/disk.ts";
import { Scheduler } from "../../src/core/sim/scheduler.ts";

export const DIRECTORY = "/data/log";

/** The log under test, whole or with one guarantee taken away. */
export interface Subject {
  crc32c: Crc32c;
  wrapDisk: (disk: Disk) => Disk;
  sealDelayMs: number;
}

export const whole: Subject = { crc32c, wrapDisk: (disk) => disk, sealDelayMs: 5 };

/** What a history does, one step after the other. */
export type Step =
  | { do: "append"; bytes: number; times?: number }
  | { do: "flush" }
  | { do: "idle" }
  | { do: "compact" }
  | { do: "close" };

const settings = {
  directory: DIRECTORY,
  payloadFormat: 1,
  groupBytesMax: 1200,
  segmentBytesMin: 1024,
  segmentBytesMax: 2048,
  retryDelayMs: 10,
  readChunkBytes: 512,
  servesClients: true,
};

export interface Opened {
  log: LogFile;
  /** What the restart replayed. */
  replayed: Uint8Array;
}

export async function openLog(
  disk: Disk,
  scheduler: Scheduler,
  clock: Clock,
  subject: Subject,
  listener: LogListener,
): Promise<Opened> {
  const parts: Uint8Array[] = [];
  const keep = (payload: Uint8Array) => void parts.push(payload.slice());
  const log = await LogFile.open(
    {
      ...settings,
      disk: subject.wrapDisk(disk),
      clock,
      random: scheduler.fork(),
      crc32c: subject.crc32c,
      sealDelayMs: subject.sealDelayMs,
      listener,
    },
    { onSnapshot: keep, onFrame: keep },
  );
  return { log, replayed: Buffer.concat(parts) };
}

/** An owner: remembers its stream, appends to it, and takes snapshots of it. */
export class Owner {
  stream: Uint8Array;
  acknowledged: number;
  state: LogState = "open";
  error: NxError | undefined;
  /** Ends of all groups, including those not yet durable at some crash point before. */
  groupEnds: number[] = [];
  onDurable: () => void = () => undefined;
  #random = seededRandom(77);

  constructor(replayed: Uint8Array) {
    this.stream = replayed;
    this.acknowledged = replayed.byteLength;
    this.groupEnds.push(replayed.byteLength);
  }

  readonly listener: LogListener = {
    onDurable: (position) => {
      this.acknowledged = position;
      this.groupEnds.push(position);
      this.onDurable();
    },
    onState: (state, error) => {
      this.state = state;
      this.error = error;
    },
  };

  append(log: LogFile, bytes: number): void {
    // Compressible and random, so that neither a lost sector nor a shifted one can go unnoticed.
    const record = this.#random.bytes(bytes);
    log.append(record);
    this.stream = Buffer.concat([this.stream, record]);
  }

  *snapshot(): Generator<Uint8Array> {
    const copy = this.stream;
    for (let at = 0; at < copy.byteLength; at += 700) yield copy.subarray(at, at + 700);
  }
}

export async function perform(step: Step, log: LogFile, owner: Owner, clock: Clock): Promise<void> {
  switch (step.do) {
    case "append":
      for (let count = 0; count < (step.times ?? 1); count++) owner.append(log, step.bytes);
      return;
    case "flush":
      return log.flush();
    case "idle":
      return new Promise((resolve) => {
        clock.after(20, resolve);
      });
    case "compact":
      return log.compact(() => owner.snapshot());
    case "close":
      return log.close();
  }
}

/** The disk at one moment of a history, with everything that was in doubt then. */
export interface CrashPoint {
  after: string;
  disk: DirectoryNode;
  acknowledged: number;
}

export interface Recording {
  points: CrashPoint[];
  stream: Uint8Array;
  groupEnds: Set<number>;
}

const CHANGING: ReadonlySet<DiskOperation> = new Set<DiskOperation>([
  "open", "write", "sync", "truncate", "allocate", "makeDirectory", "rename", "remove", "syncDirectory",
]); // prettier-ignore

/** The data directory exists and is durable before a role opens its log in it. */
export async function makeDataDirectory(disk: Disk): Promise<void> {
  await disk.makeDirectory("/data");
  await disk.syncDirectory("/");
}

/** An earlier life on the same disk, and what of it a restart finds. */
export interface Before {
  recording: Recording;
  disk: DirectoryNode;
  acknowledged: number;
}

/** Runs a history to its end and keeps the disk after every call that changed it. */
export function record(history: readonly Step[], subject: Subject, before?: Before): Recording {
  const scheduler = new Scheduler(1);
  const disk = new SimDisk(scheduler);
  const clock = new SimClock(scheduler);
  if (before !== undefined) disk.restore(before.disk);
  const points: CrashPoint[] = [];
  let owner = new Owner(new Uint8Array(0));
  owner.acknowledged = before?.acknowledged ?? 0;
  const capture = (after: string) =>
    points.push({ after, disk: disk.capture(), acknowledged: owner.acknowledged });
  disk.onChange = (operation, path) => {
    if (CHANGING.has(operation)) capture(`${operation} ${path}`);
  };
  scheduler.run(
    async () => {
      const listener: LogListener = {
        onDurable: (position) => owner.listener.onDurable(position),
        onState: (state, error) => owner.listener.onState?.(state, error),
      };
      await makeDataDirectory(disk);
      const { log, replayed } = await openLog(disk, scheduler, clock, subject, listener);
      owner = new Owner(replayed);
      owner.onDurable = () => capture("acknowledgement");
      // What was replayed may have been read by others: from here on it must stay.
      if (before !== undefined) capture("replay");
      for (const step of history) await perform(step, log, owner, clock);
    },
    { timeLimitMs: 60_000 },
  );
  const groupEnds = new Set([...owner.groupEnds, ...(before?.recording.groupEnds ?? [])]);
  return { points, stream: owner.stream, groupEnds };
}

/** Restarts on `disk` and says what is wrong with what it finds, if anything. */
export function judge(
  disk: DirectoryNode,
  acknowledged: number,
  of: Recording,
  subject: Subject,
): string | undefined {
  return verdictOn(find(disk, of, subject), acknowledged);
}

/**
 * What a restart finds: the length of a proper prefix of the stream, or what is wrong whatever was
 * acknowledged.
 */
type Finding = number | string;

function find(disk: DirectoryNode, of: Recording, subject: Subject): Finding {
  let found: Uint8Array;
  try {
    found = restart(disk, subject);
  } catch (error) {
    if (error instanceof NxError) return `refused: ${error.code} ${error.message}`;
    throw error;
  }
  if (Buffer.compare(found, of.stream.subarray(0, found.byteLength)) !== 0) return "found other bytes";
  if (!of.groupEnds.has(found.byteLength)) return `found half a group, up to byte ${found.byteLength}`;
  return found.byteLength;
}

function verdictOn(finding: Finding, acknowledged: number): string | undefined {
  if (typeof finding === "string") return finding;
  return finding < acknowledged ? `lost: ${acknowledged} bytes acknowledged, ${finding} found` : undefined;
}

/** Names and contents of a crashed disk, so that equal states are restarted once. */
export function keyOf(directory: DirectoryNode): string {
  const parts: string[] = [];
  for (const [name, node] of directory.entries) {
    if (node.kind === "directory") {
      parts.push(`${name}(${keyOf(node)})`);
      continue;
    }
    if (node.kind === "link") {
      parts.push(`${name}->${node.target}`);
      continue;
    }
    let hash = 0n;
    for (const [index, { durable }] of node.sectors) hash ^= Bun.hash.wyhash(durable, BigInt(index));
    parts.push(`${name}:${node.size}:${hash}`);
  }
  return parts.sort().join();
}

export function restart(state: DirectoryNode, subject: Subject): Uint8Array {
  const scheduler = new Scheduler(2);
  const disk = new SimDisk(scheduler);
  disk.restore(state);
  const open = () =>
    openLog(disk, scheduler, new SimClock(scheduler), subject, { onDurable: () => undefined });
  return scheduler.run(open, { timeLimitMs: 60_000 }).replayed;
}

export interface Exploration {
  points: number;
  states: number;
  /** Different ones among them. */
  restarts: number;
  /** Points whose states were all visited. */
  exhaustivePoints: number;
  violations: string[];
}

export const models: readonly CrashModel[] = [
  { names: "ordered", isTearing: true },
  { names: "any", isTearing: true },
];

/** Every crash point times every state that power loss can leave there. */
export function explore(recording: Recording, subject: Subject, limit: number): Exploration {
  const result: Exploration = { points: 0, states: 0, restarts: 0, exhaustivePoints: 0, violations: [] };
  const findings = new Map<string, Finding>();
  for (const point of recording.points) {
    result.points += 1;
    let isExhaustive = true;
    for (const model of models) {
      const visited = crashStates(point.disk, model, limit, (state) => {
        result.states += 1;
        const key = keyOf(state);
        let finding = findings.get(key);
        if (finding === undefined) findings.set(key, (finding = find(state, recording, subject)));
        const violation = verdictOn(finding, point.acknowledged);
        if (violation !== undefined)
          result.violations.push(`after ${point.after} (${model.names}): ${violation}`);
      });
      isExhaustive &&= visited.isExhaustive;
    }
    result.restarts = findings.size;
    if (isExhaustive) result.exhaustivePoints += 1;
  }
  return result;
}
