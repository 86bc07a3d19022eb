/**
 * A limit of bytes a second that several connections may share.
 *
 * Invariant: over any while, no more passes than the rate allows and one part beyond it; who waits is served in order.
 */
import { type Clock, sleep } from "../../core/seams/clock.ts";

export class RateLimit {
  readonly #clock: Clock;
  readonly #bytesPerSecond: () => number;
  #freeAtMs = 0;

  /** It is asked for at each part, so that a change takes effect; 0 is no limit. */
  constructor(clock: Clock, bytesPerSecond: () => number) {
    this.#clock = clock;
    this.#bytesPerSecond = bytesPerSecond;
  }

  /** Resolves when so many bytes may pass. */
  async take(bytes: number): Promise<void> {
    const bytesPerSecond = this.#bytesPerSecond();
    if (bytesPerSecond === 0) return;
    const nowMs = this.#clock.monotonicMs();
    const startMs = Math.max(nowMs, this.#freeAtMs);
    this.#freeAtMs = startMs + (bytes / bytesPerSecond) * 1000;
    if (startMs > nowMs) await sleep(this.#clock, startMs - nowMs);
  }
}
