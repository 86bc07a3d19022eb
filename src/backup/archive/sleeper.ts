/** Work that leaves a share of the time to others: it sleeps in proportion to what it has worked. */
import { type Clock, sleep } from "../../core/seams/clock.ts";

const SLEEP_MIN_MS = 100;
const SLEEP_MAX_MS = 1000;

export class Sleeper {
  readonly #clock: Clock;
  readonly #percent: number;
  #sinceMs: number;

  constructor(clock: Clock, percent: number) {
    this.#clock = clock;
    this.#percent = percent;
    this.#sinceMs = clock.monotonicMs();
  }

  async rest(): Promise<void> {
    if (this.#percent === 0) return;
    const workedMs = this.#clock.monotonicMs() - this.#sinceMs;
    const sleepMs = (workedMs * this.#percent) / (100 - this.#percent);
    if (sleepMs < SLEEP_MIN_MS) return;
    await sleep(this.#clock, Math.min(sleepMs, SLEEP_MAX_MS));
    this.#sinceMs = this.#clock.monotonicMs();
  }
}
