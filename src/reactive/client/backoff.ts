/** How long to wait before trying again: twice as long each time, up to a bound, and never the same for two clients. Pure. */

export interface Backoff {
  firstMs: number;
  maxMs: number;
}

/** Before attempt 1, 2, …: between half of the full delay and all of it. `random` is in [0, 1). */
export function backoffMs(attempt: number, { firstMs, maxMs }: Backoff, random: number): number {
  const full = Math.min(maxMs, firstMs * 2 ** Math.min(attempt - 1, 30));
  return full / 2 + (random * full) / 2;
}
