/**
 * When the next group begins: at once, or once those who were told of the last one are back.
 *
 * A client that waited for its acknowledgement sends its next request when it has it. Left alone, many such clients fall
 * into two crowds that take turns, one on the disk while the other is served: each sync carries half of what it could, and
 * a sync with the way to the disk's thread and back costs as much as ten small requests. So the log tells first, waits
 * until almost as many appends came as it told of, and begins then: one crowd, one sync.
 *
 * Invariant: only the beginning of a group moves, never what is acknowledged or in which order. A wait ends when nobody
 * comes any more, after `SYNCS_MAX` syncs' time, and whenever there is a hurry. Who appends alone is not waited for,
 * nor, for some groups, a crowd that did not come back. Nothing here outlives a crash.
 */
import type { Clock } from "../seams/clock.ts";

/** The wait is at most this many times what a sync takes, and at most `WAIT_MS_MAX`. */
const SYNCS_MAX = 1.5;
const WAIT_MS_MAX = 1;
/** Turns of the event loop in a row that brought nothing: some ten microseconds. */
const EMPTY_TURNS_MAX = 64;
/** Groups that begin at once after a wait that was in vain. */
const GROUPS_AFTER_VAIN = 16;
/** Weight of the last sync in the average. */
const SYNC_WEIGHT = 1 / 16;

export class Cohort {
  readonly #clock: Clock;
  #syncMs = 0;
  #groupsAtOnce = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A sync took this long. */
  synced(durationMs: number): void {
    this.#syncMs += (durationMs - this.#syncMs) * SYNC_WEIGHT;
  }

  /** Whether it pays to wait for those who are told of `told` appends while `gathered` wait already. */
  isExpected(told: number, gathered: number): boolean {
    if (told + gathered < 2) return false;
    if (this.#groupsAtOnce === 0) return true;
    this.#groupsAtOnce--;
    return false;
  }

  /**
   * Resolves when the next group should begin: `told` have been told, `appended` counts appends. Some stay away: seven of
   * eight are enough.
   */
  gather(told: number, appended: () => number, hurry: () => boolean): Promise<void> {
    const clock = this.#clock;
    const enough = appended() + told - (told >> 3);
    const endMs = clock.monotonicMs() + Math.min(SYNCS_MAX * this.#syncMs, WAIT_MS_MAX);
    let last = appended();
    let emptyTurns = 0;
    return new Promise((resolve) => {
      const look = () => {
        const count = appended();
        emptyTurns = count === last ? emptyTurns + 1 : 0;
        last = count;
        if (count < enough && !hurry()) {
          if (emptyTurns < EMPTY_TURNS_MAX && clock.monotonicMs() < endMs) {
            clock.endOfTurn(look);
            return;
          }
          this.#groupsAtOnce = GROUPS_AFTER_VAIN;
        }
        resolve();
      };
      clock.endOfTurn(look);
    });
  }
}
