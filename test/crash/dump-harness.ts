/**
 * Power loss under a dump: every moment of a history times every state of the disk that it can leave, each loaded as a
 * start would load it. What is found must be one of the contents that the history allows there, whole.
 */
import { dumpChannel } from "../../src/channels/dhtdump/dump-channel.ts";
import { DumpFiles } from "../../src/channels/tcm/dump-files.ts";
import { NxError } from "../../src/core/errors.ts";
import type { Disk, DiskFile } from "../../src/core/seams/disk.ts";
import { crashStates } from "../../src/core/sim/disk-crash.ts";
import type { DirectoryNode } from "../../src/core/sim/disk-state.ts";
import { contentOf, DIRECTORY, DumpWorld, fill, record as recordBytes } from "../channels/tcm/harness.ts";
import { boundDisk } from "./bound-disk.ts";
import { keyOf, models } from "./log-harness.ts";

export type Content = Record<string, string>;
export const VALUE_BYTES_MAX = 1024;

/** What a history does with the channel `ch`. "stream": dhtdump writes it, as a node sends it. */
export type Step = { do: "dump" | "stream"; content: Content } | { do: "remove" };

export interface Subject {
  wrapDisk(disk: Disk): Disk;
}

export const whole: Subject = { wrapDisk: (disk) => disk };

interface CrashPoint {
  after: string;
  disk: DirectoryNode;
  /** What a restart may find: the content before the step under way, and the one after it. */
  allowed: Content[];
}

export interface Exploration {
  points: number;
  states: number;
  /** Different ones among them. */
  distinct: DirectoryNode[];
  isExhaustive: boolean;
  violations: string[];
}

/** Runs `steps` on `start` (an empty directory when missing), where `found` is what a restart finds there. */
function record(
  steps: readonly Step[],
  subject: Subject,
  start?: { state: DirectoryNode; found: Content },
): CrashPoint[] {
  // Another seed than the life before had: else its leftovers had the names of ours.
  const world = new DumpWorld(start === undefined ? 1 : 3, start?.state);
  const points: CrashPoint[] = [];
  let allowed: Content[] = [start?.found ?? {}];
  const capture = (after: string) => points.push({ after, disk: world.disk.capture(), allowed });
  // A restart settles what the crash left before it dumps again.
  if (start !== undefined) world.load({ valueBytesMax: VALUE_BYTES_MAX });
  const disk = subject.wrapDisk(world.disk);
  world.disk.onChange = (operation, path) => {
    if (!["read", "size", "list", "exists", "close"].includes(operation)) capture(`${operation} ${path}`);
  };
  for (const step of steps) {
    const before = allowed.at(-1) as Content;
    const after = step.do === "remove" ? {} : step.content;
    allowed = [before, after];
    const store = world.store();
    store.openChannel("ch");
    fill(store, after);
    const options = { world: { disk, clock: world.clock, random: world.random }, directory: DIRECTORY };
    const files = new DumpFiles({ ...options, store, valueBytesMax: VALUE_BYTES_MAX });
    world.run(async () => {
      if (step.do === "stream") return void (await dumpChannel(disk, DIRECTORY, "ch", batchesOf(after)));
      if (step.do === "remove") return await files.setAside("ch", "deleted");
      const written = await files.write("ch");
      if (written !== undefined) await files.commit(written);
    });
    allowed = [after];
    capture(`${step.do} was reported done`);
  }
  world.close();
  return points;
}

/** Each record in a batch of its own. */
async function* batchesOf(content: Content): AsyncGenerator<Uint8Array> {
  for (const [path, value] of Object.entries(content)) yield recordBytes(path.slice("ch/".length), value);
}

/** What a start finds, or why it refuses. */
export function find(state: DirectoryNode): Content | string {
  const world = new DumpWorld(2, state);
  try {
    return contentOf(world.load({ valueBytesMax: VALUE_BYTES_MAX }).store);
  } catch (error) {
    if (error instanceof NxError) return `refused: ${error.code} ${error.message}`;
    throw error;
  } finally {
    world.close();
  }
}

export function explore(
  steps: readonly Step[],
  subject: Subject,
  start?: { state: DirectoryNode; found: Content },
  limit = 3000,
): Exploration {
  const result: Exploration = { points: 0, states: 0, distinct: [], isExhaustive: true, violations: [] };
  const findings = new Map<string, Content | string>();
  for (const point of record(steps, subject, start)) {
    result.points += 1;
    for (const model of models) {
      const visited = crashStates(point.disk, model, limit, (state) => {
        result.states += 1;
        const key = keyOf(state);
        let finding = findings.get(key);
        if (finding === undefined) {
          findings.set(key, (finding = find(state)));
          result.distinct.push(state);
        }
        if (point.allowed.some((content) => Bun.deepEquals(content, finding))) return;
        result.violations.push(
          `after ${point.after} (${model.names}): found ${JSON.stringify(finding).slice(0, 300)}`,
        );
      });
      result.isExhaustive &&= visited.isExhaustive;
    }
  }
  return result;
}

// --- negative controls: the same code on a disk that keeps one promise less ------------------------------------

const withFiles = (
  disk: Disk,
  change: (file: DiskFile, path: string) => Partial<DiskFile>,
  more: Partial<Disk> = {},
): Disk => ({
  ...boundDisk(disk),
  async open(path, mode) {
    const file = await disk.open(path, mode);
    const plain: DiskFile = {
      read: (target, offset) => file.read(target, offset),
      write: (bytes, offset) => file.write(bytes, offset),
      writeDurably: (bytes, offset) => file.writeDurably(bytes, offset),
      sync: () => file.sync(),
      truncate: (size) => file.truncate(size),
      allocate: (size) => file.allocate(size),
      size: () => file.size(),
      close: () => file.close(),
    };
    return { ...plain, ...change(file, path) };
  },
  ...more,
});

const nothing = () => Promise.resolve();

export const mutants: Record<string, Subject> = {
  "files are not synced": { wrapDisk: (disk) => withFiles(disk, () => ({ sync: nothing })) },
  "files are renamed before they are synced": {
    wrapDisk: (disk) => {
      const unsynced: DiskFile[] = [];
      return withFiles(
        disk,
        (file) => ({
          sync: async () => void unsynced.push(file),
          close: nothing,
        }),
        {
          async rename(from, to) {
            await disk.rename(from, to);
            await disk.syncDirectory(DIRECTORY);
            for (const file of unsynced.splice(0)) await file.sync();
          },
        },
      );
    },
  },
  "the directory is not synced": { wrapDisk: (disk) => ({ ...boundDisk(disk), syncDirectory: nothing }) },
  "the .nxs gets its name before the .tcm": {
    wrapDisk: (disk) => ({
      ...boundDisk(disk),
      async rename(from, to) {
        await disk.rename(from, to.replace(/\.nxs\.new$/, ".nxs"));
        if (to.endsWith(".nxs.new")) await disk.link(to.replace(/\.new$/, ""), to);
      },
    }),
  },
  "the old .tcm is removed before the new one has its name": {
    wrapDisk: (disk) => ({
      ...boundDisk(disk),
      async rename(from, to) {
        if (to.endsWith(".tcm") && (await disk.exists(to))) await disk.remove(to);
        await disk.rename(from, to);
      },
    }),
  },
};
