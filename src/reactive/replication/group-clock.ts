/**
 * The time that a group's entries carry: by it a service decides how long to remember.
 *
 * It begins with the wall clock of the day on which the group was founded and runs as fast as a host's monotonic clock while the
 * group runs. So a wall clock that is set, or a host whose clock is wrong, makes nobody forget what was just promised to be
 * remembered, and a group that lay idle without power has not forgotten those who wait for it.
 *
 * Invariant: a new primary goes on from the last entry that it knows. Services see it never go back (sessions.ts). Nothing is kept: the
 * journal's entries and snapshot say where it was.
 */
import type { Clock } from "../../core/seams/clock.ts";

export class GroupClock {
  readonly #clock: Pick<Clock, "monotonicMs">;
  #timeMs: number;
  #atMs: number;

  /** `knownMs`: of the last entry on the disk; 0: none. */
  constructor(clock: Clock, knownMs: number) {
    this.#clock = clock;
    this.#timeMs = knownMs > 0 ? knownMs : clock.nowMs();
    this.#atMs = clock.monotonicMs();
  }

  get nowMs(): number {
    return this.#timeMs + this.#clock.monotonicMs() - this.#atMs;
  }

  /** The group is at an entry of this time. Its primary, which made it some time ago, is not set back by it. */
  follow(timeMs: number, isPrimary: boolean): void {
    if (isPrimary && timeMs <= this.nowMs) return;
    this.#timeMs = timeMs;
    this.#atMs = this.#clock.monotonicMs();
  }
}
