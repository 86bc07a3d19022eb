/**
 * Background writing that leaves the disk to the log between its steps.
 *
 * A snapshot or a fresh segment is written in small steps, each synced, with a pause after it. Without that, the
 * log's own sync waits behind megabytes of somebody else's data: a 4 MiB step made it wait 15 ms, a 256 KiB step
 * 0.3 ms, on a disk that does a lone sync in 0.16 ms (see docs/PERFORMANCE.md).
 */
import { sleep, type Clock } from "../seams/clock.ts";

/** Written and synced at once in the background. */
export const STEP_BYTES = 256 << 10;
/** Pause after a step, in durations of the step: the disk is left alone for most of the time. */
const PAUSE_FACTOR = 2;
/** A step that took long did so because the disk is busy: waiting ever longer would not end. */
const PAUSE_MS_MAX = 20;

export class Pace {
  readonly #clock: Clock;
  /** Somebody waits for the result: no pauses. */
  isUrgent = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Runs one step and pauses after it. */
  async step(write: () => Promise<void>): Promise<void> {
    const startMs = this.#clock.monotonicMs();
    await write();
    const tookMs = this.#clock.monotonicMs() - startMs;
    if (!this.isUrgent) await sleep(this.#clock, Math.min(PAUSE_FACTOR * tookMs, PAUSE_MS_MAX));
  }
}
