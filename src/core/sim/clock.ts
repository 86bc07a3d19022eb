/**
 * A simulated host's clock, possibly wrong: it drifts and its wall time can be stepped.
 *
 * Invariant: a killed clock runs nothing any more. A process that dies in a simulation takes its timers with
 * it, as a real one does; its promises simply never settle.
 */
import type { Clock, Timer } from "../seams/clock.ts";
import type { Scheduler } from "./scheduler.ts";

export interface SimClockOptions {
  /** Wall time at the start of the simulation, milliseconds since 1970. */
  wallStartMs?: number;
  /** How fast this clock runs, in parts per million off true time. */
  driftPpm?: number;
}

/** 2026-01-01T00:00:00Z: a fixed date, so that a run does not depend on the day. */
const WALL_START_MS = 1_767_225_600_000;

export class SimClock implements Clock {
  #scheduler: Scheduler;
  #rate: number;
  #wallOffsetMs: number;
  #isAlive = true;

  constructor(scheduler: Scheduler, options: SimClockOptions = {}) {
    this.#scheduler = scheduler;
    this.#rate = 1 + (options.driftPpm ?? 0) / 1e6;
    this.#wallOffsetMs = options.wallStartMs ?? WALL_START_MS;
  }

  nowMs(): number {
    return Math.floor(this.#wallOffsetMs + this.monotonicMs());
  }

  monotonicMs(): number {
    return this.#scheduler.timeMs * this.#rate;
  }

  after(delayMs: number, callback: () => void): Timer {
    return this.#scheduler.after(delayMs / this.#rate, () => {
      if (this.#isAlive) callback();
    });
  }

  every(periodMs: number, callback: () => void): Timer {
    let isCancelled = false;
    let timer: Timer;
    const tick = () => {
      callback();
      if (!isCancelled) timer = this.after(periodMs, tick);
    };
    timer = this.after(periodMs, tick);
    return {
      cancel() {
        isCancelled = true;
        timer.cancel();
      },
    };
  }

  endOfTurn(callback: () => void): void {
    this.after(0, callback);
  }

  /** Moves wall time by `byMs`, as an operator or a time daemon does. Timers are unaffected. */
  step(byMs: number): void {
    this.#wallOffsetMs += byMs;
  }

  /** The process behind this clock died. */
  kill(): void {
    this.#isAlive = false;
  }
}
