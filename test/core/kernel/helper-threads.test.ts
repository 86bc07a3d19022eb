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

  list = () => [...this.names.keys()];
  nameOf = (thread: number) => this.names.get(thread) ?? "";

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
