/**
 * Replicas that do not run for a while: suspended, starved by other processes, busy collecting garbage. What was sent to them
 * meanwhile is read when they go on, behind the timers that have become due, and in no particular order of senders.
 */
import { expect, test } from "bun:test";
import { seededRandom, type Random } from "../../../src/core/seams/random.ts";
import { Table } from "./table.ts";

const STEP_MS = 5;
const PRIMARY = 0;
const BACKUPS = [1, 2];

/** One turn of a replica's event loop: its timer, then everything that has arrived. */
function turn(table: Table, index: number, random: Random): void {
  const seat = table.seat(index);
  if (seat.replica.deadlineMs <= table.nowMs) seat.step({ kind: "wake" });
  const senders = table.seats.map((each) => each.index).filter((other) => other !== index);
  if (random.integer(2) === 0) senders.reverse();
  for (const from of senders) table.deliver(from, index);
  seat.sync();
}

/** Time passes; replica `index` runs when `isRunning` says so. */
function live(table: Table, durationMs: number, random: Random, isRunning: (index: number) => boolean): void {
  for (const endMs = table.nowMs + durationMs; table.nowMs < endMs;) {
    table.nowMs += STEP_MS;
    for (const { index } of table.seats) if (isRunning(index)) turn(table, index, random);
  }
}

const viewsOf = (table: Table) => table.seats.map(({ replica }) => replica.status.view);

test("backups that do not run for a while, one or all of them, do not replace a primary that does", () => {
  let pauses = 0;
  for (let seed = 1; seed <= 30; seed++) {
    const random = seededRandom(seed);
    const table = Table.founded(3);
    const goesOnAtMs = [0, 0, 0];
    const pause = (index: number, delayMs: number) => {
      goesOnAtMs[index] = Math.max(goesOnAtMs[index] as number, table.nowMs + delayMs);
      pauses++;
    };
    live(table, 5000, random, (index) => {
      if (index === PRIMARY) return true;
      // Also together, as when the host has no time for either.
      if (random.integer(60) === 0) {
        const delayMs = 50 + random.integer(1000);
        if (random.integer(2) === 0) pause(index, delayMs);
        else for (const each of BACKUPS) pause(each, delayMs + random.integer(100));
      }
      return table.nowMs >= (goesOnAtMs[index] as number);
    });
    expect({ seed, views: viewsOf(table) }).toEqual({ seed, views: [0, 0, 0] });
  }
  expect(pauses).toBeGreaterThan(500);
});

test("a backup that did not run helps nobody before it has read what its primary sent meanwhile", () => {
  const table = Table.founded(3);
  table.lose();
  table.pass(0, [PRIMARY]);
  table.deliver(PRIMARY, 2, "prepare");
  // Replica 1 hears nothing any more and asks; replica 2 does not run, and then reads replica 1's message first.
  table.pass(700, [PRIMARY, 1]);
  table.deliver(1, 2, "startViewChange");
  table.deliver(PRIMARY, 2);
  expect(table.seat(2).sent.map(({ envelope }) => envelope.message.type)).not.toContain("startViewChange");
  expect(viewsOf(table)).toEqual([0, 0, 0]);
});

/** The primary does not run for so long, and nothing of it is on its way. */
function silence(table: Table, random: Random, durationMs: number): void {
  live(table, durationMs, random, (index) => index !== PRIMARY);
  live(table, 100, random, () => true);
}

test("a primary that is late now and then is given more time, a punctual one is not", () => {
  const random = seededRandom(1);
  const late = Table.founded(3);
  for (let round = 0; round < 10; round++) silence(late, random, 280);
  for (let round = 0; round < 10; round++) silence(late, random, 500);
  expect(viewsOf(late)).toEqual([0, 0, 0]);
  // Not for ever: a dead one is replaced.
  live(late, 2500, random, (index) => index !== PRIMARY);
  expect(Math.max(...viewsOf(late))).toBeGreaterThan(0);
  const punctual = Table.founded(3);
  live(punctual, 1000, random, () => true);
  live(punctual, 1000, random, (index) => index !== PRIMARY);
  expect(Math.max(...viewsOf(punctual))).toBeGreaterThan(0);
});

test("a primary's death is noticed also by backups that are late each time", () => {
  const random = seededRandom(1);
  const table = Table.founded(3);
  table.lose();
  live(table, 20_000, random, (index) => index !== PRIMARY && table.nowMs % 200 === 0);
  expect(Math.max(...viewsOf(table))).toBeGreaterThan(0);
  expect(BACKUPS.some((index) => table.seat(index).replica.status.isPrimary)).toBe(true);
});
