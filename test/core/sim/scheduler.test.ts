import { expect, test } from "bun:test";
import { sleep } from "../../../src/core/seams/clock.ts";
import { SimClock } from "../../../src/core/sim/clock.ts";
import { FaultCounts } from "../../../src/core/sim/faults.ts";
import { Scheduler } from "../../../src/core/sim/scheduler.ts";

/** Fifty actors that wait, wake each other and draw random numbers. */
function crowd(seed: number): Scheduler {
  const scheduler = new Scheduler(seed, { keepTrace: true });
  const clock = new SimClock(scheduler);
  scheduler.run(async () => {
    const actor = async (name: number) => {
      const random = scheduler.fork();
      for (let turn = 0; turn < 20; turn++) {
        await sleep(clock, random.float() * 10);
        scheduler.trace(`actor ${name} turn ${turn}`);
      }
    };
    await Promise.all(Array.from({ length: 50 }, (_, name) => actor(name)));
  });
  return scheduler;
}

test("a run is a function of its seed, to the line", () => {
  const [first, second, other] = [crowd(11), crowd(11), crowd(12)];
  expect(first.lines.length).toBe(1000);
  expect(second.lines).toEqual(first.lines);
  expect(second.traceHash).toBe(first.traceHash);
  expect(other.traceHash).not.toBe(first.traceHash);
});

test("events of one instant run in the order in which they were scheduled", () => {
  const scheduler = new Scheduler(1);
  const order: string[] = [];
  scheduler.run(
    () =>
      new Promise<void>((resolve) => {
        scheduler.after(5, () => void order.push("b"));
        scheduler.after(1, () => void order.push("a"));
        scheduler.after(5, () => void order.push("c"));
        scheduler.after(5, resolve);
      }),
  );
  expect(order.join("")).toBe("abc");
  expect(scheduler.timeMs).toBe(5);
});

test("async code runs to its next wait before anything else happens", () => {
  const scheduler = new Scheduler(1);
  const clock = new SimClock(scheduler);
  const order: string[] = [];
  scheduler.run(async () => {
    scheduler.after(0, () => void order.push("event"));
    for (let step = 0; step < 3; step++) {
      await Promise.resolve();
      order.push(`step ${step}`);
    }
    await sleep(clock, 1);
  });
  expect(order).toEqual(["step 0", "step 1", "step 2", "event"]);
});

test("says that it is stuck, with seed and time, when a promise can never settle", () => {
  const scheduler = new Scheduler(99);
  const stuck = () => scheduler.run(() => new Promise(() => scheduler.after(3, () => undefined)));
  expect(stuck).toThrow("simulation with seed 99 at 3.000 ms after 1 events: deadlock");
});

test("ends a run that does not end by itself, by time and by events", () => {
  const endless = () => {
    const scheduler = new Scheduler(1);
    new SimClock(scheduler).every(10, () => undefined);
    return scheduler;
  };
  const forever = () => new Promise(() => undefined);
  expect(() => endless().run(forever, { timeLimitMs: 1000 })).toThrow(
    "not finished within 1000 simulated ms",
  );
  expect(() => endless().run(forever, { eventsMax: 50 })).toThrow("not finished within 50 events");
});

test("a failed background task fails the run", () => {
  const scheduler = new Scheduler(1);
  const run = () =>
    scheduler.run(() => {
      scheduler.background(Promise.reject(new Error("lost in the background")));
      return new Promise(() => scheduler.after(1, () => undefined));
    });
  expect(run).toThrow("lost in the background");
});

test("a cancelled timer and the timers of a killed clock do not run", () => {
  const scheduler = new Scheduler(1);
  const dead = new SimClock(scheduler);
  let ran = 0;
  scheduler.run(async () => {
    dead.after(5, () => ran++);
    dead.every(2, () => ran++);
    scheduler.after(5, () => ran++).cancel();
    dead.kill();
    await sleep(new SimClock(scheduler), 20);
  });
  expect(ran).toBe(0);
});

test("a clock may drift and be stepped; its timers follow its drift, not the steps", () => {
  const scheduler = new Scheduler(1);
  const fast = new SimClock(scheduler, { driftPpm: 1_000_000, wallStartMs: 0 });
  scheduler.run(() => sleep(fast, 100));
  expect(scheduler.timeMs).toBe(50);
  expect(fast.nowMs()).toBe(100);
  fast.step(-60);
  expect(fast.nowMs()).toBe(40);
  expect(fast.monotonicMs()).toBe(100);
});

test("fails a simulation in which an expected fault never happened", () => {
  const faults = new FaultCounts();
  faults.count("torn sector", 2);
  faults.requireAll(["torn sector"]);
  expect(() => faults.requireAll(["torn sector", "disk full"])).toThrow(
    "never injected: disk full (it injected torn sector 2)",
  );
});

test("runs a million events in a second or so", () => {
  const scheduler = new Scheduler(1);
  let left = 300_000;
  const startMs = performance.now();
  scheduler.run(
    () =>
      new Promise<void>((resolve) => {
        const tick = () => {
          if (--left === 0) resolve();
          else if (left > 0) scheduler.after(left % 7, tick);
        };
        for (let actor = 0; actor < 50; actor++) scheduler.after(actor, tick);
      }),
  );
  const perSecond = (300_000 / (performance.now() - startMs)) * 1000;
  console.log(`${(perSecond / 1e6).toFixed(1)} M events/s`);
  // Ten times less than a busy machine does: what this finds is work that grows with the events that wait.
  expect(perSecond).toBeGreaterThan(20_000);
});
