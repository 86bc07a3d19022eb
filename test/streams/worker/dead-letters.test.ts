/** The file of records that could not be processed: its limits, and a disk that does not take it. */
import { expect, test } from "bun:test";
import { SimClock } from "../../../src/core/sim/clock.ts";
import { SimDisk } from "../../../src/core/sim/disk.ts";
import { Scheduler } from "../../../src/core/sim/scheduler.ts";
import { DeadLetters } from "../../../src/streams/worker/dead-letters.ts";

const PATH = "/data/dead-letters.jsonl";
const RECORD = new Uint8Array(300);

async function linesOf(disk: SimDisk): Promise<{ reason: string; error: string }[]> {
  const file = await disk.open(PATH, "read");
  const bytes = new Uint8Array(await file.size());
  await file.read(bytes, 0);
  const lines = Buffer.from(bytes).toString().split("\n");
  expect(lines.pop()).toBe("");
  return lines.map((line) => JSON.parse(line) as { reason: string; error: string });
}

function letters(bytesMax: number, life: (letters: DeadLetters, disk: SimDisk) => Promise<void>): void {
  const on = new Scheduler(1);
  const disk = new SimDisk(on);
  on.run(() => life(new DeadLetters({ clock: new SimClock(on), disk }, PATH, bytesMax), disk));
}

test("letters stand in the file in their order, up to its limit, and all are counted", () => {
  letters(10_000, async (dead, disk) => {
    for (let number = 0; number < 3; number++) dead.add("decode", "In", RECORD, new Error(`no ${number}`));
    await dead.written;
    for (let number = 3; number < 100; number++) dead.add("step", "In", RECORD, `no ${number}`);
    await dead.close();
    const lines = await linesOf(disk);
    expect(lines.map(({ error }) => error)).toEqual(lines.map((_, number) => `no ${number}`));
    expect(lines.length).toBeGreaterThan(10);
    expect(await (await disk.open(PATH, "read")).size()).toBeLessThanOrEqual(10_000);
    expect(dead.counts).toEqual({ decode: 3, step: 97 });
  });
});

test("a flood of bad records does not wait in memory for the disk", () => {
  letters(1 << 30, async (dead, disk) => {
    const count = 30_000;
    // In one turn: the disk gets none of its own.
    for (let number = 0; number < count; number++) dead.add("decode", "In", RECORD, "no");
    await dead.close();
    const size = await (await disk.open(PATH, "read")).size();
    expect(size).toBeGreaterThan(4 << 20);
    expect(size).toBeLessThan(5 << 20);
    expect(dead.counts.decode).toBe(count);
  });
});

test("a disk that is full when the first one comes takes later ones", () => {
  letters(1 << 20, async (dead, disk) => {
    disk.capacityBytes = 0;
    dead.add("step", "In", RECORD, "lost");
    await dead.written;
    disk.capacityBytes = Number.POSITIVE_INFINITY;
    dead.add("step", "In", RECORD, "kept");
    await dead.close();
    expect((await linesOf(disk)).map(({ error }) => error)).toEqual(["kept"]);
  });
});
