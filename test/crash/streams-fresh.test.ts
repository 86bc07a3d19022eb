/**
 * Power loss under `--fresh`: at every moment, in every state that the disk may be left in, the next start finds all that the
 * worker kept or none of it, and what is not the worker's own stays.
 */
import { expect, test } from "bun:test";
import type { Disk } from "../../src/core/seams/disk.ts";
import { crashStates } from "../../src/core/sim/disk-crash.ts";
import type { DirectoryNode } from "../../src/core/sim/disk-state.ts";
import { SimDisk } from "../../src/core/sim/disk.ts";
import { Scheduler } from "../../src/core/sim/scheduler.ts";
import { startFresh } from "../../src/streams/worker/fresh-start.ts";
import { keyOf, makeDataDirectory, models } from "./log-harness.ts";

const KEPT = ["dead-letters.jsonl", "input-Lines/log-1.nxl", "state/log-1.nxl", "state/snapshot-2.nxl"];
const OTHERS = ["counts.out", "log/root.log"];
const STATES_MAX = 64;

async function fill(disk: Disk): Promise<void> {
  await makeDataDirectory(disk);
  for (const name of [...KEPT, ...OTHERS]) {
    const path = `/data/${name}`;
    const directory = path.slice(0, path.lastIndexOf("/"));
    await disk.makeDirectory(directory);
    const file = await disk.open(path, "create");
    await file.write(Buffer.from(name), 0);
    await file.sync();
    await file.close();
    await disk.syncDirectory(directory);
  }
  await disk.syncDirectory("/data");
}

async function present(disk: Disk, names: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  for (const name of names) if (await disk.exists(`/data/${name}`)) found.push(name);
  return found;
}

/** The disk after every call of a fresh start that changed it. */
function record(begin: (disk: Disk) => Promise<unknown>): { after: string; disk: DirectoryNode }[] {
  const scheduler = new Scheduler(1);
  const disk = new SimDisk(scheduler);
  const points: { after: string; disk: DirectoryNode }[] = [];
  scheduler.run(async () => {
    await fill(disk);
    disk.onChange = (operation, path) =>
      void points.push({ after: `${operation} ${path}`, disk: disk.capture() });
    await begin(disk);
  });
  return points;
}

/** What the next start, which is not asked to begin anew, has wrong. */
function judge(state: DirectoryNode): string | undefined {
  const scheduler = new Scheduler(2);
  const disk = new SimDisk(scheduler);
  disk.restore(state);
  return scheduler.run(async () => {
    await startFresh(disk, "/data", false);
    const kept = await present(disk, KEPT);
    if (kept.length > 0 && kept.length < KEPT.length) return `only ${kept.join(", ")} are left`;
    const others = await present(disk, OTHERS);
    if (others.length < OTHERS.length) return `of the others only ${others.join(", ")} are left`;
    return (await disk.exists("/data/fresh")) ? "the mark is left" : undefined;
  });
}

function violations(begin: (disk: Disk) => Promise<unknown>): { states: number; found: string[] } {
  const judged = new Map<string, string | undefined>();
  const found: string[] = [];
  for (const { after, disk } of record(begin))
    for (const model of models)
      crashStates(disk, model, STATES_MAX, (state) => {
        const key = keyOf(state);
        if (!judged.has(key)) judged.set(key, judge(state));
        const problem = judged.get(key);
        if (problem !== undefined) found.push(`after ${after}: ${problem}`);
      });
  return { states: judged.size, found };
}

test("all that a worker kept goes, or none of it, after power loss at every moment", () => {
  const { states, found } = violations(async (disk) => {
    expect(await startFresh(disk, "/data", true)).toEqual(["dead-letters.jsonl", "input-Lines", "state"]);
    expect(await present(disk, [...KEPT, ...OTHERS])).toEqual(OTHERS);
  });
  expect(found).toEqual([]);
  expect(states).toBeGreaterThan(10);
});

test("negative control: removing without a mark is noticed", () => {
  const { found } = violations(async (disk) => {
    for (const name of KEPT) await disk.remove(`/data/${name}`);
  });
  expect(found.join("\n")).toContain("are left");
});

test("a start that is not asked to begin anew removes nothing", () => {
  const scheduler = new Scheduler(3);
  const disk = new SimDisk(scheduler);
  scheduler.run(async () => {
    await fill(disk);
    expect(await startFresh(disk, "/data", false)).toEqual([]);
    expect(await present(disk, KEPT)).toEqual(KEPT);
  });
});
