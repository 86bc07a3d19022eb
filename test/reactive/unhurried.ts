/** A turn of the event loop takes its time: what is done in several of them meets messages, timers and the end of the process. */
import type { Clock } from "../../src/core/seams/clock.ts";
import type { Random } from "../../src/core/seams/random.ts";

/** Most hosts are quick, some are in the midst of something most of the time. */
const TURN_MS_MAX = { quick: 2, slow: 10 };

export function unhurried(clock: Clock, random: Random): Clock {
  const turnMsMax = random.integer(4) === 0 ? TURN_MS_MAX.slow : TURN_MS_MAX.quick;
  return {
    nowMs: () => clock.nowMs(),
    monotonicMs: () => clock.monotonicMs(),
    after: (delayMs, callback) => clock.after(delayMs, callback),
    every: (periodMs, callback) => clock.every(periodMs, callback),
    endOfTurn: (callback) => void clock.after(random.float() * turnMsMax, callback),
  };
}
