/**
 * Power loss under the state log of a worker: a history of checkpoints on a simulated disk, every moment of it, every state
 * that the disk may be left in, and what a worker finds there.
 *
 * What is checked. Whatever the cluster may decide after the crash, the worker can go there: to the checkpoint that was
 * committed last, and to the one that it has announced as prepared. It then has exactly the states of that checkpoint.
 */
import { silentLog } from "../../src/core/logging/log.ts";
import type { World } from "../../src/core/role.ts";
import { SimClock } from "../../src/core/sim/clock.ts";
import { crashStates } from "../../src/core/sim/disk-crash.ts";
import type { DirectoryNode } from "../../src/core/sim/disk-state.ts";
import { SimDisk } from "../../src/core/sim/disk.ts";
import { Scheduler } from "../../src/core/sim/scheduler.ts";
import { json } from "../../src/streams/api/codecs.ts";
import { noMeta } from "../../src/streams/checkpoint/contents.ts";
import { type Mirror, StateLog } from "../../src/streams/checkpoint/state-log.ts";
import { FrameCursor } from "../../src/streams/runtime/frame-cursor.ts";
import { StateStore } from "../../src/streams/state/store.ts";
import { keyOf, makeDataDirectory, models } from "./log-harness.ts";

export type Step =
  | { do: "change"; key: string }
  | { do: "remove"; key: string }
  | { do: "prepare" | "commit" | "compact" | "abort" };

/** The states by key, as text. */
type States = Record<string, string>;

interface Point {
  after: string;
  disk: DirectoryNode;
  /** Checkpoints that the cluster may go back to. */
  wanted: number[];
}

export interface Subject {
  /** A negative control: what `prepare` is taken for. */
  isPrepared?(prepared: Promise<void>): Promise<void>;
}

interface Opened {
  log: StateLog;
  store: StateStore;
}

async function open(scheduler: Scheduler, disk: SimDisk, mirror?: Mirror): Promise<Opened> {
  const clock = new SimClock(scheduler);
  const options = { init: () => ({ count: 0 }), codec: json<unknown>() };
  const store = new StateStore("counts", options, new FrameCursor());
  const world: World = { clock, disk, random: scheduler.fork(), net: undefined as never };
  const log = await StateLog.open({
    ...{ world, log: silentLog(), directory: "/data/state", stores: [store], mirror },
    compaction: { logBytesMin: 1 << 20, growthPercent: 100 },
    onFatal: (error) => {
      throw error;
    },
    progress: () => {},
  });
  return { log, store };
}

const statesOf = (store: StateStore): States =>
  Object.fromEntries([...store.images()].map(([key, image]) => [key, Buffer.from(image).toString()]).sort());

export interface Recording {
  points: Point[];
  /** By checkpoint. */
  states: Map<number, States>;
}

/** Runs a history and keeps the disk after every call that changed it. */
export function record(history: readonly Step[], subject: Subject = {}): Recording {
  const scheduler = new Scheduler(1);
  const disk = new SimDisk(scheduler);
  const points: Point[] = [];
  const states = new Map<number, States>([[0, {}]]);
  let wanted = [0];
  disk.onChange = (operation, path) =>
    void points.push({ after: `${operation} ${path}`, disk: disk.capture(), wanted });
  scheduler.run(
    async () => {
      await makeDataDirectory(disk);
      const { log, store } = await open(scheduler, disk);
      let next = 1;
      for (const step of history) {
        switch (step.do) {
          case "change":
            (store.value(step.key) as { count: number }).count += next;
            break;
          case "remove":
            store.remove(step.key);
            break;
          case "prepare": {
            const id = next++;
            const prepared = log.prepare(id, noMeta(), new Map());
            states.set(id, statesOf(store));
            await (subject.isPrepared?.(prepared) ?? prepared);
            wanted = [log.committed.id, id];
            break;
          }
          case "commit":
            log.commit(log.prepared?.id ?? 0, "{}");
            wanted = [log.committed.id];
            break;
          case "abort":
            // The leader has given it up: nobody will ask for it any more.
            wanted = [log.committed.id];
            log.rollBack(log.committed.id);
            await log.flush();
            break;
          case "compact":
            await log.compact();
            break;
        }
      }
      await log.flush();
    },
    { timeLimitMs: 60_000 },
  );
  return { points, states };
}

/** What is wrong with what a worker finds on this disk, if anything. */
function judge(
  state: DirectoryNode,
  wanted: readonly number[],
  states: Recording["states"],
): string | undefined {
  for (const id of wanted) {
    const scheduler = new Scheduler(2);
    const disk = new SimDisk(scheduler);
    disk.restore(state);
    const problem = scheduler.run(async () => {
      await makeDataDirectory(disk);
      const { log, store } = await open(scheduler, disk);
      try {
        log.rollBack(id);
      } catch (error) {
        return (error as Error).message;
      }
      const [found, expected] = [statesOf(store), states.get(id)];
      if (!Bun.deepEquals(found, expected)) {
        return `checkpoint ${id} has ${JSON.stringify(found)} instead of ${JSON.stringify(expected)}`;
      }
      return undefined;
    });
    if (problem !== undefined) return problem;
  }
  return undefined;
}

export interface Exploration {
  points: number;
  states: number;
  violations: string[];
}

export function explore({ points, states }: Recording, limit: number): Exploration {
  const result: Exploration = { points: points.length, states: 0, violations: [] };
  const judged = new Map<string, string | undefined>();
  for (const { disk, after, wanted } of points) {
    for (const model of models) {
      crashStates(disk, model, limit, (state) => {
        result.states += 1;
        const name = `${wanted.join()} ${keyOf(state)}`;
        if (!judged.has(name)) judged.set(name, judge(state, wanted, states));
        const problem = judged.get(name);
        if (problem !== undefined) result.violations.push(`after ${after}: ${problem}`);
      });
    }
  }
  return result;
}
