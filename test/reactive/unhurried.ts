/** A turn of the event loop takes its time: what is done in several of them meets messages, timers and the end of the process. */
import type { Clock } from "../../src/core/seams/clock.ts";
import type { Random } from "../../src/core/seams/random.ts";

const TURN_MS_MAX = 2;

export function unhurried(clock: Clock, random: Random): Clock {
  return {
    nowMs: () => clock.nowMs(),
    monotonicMs: () => clock.monotonicMs(),
    after: (delayMs, callback) => clock.after(delayMs, callback),
    every: (periodMs, callback) => clock.every(periodMs, callback),
    endOfTurn: (callback) => void clock.after(random.float() * TURN_MS_MAX, callback),
  };
}
