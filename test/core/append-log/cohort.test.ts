/** When groups begin: crowds of clients share a sync, and nobody else waits for them. */
import { expect, test } from "bun:test";
import { Cohort } from "../../../src/core/append-log/cohort.ts";
import { LogFile } from "../../../src/core/append-log/log-file.ts";
import { crc32c } from "../../../src/core/crc32c.ts";
import type { Clock } from "../../../src/core/seams/clock.ts";
import { SimClock } from "../../../src/core/sim/clock.ts";
import { SimDisk } from "../../../src/core/sim/disk.ts";
import { Scheduler } from "../../../src/core/sim/scheduler.ts";

/** A turn of a simulated event loop takes no time, one of a real one does. */
const TURN_MS = 0.002;
const THINK_MS = 0.02;
const ROUNDS = 200;

class LoopClock extends SimClock {
  override endOfTurn(callback: () => void): void {
    this.after(TURN_MS, callback);
  }
}

/** Clients that append, wait until they are told, think, and append again. Returns what a sync carried, and when it was told. */
async function serve(scheduler: Scheduler, clients: number, servesClients: boolean) {
  const clock = new LoopClock(scheduler);
  const disk = new SimDisk(scheduler, { latencyMinMs: 0.1, latencyMeanMs: 0.05 });
  const toldAtMs: number[] = [];
  const waiting: number[] = [];
  let [appends, unfinished] = [0, clients * ROUNDS];
  const { promise: finished, resolve: finish } = Promise.withResolvers<void>();
  const request = () => void waiting.push(log.append(new Uint8Array(90)));
  const onDurable = (position: number) => {
    toldAtMs.push(clock.monotonicMs());
    while ((waiting[0] ?? Number.POSITIVE_INFINITY) <= position) {
      waiting.shift();
      unfinished--;
      if (++appends <= clients * (ROUNDS - 1)) clock.after(THINK_MS, request);
    }
    if (unfinished === 0) finish();
  };
  const options = { disk, clock, random: scheduler.fork(), crc32c, directory: "/log", payloadFormat: 1 };
  const ignore = { onSnapshot: () => {}, onFrame: () => {} };
  const log = await LogFile.open({ ...options, listener: { onDurable }, servesClients }, ignore);
  // One after the other, so that they begin as two crowds.
  for (let client = 0; client < clients; client++) clock.after(client * THINK_MS, request);
  await finished;
  const { groups } = log.stats;
  await log.close();
  return { perGroup: appends / groups, toldAtMs };
}

const served = (clients: number, servesClients: boolean) => {
  const scheduler = new Scheduler(1);
  return scheduler.run(() => serve(scheduler, clients, servesClients), { timeLimitMs: 60_000 });
};

test("clients that come back when they are told share a sync; without the wait they are two crowds", () => {
  for (const clients of [2, 5, 20]) {
    expect(served(clients, true).perGroup).toBeGreaterThan(0.8 * clients);
    expect(served(clients, false).perGroup).toBeLessThan(0.7 * clients);
  }
});

test("who appends alone is told at the same moments as without the wait", () => {
  expect(served(1, true)).toEqual(served(1, false));
});

/** A clock whose turns end when the test says so. */
function handDriven() {
  const turns: (() => void)[] = [];
  const time = { ms: 0 };
  const clock = {
    monotonicMs: () => time.ms,
    endOfTurn: (callback: () => void) => void turns.push(callback),
  } as Partial<Clock> as Clock;
  return { clock, time, endTurn: () => turns.shift()?.(), isWaiting: () => turns.length > 0 };
}

function waitingFor(told: number, syncMs = 0.2) {
  const world = handDriven();
  const cohort = new Cohort(world.clock);
  for (let count = 0; count < 100; count++) cohort.synced(syncMs);
  const state = { appended: 0, isUrgent: false };
  void cohort.gather(
    told,
    () => state.appended,
    () => state.isUrgent,
  );
  return { ...world, cohort, state };
}

test("a wait ends once seven of eight are back, and the next crowd is waited for again", () => {
  const { state, endTurn, isWaiting, cohort } = waitingFor(16);
  while (state.appended < 14) {
    expect(isWaiting()).toBe(true);
    state.appended++;
    endTurn();
  }
  expect(isWaiting()).toBe(false);
  expect(cohort.isExpected(14, 0)).toBe(true);
});

test("a wait ends when nobody comes any more, and for some groups nobody is waited for", () => {
  const { endTurn, isWaiting, cohort } = waitingFor(16);
  let turns = 0;
  for (; isWaiting(); turns++) endTurn();
  expect(turns).toBeLessThan(100);
  const answers = Array.from({ length: 17 }, () => cohort.isExpected(16, 0));
  expect(answers).toEqual([...Array<boolean>(16).fill(false), true]);
});

test("a wait ends after the time of one and a half syncs, however they trickle in, and after a millisecond", () => {
  for (const [syncMs, limitMs] of [
    [0.2, 0.3],
    [20, 1],
  ] as const) {
    const { state, time, endTurn, isWaiting } = waitingFor(1000, syncMs);
    while (isWaiting()) {
      expect(time.ms).toBeLessThan(limitMs + 0.01);
      time.ms += 0.01;
      state.appended++;
      endTurn();
    }
    expect(time.ms).toBeGreaterThan(limitMs - 0.02);
  }
});

test("a wait ends when somebody is in a hurry, and that is no reason not to wait again", () => {
  const { state, endTurn, isWaiting, cohort } = waitingFor(16);
  endTurn();
  state.isUrgent = true;
  endTurn();
  expect(isWaiting()).toBe(false);
  expect(cohort.isExpected(2, 0)).toBe(true);
});

test("nobody is waited for when one client is alone", () => {
  const cohort = new Cohort(handDriven().clock);
  expect(cohort.isExpected(1, 0)).toBe(false);
  expect(cohort.isExpected(1, 1)).toBe(true);
});
