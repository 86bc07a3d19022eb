/**
 * The clock seam: the only way a role learns the time or waits for it.
 *
 * Invariant: nothing outside `core` reads `Date.now`, `performance.now`, `setTimeout` or
 * `setInterval`. A simulated clock (`sim/`) therefore controls every wait of a whole cluster.
 * A crash does nothing here: timers live in memory only.
 */

/** A pending timer. `cancel` is idempotent and safe from inside the timer's own callback. */
export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Wall-clock time in milliseconds since 1970. May step backwards; use it for expiry and dates. */
  nowMs(): number;
  /** Milliseconds since an arbitrary start, never backwards, sub-millisecond resolution. */
  monotonicMs(): number;
  /** Runs `callback` once, `delayMs` from now. */
  after(delayMs: number, callback: () => void): Timer;
  /** Runs `callback` each `periodMs`, first one period from now. */
  every(periodMs: number, callback: () => void): Timer;
  /** Runs `callback` after the I/O that is already readable in this event-loop turn was handled. */
  endOfTurn(callback: () => void): void;
}

/** Resolves `delayMs` from now, or when `signal` aborts. */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted === true) return Promise.resolve();
  return new Promise((resolve) => {
    const end = () => {
      timer.cancel();
      signal?.removeEventListener("abort", end);
      resolve();
    };
    const timer = clock.after(delayMs, end);
    signal?.addEventListener("abort", end);
  });
}

/** The returned function has `work` done at the end of the turn, once however often it is called until then. */
export function oncePerTurn(clock: Pick<Clock, "endOfTurn">, work: () => void): () => void {
  let isAwaited = false;
  const run = () => {
    isAwaited = false;
    work();
  };
  return () => {
    if (isAwaited) return;
    isAwaited = true;
    clock.endOfTurn(run);
  };
}

/** The machine's clock. */
export const realClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after(delayMs, callback) {
    const handle = setTimeout(callback, delayMs);
    return { cancel: () => clearTimeout(handle) };
  },
  every(periodMs, callback) {
    const handle = setInterval(callback, periodMs);
    return { cancel: () => clearInterval(handle) };
  },
  endOfTurn(callback) {
    setImmediate(callback);
  },
};
