/**
 * The deterministic scheduler: one heap of (time, sequence) events under every simulated clock, disk and
 * network.
 *
 * Invariant: a run is a pure function of its seed. Time moves only when an event is taken from the heap,
 * events of the same instant run in the order in which they were scheduled, and the microtask queue is
 * drained between two events, so `async` code runs to its next wait before anything else happens. `run` is
 * synchronous: the real event loop, and with it the real clock and the real disk, never get a turn in
 * between. A simulation that can make no progress says so instead of hanging.
 */
import { drainMicrotasks } from "bun:jsc";
import type { Timer } from "../seams/clock.ts";
import { seededRandom, type Random } from "../seams/random.ts";

/** A simulation that went wrong as a simulation: stuck, too long, or a background task that failed. */
export class SimulationError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "SimulationError";
  }
}

export interface RunLimits {
  /** Simulated time after which the run counts as stuck. */
  timeLimitMs?: number;
  /** Events after which the run counts as stuck. */
  eventsMax?: number;
}

interface Event {
  readonly timeMs: number;
  readonly sequence: number;
  /** Undefined once cancelled. */
  callback: (() => void) | undefined;
}

type Outcome<Value> = { value: Value } | { error: unknown };

export class Scheduler {
  readonly seed: number;
  /** The root of all randomness; give each part its own stream with `fork`. */
  readonly random: Random;
  #heap: Event[] = [];
  #timeMs = 0;
  #sequence = 0;
  #executed = 0;
  #hash = 0x811c9dc5;
  #background: Outcome<never> | undefined;
  #lines: string[] | undefined;

  constructor(seed: number, options: { keepTrace?: boolean } = {}) {
    this.seed = seed;
    this.random = seededRandom(seed);
    if (options.keepTrace === true) this.#lines = [];
  }

  /** Simulated milliseconds since the start. */
  get timeMs(): number {
    return this.#timeMs;
  }

  /** Events executed so far. */
  get executed(): number {
    return this.#executed;
  }

  /** Names the exact course of the run: executed events and traced lines, in order. */
  get traceHash(): string {
    return (this.#hash >>> 0).toString(16).padStart(8, "0");
  }

  /** The traced lines, when the scheduler was made with `keepTrace`. */
  get lines(): readonly string[] {
    return this.#lines ?? [];
  }

  /** A random stream of its own, so that drawing more in one part does not shift another. */
  fork(): Random {
    return seededRandom(this.random.integer(0x1_0000_0000));
  }

  /** Adds a line to the trace. */
  trace(line: string): void {
    for (let index = 0; index < line.length; index++) this.#mix(line.charCodeAt(index));
    this.#lines?.push(`${this.#timeMs.toFixed(3).padStart(12)} ms  ${line}`);
  }

  /** Schedules `callback` at `delayMs` from now (0: after everything that is due now). */
  after(delayMs: number, callback: () => void): Timer {
    const timeMs = this.#timeMs + (delayMs > 0 ? delayMs : 0);
    const event: Event = { timeMs, sequence: this.#sequence++, callback };
    this.#push(event);
    return {
      cancel() {
        event.callback = undefined;
      },
    };
  }

  /** Watches a task that nobody awaits: its failure fails the run. */
  background(task: Promise<unknown>): void {
    task.catch((error: unknown) => {
      this.#background ??= { error };
    });
  }

  /**
   * Runs `main` and everything it causes until its promise settles; returns its value or throws its error.
   */
  run<Value>(main: () => Promise<Value>, limits: RunLimits = {}): Value {
    const timeLimitMs = limits.timeLimitMs ?? Number.POSITIVE_INFINITY;
    const eventsEnd = this.#executed + (limits.eventsMax ?? Number.POSITIVE_INFINITY);
    let outcome: Outcome<Value> | undefined;
    main().then(
      (value) => {
        outcome = { value };
      },
      (error: unknown) => {
        outcome = { error };
      },
    );
    for (;;) {
      drainMicrotasks();
      const settled = this.#background ?? (outcome as Outcome<Value> | undefined);
      if (settled !== undefined) {
        if ("error" in settled) throw settled.error;
        return settled.value;
      }
      const event = this.#pop();
      if (event === undefined) {
        throw this.#stuck("deadlock: a promise is awaited, but no event is scheduled that could settle it");
      }
      if (event.timeMs > timeLimitMs) throw this.#stuck(`not finished within ${timeLimitMs} simulated ms`);
      if (this.#executed >= eventsEnd) throw this.#stuck(`not finished within ${limits.eventsMax} events`);
      this.#execute(event);
    }
  }

  #execute(event: Event): void {
    this.#timeMs = event.timeMs;
    this.#executed += 1;
    this.#mix(event.sequence);
    this.#mix(event.timeMs * 1000);
    const callback = event.callback as () => void;
    event.callback = undefined;
    callback();
  }

  #stuck(reason: string): SimulationError {
    const where = `at ${this.#timeMs.toFixed(3)} ms after ${this.#executed} events`;
    return new SimulationError(`simulation with seed ${this.seed} ${where}: ${reason}`);
  }

  /** One FNV-1a step over 32 bits: cheap enough to be always on. */
  #mix(value: number): void {
    this.#hash = Math.imul(this.#hash ^ (value | 0), 0x01000193);
    this.#hash ^= this.#hash >>> 15;
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let index = heap.length;
    heap.push(event);
    while (index > 0) {
      const parent = (index - 1) >> 1;
      const above = heap[parent] as Event;
      if (!isBefore(event, above)) break;
      heap[index] = above;
      index = parent;
    }
    heap[index] = event;
  }

  /** The earliest event that was not cancelled. */
  #pop(): Event | undefined {
    for (;;) {
      const top = this.#heap[0];
      if (top === undefined) return undefined;
      const last = this.#heap.pop() as Event;
      if (this.#heap.length > 0) this.#sink(last);
      if (top.callback !== undefined) return top;
    }
  }

  #sink(event: Event): void {
    const heap = this.#heap;
    const length = heap.length;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= length) break;
      if (child + 1 < length && isBefore(heap[child + 1] as Event, heap[child] as Event)) child += 1;
      const below = heap[child] as Event;
      if (!isBefore(below, event)) break;
      heap[index] = below;
      index = child;
    }
    heap[index] = event;
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.timeMs < b.timeMs || (a.timeMs === b.timeMs && a.sequence < b.sequence);
}
