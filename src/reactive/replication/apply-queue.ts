/**
 * What is committed and not yet applied: entries that take long are applied step by step, one step in each turn of the event loop,
 * so that heartbeats are sent and messages are read meanwhile.
 *
 * Invariant: entries are applied in their order and one at a time; what is behind one waits for it. Nobody sees an entry half
 * applied: who reads the service waits its turn in the same queue (`behind`), and the steps of an entry begin in a turn of their
 * own, when everything that the one before has let go has run. Whoever is too far behind makes no pauses, so what waits
 * here is bounded. A crash takes what is here; the journal has it.
 */
import type { Clock } from "../../core/seams/clock.ts";
import type { Service } from "./service.ts";
import type { Outcome } from "./sessions.ts";
import type { Steps } from "./steps.ts";
import type { Entry } from "./types.ts";

/** Of entries that wait: with more, the present one is done without a pause. */
const WAITING_BYTES_MAX = 64 << 20;

export interface ApplyQueueOptions {
  service: Pick<Service, "apply">;
  clock: Pick<Clock, "endOfTurn">;
  onApplied(outcomes: Outcome[], isPrimary: boolean): void;
  /** It has come to its end, after an entry that took long. */
  onIdle(): void;
  /** A defect: nothing more is applied. */
  onFailed(error: unknown): void;
  waitingBytesMax?: number;
}

type Waiting = { entry: Entry; isPrimary: boolean } | (() => void);

interface Applying {
  steps: Steps<Outcome[]>;
  isPrimary: boolean;
}

export class ApplyQueue {
  readonly #options: ApplyQueueOptions;
  #applying: Applying | undefined;
  #waiting: Waiting[] = [];
  #waitingBytes = 0;

  constructor(options: ApplyQueueOptions) {
    this.#options = options;
  }

  /** Everything that was committed is applied. */
  get isIdle(): boolean {
    return this.#applying === undefined;
  }

  add(entry: Entry, isPrimary: boolean): void {
    if (this.#applying === undefined) {
      this.#begin(entry, isPrimary);
      return;
    }
    this.#waiting.push({ entry, isPrimary });
    this.#waitingBytes += entry.payload.byteLength;
  }

  /** Calls back when all that was added before is applied: at once, mostly. */
  behind(then: () => void): void {
    if (this.#applying === undefined) then();
    else this.#waiting.push(then);
  }

  #begin(entry: Entry, isPrimary: boolean): void {
    const outcomes = this.#options.service.apply(entry);
    if (Array.isArray(outcomes)) {
      this.#options.onApplied(outcomes, isPrimary);
      return;
    }
    const applying = { steps: outcomes, isPrimary };
    this.#applying = applying;
    this.#stepLater(applying);
  }

  #stepLater(applying: Applying): void {
    this.#options.clock.endOfTurn(() => {
      if (this.#applying !== applying) return;
      try {
        this.#step(applying);
      } catch (error) {
        this.clear();
        this.#options.onFailed(error);
      }
    });
  }

  #step(applying: Applying): void {
    const { waitingBytesMax = WAITING_BYTES_MAX } = this.#options;
    let step = applying.steps.next();
    while (step.done !== true && this.#waitingBytes > waitingBytesMax) step = applying.steps.next();
    if (step.done !== true) {
      this.#stepLater(applying);
      return;
    }
    this.#applying = undefined;
    this.#options.onApplied(step.value, applying.isPrimary);
    this.#goOn();
  }

  #goOn(): void {
    while (this.#applying === undefined) {
      const next = this.#waiting.shift();
      if (next === undefined) return this.#options.onIdle();
      if (typeof next === "function") next();
      else {
        this.#waitingBytes -= next.entry.payload.byteLength;
        this.#begin(next.entry, next.isPrimary);
      }
    }
  }

  /** Drops what is not applied: another state takes the place of this one. Who waited to read is called all the same. */
  clear(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#waitingBytes = 0;
    this.#applying = undefined;
    for (const each of waiting) if (typeof each === "function") each();
  }
}
