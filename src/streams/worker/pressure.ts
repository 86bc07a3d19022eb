/**
 * Whether somebody cannot keep up: this worker's links, sinks and held records, or any other worker.
 *
 * Invariant: while anybody in the cluster is congested all sources rest; what is between workers is always processed, so
 * what waits is bounded by what was on its way when the sources came to rest.
 */
import type { Clock } from "../../core/seams/clock.ts";

export interface PressureOptions {
  clock: Pick<Clock, "monotonicMs">;
  /** Whether something of this worker is over its limit right now. */
  isOverLimit(): boolean;
  /** Tells the other workers. */
  tell(isCongested: boolean): void;
  /** Whether sources must rest. */
  onChange(mustRest: boolean): void;
}

export class Pressure {
  readonly #options: PressureOptions;
  readonly #peers = new Set<number>();
  #isCongested = false;
  #sinceMs = 0;
  #totalMs = 0;

  constructor(options: PressureOptions) {
    this.#options = options;
  }

  /** How long this worker was congested, all in all. */
  get totalMs(): number {
    return this.#totalMs;
  }

  /** To be called when something of this worker may have passed its limit, or fallen below it. */
  judge(): void {
    const isCongested = this.#options.isOverLimit();
    if (isCongested !== this.#isCongested) {
      this.#isCongested = isCongested;
      const nowMs = this.#options.clock.monotonicMs();
      if (isCongested) this.#sinceMs = nowMs;
      else this.#totalMs += nowMs - this.#sinceMs;
      this.#options.tell(isCongested);
    }
    this.#options.onChange(isCongested || this.#peers.size > 0);
  }

  /** Another worker says that it is congested, or not any more, or it has left. */
  hear(peer: number, isCongested: boolean): void {
    if (isCongested) this.#peers.add(peer);
    else this.#peers.delete(peer);
    this.judge();
  }

  /** A new epoch: nobody has said anything yet. */
  reset(): void {
    this.#peers.clear();
    this.judge();
  }
}
