/**
 * Power loss under the store of a logfiles node: every moment of a history times the states that the disk may be left in,
 * each opened as a start opens it.
 *
 * What is found must be what some first part of the history leaves, and that part must hold everything acknowledged. A
 * second life on what was found writes, seals and reads again: nothing may be there twice, nothing be gone.
 */
import type { LogStore } from "../../src/channels/logfiles/store/log-store.ts";
import { NxError } from "../../src/core/errors.ts";
import type { Disk } from "../../src/core/seams/disk.ts";
import { SimClock } from "../../src/core/sim/clock.ts";
import { crashStates } from "../../src/core/sim/disk-crash.ts";
import type { DirectoryNode } from "../../src/core/sim/disk-state.ts";
import { type DiskOperation, SimDisk } from "../../src/core/sim/disk.ts";
import { Scheduler } from "../../src/core/sim/scheduler.ts";
import { type HarnessOptions, openStore, put, readAll } from "../channels/logfiles/store-harness.ts";
import { keyOf, makeDataDirectory, models } from "./log-harness.ts";

export type Step =
  | { do: "put"; channel: string; key: number; value: string }
  | { do: "remove"; channel: string }
  | { do: "flush" | "seal" | "close" };

type Content = Record<string, string[]>;

export interface Subject {
  options: HarnessOptions;
  wrapDisk(disk: Disk): Disk;
}

interface CrashPoint {
  after: string;
  disk: DirectoryNode;
  /** Steps that changed something: how many were acknowledged, how many were begun. */
  acknowledged: number;
  begun: number;
}

const CHANGING: ReadonlySet<DiskOperation> = new Set<DiskOperation>([
  "open", "write", "sync", "truncate", "allocate", "makeDirectory", "rename", "remove", "syncDirectory",
]); // prettier-ignore

/** What the first `count` changes leave. The order of reading is by bucket, then by writing. */
function contentAfter(changes: readonly Step[], count: number): Content {
  const content: Record<string, { key: number; value: string }[]> = {};
  for (const change of changes.slice(0, count)) {
    if (change.do === "put") (content[change.channel] ??= []).push(change);
    if (change.do === "remove") delete content[change.channel];
  }
  return Object.fromEntries(
    Object.entries(content).map(([channel, records]) => [
      channel,
      records
        .toSorted((a, b) => Math.floor(a.key / 4096) - Math.floor(b.key / 4096))
        .map(({ key, value }) => `${key} ${value}`),
    ]),
  );
}

class Life {
  readonly scheduler: Scheduler;
  readonly disk: SimDisk;
  readonly clock: SimClock;

  constructor(seed: number, state?: DirectoryNode) {
    this.scheduler = new Scheduler(seed);
    this.disk = new SimDisk(this.scheduler);
    this.clock = new SimClock(this.scheduler);
    if (state !== undefined) this.disk.restore(state);
  }

  run<Value>(main: () => Promise<Value>): Value {
    return this.scheduler.run(main, { timeLimitMs: 600_000 });
  }

  open({ options, wrapDisk }: Subject, onDurable: () => void = () => {}): Promise<LogStore> {
    const world = { disk: wrapDisk(this.disk), clock: this.clock, random: this.scheduler.fork() };
    return openStore(world, { ...options, onDurable });
  }
}

async function perform(store: LogStore, step: Step): Promise<void> {
  switch (step.do) {
    case "put":
      return put(store, step.channel, BigInt(step.key), step.value);
    case "remove":
      return store.remove(step.channel);
    case "flush":
      return store.flush();
    case "seal":
      return store.sealAll();
    case "close":
      return store.close();
  }
}

function record(steps: readonly Step[], subject: Subject): CrashPoint[] {
  const life = new Life(1);
  const points: CrashPoint[] = [];
  let begun = 0;
  let acknowledged = 0;
  const capture = (after: string) => points.push({ after, disk: life.disk.capture(), acknowledged, begun });
  life.disk.onChange = (operation, path) => {
    if (CHANGING.has(operation)) capture(`${operation} ${path}`);
  };
  life.run(async () => {
    await makeDataDirectory(life.disk);
    const ends: number[] = [];
    const store = await life.open(subject, () => {
      while (ends[acknowledged] !== undefined && (ends[acknowledged] as number) <= store.durablePosition)
        acknowledged += 1;
      capture("acknowledgement");
    });
    for (const step of steps) {
      await perform(store, step);
      if (step.do !== "put" && step.do !== "remove") continue;
      ends.push(store.position);
      begun += 1;
    }
  });
  return points;
}

/** What a start finds, and what is there after a second life has written, sealed and started once more. */
function find(state: DirectoryNode, subject: Subject): { found: Content; afterwards: Content } | string {
  const life = new Life(2, state);
  try {
    return life.run(async () => {
      const first = await life.open(subject);
      const found = await readAll(first);
      put(first, "later", 1n, "later");
      for (const channel of Object.keys(found)) put(first, channel, 8_000_000n, "last");
      await first.sealAll();
      await first.close();
      const second = await life.open(subject);
      const afterwards = await readAll(second);
      await second.close();
      return { found, afterwards };
    });
  } catch (error) {
    if (error instanceof NxError) return `refused: ${error.code} ${error.message}`;
    throw error;
  }
}

function problemOf(point: CrashPoint, changes: readonly Step[], finding: ReturnType<typeof find>) {
  if (typeof finding === "string") return finding;
  const { found, afterwards } = finding;
  const isAllowed = Array.from({ length: point.begun - point.acknowledged + 1 }, (_, extra) =>
    contentAfter(changes, point.acknowledged + extra),
  ).some((content) => Bun.deepEquals(content, found));
  if (!isAllowed)
    return `found ${JSON.stringify(found)} with ${point.acknowledged} of ${point.begun} acknowledged`;
  const later: Content = { ...found, later: [...(found["later"] ?? [])] };
  for (const [channel, records] of Object.entries(found)) later[channel] = [...records, "8000000 last"];
  (later["later"] as string[]).unshift("1 later");
  return Bun.deepEquals(later, afterwards)
    ? undefined
    : `a second life ends with ${JSON.stringify(afterwards)}`;
}

export interface Exploration {
  points: number;
  states: number;
  distinct: number;
  violations: string[];
}

export function explore(steps: readonly Step[], subject: Subject, limit: number): Exploration {
  const changes = steps.filter((step) => step.do === "put" || step.do === "remove");
  const result: Exploration = { points: 0, states: 0, distinct: 0, violations: [] };
  const findings = new Map<string, ReturnType<typeof find>>();
  for (const point of record(steps, subject)) {
    result.points += 1;
    for (const model of models) {
      // One is enough to know; the others take long.
      if (result.violations.length > 0) return result;
      crashStates(point.disk, model, limit, (state) => {
        result.states += 1;
        const key = keyOf(state);
        let finding = findings.get(key);
        if (finding === undefined) {
          finding = find(state, subject);
          findings.set(key, finding);
          result.distinct += 1;
        }
        const problem = problemOf(point, changes, finding);
        if (problem !== undefined)
          result.violations.push(`after ${point.after} (${model.names}): ${problem}`);
      });
    }
  }
  return result;
}
