/** What stands on the clock seam whichever clock it is. */
import { expect, test } from "bun:test";
import { oncePerTurn, realClock, sleep } from "../../../src/core/seams/clock.ts";

test("work that is asked for again and again in a turn is done once at its end, and again in the next", () => {
  const atEnd: (() => void)[] = [];
  const done: string[] = [];
  const ask = oncePerTurn({ endOfTurn: (callback) => void atEnd.push(callback) }, () => {
    done.push("work");
    if (done.length === 1) ask();
  });
  ask();
  ask();
  expect([atEnd.length, done.length]).toEqual([1, 0]);
  atEnd.shift()?.();
  // Asked for by the work itself: in the next turn.
  expect([atEnd.length, done.length]).toEqual([1, 1]);
  atEnd.shift()?.();
  expect([atEnd.length, done.length]).toEqual([0, 2]);
});

test("a sleep ends when its signal aborts, and does not begin when that has aborted already", async () => {
  const interrupt = new AbortController();
  const slept = sleep(realClock, 2 ** 31 - 1, interrupt.signal);
  interrupt.abort();
  await slept;
  await sleep(realClock, 2 ** 31 - 1, interrupt.signal);
});
