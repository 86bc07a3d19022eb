/**
 * When a load generator sends: as fast as replies come (closed loop), or at a fixed rate (open loop).
 *
 * In a closed loop a slow server is asked less, so its slow moments are under-counted (coordinated omission). In an
 * open loop request number n is due at start + n / rate whatever happened before, and its latency counts from that
 * moment, also when it had to wait in the generator. Invariant: due times never depend on replies.
 */

export interface Pacing {
  /** How many requests are due and not yet taken; Infinity when time does not govern them. */
  allowance(nowMs: number): number;
  /** Takes the next request and returns the moment from which its latency counts. */
  take(nowMs: number): number;
  /** Milliseconds until the next request is due, 0 when one is; 0 in a closed loop. */
  waitMs(nowMs: number): number;
}

/** The next request goes out as soon as a reply made room for it. */
export const closedLoop: Pacing = {
  allowance: () => Number.POSITIVE_INFINITY,
  take: (nowMs) => nowMs,
  waitMs: () => 0,
};

/** `ratePerSecond` requests each second at equal distances, the first at `startMs`. */
export function openLoop(ratePerSecond: number, startMs: number): Pacing {
  let taken = 0;
  const dueMs = (request: number) => startMs + (request * 1000) / ratePerSecond;
  return {
    allowance(nowMs) {
      const dueByNow = Math.floor(((nowMs - startMs) * ratePerSecond) / 1000) + 1;
      return nowMs < startMs ? 0 : Math.max(0, dueByNow - taken);
    },
    take: () => dueMs(taken++),
    waitMs: (nowMs) => Math.max(0, dueMs(taken) - nowMs),
  };
}

/**
 * How many requests a run may still issue: a number, an end in time, or both, whichever comes first.
 * `stop` ends it at once; what is in flight is still waited for.
 */
export class Budget {
  #left: number;
  #endMs: number;

  constructor(requests: number, endMs: number) {
    this.#left = requests;
    this.#endMs = endMs;
  }

  /** At most `wanted`; 0 when the run is over. */
  take(wanted: number, nowMs: number): number {
    if (nowMs >= this.#endMs) this.#left = 0;
    const granted = Math.min(wanted, this.#left);
    this.#left -= granted;
    return granted;
  }

  isSpent(nowMs: number): boolean {
    return this.#left <= 0 || nowMs >= this.#endMs;
  }

  stop(): void {
    this.#left = 0;
  }
}
