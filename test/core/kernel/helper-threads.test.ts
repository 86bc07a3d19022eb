/** Which threads of the runtime let others go first, and when they are found. */
import { expect, test } from "bun:test";
import { keepHelpersBack, type ProcessThreads } from "../../../src/core/kernel/helper-threads.ts";
import { sleep } from "../../../src/core/seams/clock.ts";
import { SimClock } from "../../../src/core/sim/clock.ts";
import { Scheduler } from "../../../src/core/sim/scheduler.ts";

/** Threads by id, and those that were set back, in order. */
class Threads implements ProcessThreads {
  readonly names = new Map<number, string>();
  readonly back: number[] = [];
  result = 0;
  asked = 0;

  list = () => [...this.names.keys()];

  nameOf(thread: number): string {
    this.asked++;
    return this.names.get(thread) ?? "";
  }

  standBack(thread: number): number {
    this.back.push(thread);
    return this.result;
  }
}

type Look = { threads: Threads; traces: string[]; look(): Promise<void> };

function looking(names: Record<number, string>, work: (look: Look) => Promise<void>): void {
  const scheduler = new Scheduler(1);
  const clock = new SimClock(scheduler);
  const threads = new Threads();
  const traces: string[] = [];
  for (const [thread, name] of Object.entries(names)) threads.names.set(Number(thread), name);
  scheduler.run(async () => {
    const helpers = keepHelpersBack(clock, { trace: (message) => void traces.push(message) }, threads);
    await work({ threads, traces, look: () => sleep(clock, 251) });
    helpers.cancel();
  });
}

test("compilers and collectors stand back at once, threads that write files and the program's own do not", () => {
  const names = { 2: "JITWorker", 3: "Bun Pool 0", 4: "HeapHelper", 5: "node-x", 6: "ollector Thread" };
  looking(names, async ({ threads, look }) => {
    expect(threads.back).toEqual([2, 4, 6]);
    await look();
    expect(threads.back).toEqual([2, 4, 6]);
  });
});

test("a helper is found within a quarter of a second, also one that has its name late or the number of one that ended", () => {
  looking({ 2: "JITWorker", 3: "node-x" }, async ({ threads, look }) => {
    threads.names.delete(2);
    threads.names.set(3, "JITWorker");
    await look();
    expect(threads.back).toEqual([2, 3]);
    threads.names.set(2, "HeapHelper");
    await look();
    expect(threads.back).toEqual([2, 3, 2]);
  });
});

test("who has long been none of them is asked once a second, and found then", () => {
  looking({ 2: "JITWorker", 3: "node-x", 4: "Bun Pool 0" }, async ({ threads, look }) => {
    for (let looks = 0; looks < 12; looks++) await look();
    threads.asked = 0;
    for (let looks = 0; looks < 8; looks++) await look();
    expect(threads.asked).toBe(4);
    threads.names.set(5, "node-x");
    threads.asked = 0;
    await look();
    expect(threads.asked).toBeGreaterThan(0);
    threads.names.set(3, "HeapHelper").set(5, "JITWorker");
    await look();
    expect(threads.back).toContain(5);
    for (let looks = 0; looks < 3; looks++) await look();
    expect(threads.back.toSorted()).toEqual([2, 3, 5]);
  });
});

test("one that ends while it is looked at is no refusal", () => {
  looking({}, async ({ threads, traces, look }) => {
    threads.result = -3;
    threads.names.set(2, "JITWorker");
    await look();
    threads.result = 0;
    await look();
    expect(threads.back).toEqual([2, 2]);
    expect(traces).toEqual([]);
  });
});

test("where it is refused nobody looks again, and it is told once", () => {
  looking({}, async ({ threads, traces, look }) => {
    threads.result = -1;
    threads.names.set(2, "JITWorker").set(3, "HeapHelper");
    await look();
    await look();
    expect(threads.back).toEqual([2]);
    expect(traces).toHaveLength(1);
  });
});
