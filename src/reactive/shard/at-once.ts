/**
 * Transactions of one shard that are committed by one entry, at a timestamp that was taken before: what a primary remembers so
 * that none is committed below a read that did not see it.
 *
 * A timestamp that is taken before the votes may be smaller than one at which a key was read meanwhile. So the primary keeps, for
 * each key, the largest timestamp at which it answered, and orders such a transaction only above the marks of its keys; and a
 * read waits for those that are ordered and not applied. What earlier primaries answered is not known here, but was asked at
 * timestamps that had been issued before this view began: the frontend says which view it knew before it asked for its
 * timestamp, and only those of the present view are taken. (What transactions read that committed is marked in the replicated
 * state, and checked when the entry is applied: service.ts.)
 *
 * Each attempt has a name of its own: a transaction that was sent twice is under way twice, at two timestamps.
 *
 * Invariant: `admit` is asked before an entry is made, `mark` before a read is answered; and whatever was admitted is said to be
 * over, executed or not (`applied`, `dropped`): reads wait for it. Not part of the replicated state: a transaction that is refused
 * here ("late") was not ordered, and is prepared in the ordinary way instead.
 */
import { nameOf } from "../wire/key-name.ts";
import type { AtOnceCommand } from "./commands.ts";
import { ReadMarks } from "./read-marks.ts";
import { type Access, idText } from "./transaction.ts";

/** A transaction that is sent again comes with another timestamp, and may meet its earlier copy: either may be the one that counts. */
export const attemptOf = ({ transaction: { id }, timestamp }: AtOnceCommand) => `${idText(id)}@${timestamp}`;

interface UnderWay {
  timestamp: number;
  keys: string[];
}

export class AtOnce {
  #view = -1;
  readonly #marks = new ReadMarks();
  /** Of reads of ranges, and of followers that were told how far they are. */
  #markOfAll = 0;
  readonly #underWay = new Map<string, UnderWay>();
  /** Mostly one each: an array is cheaper than a set. */
  readonly #byKey = new Map<string, string[]>();
  /** Given up by the primary, though entries up to this one may hold them. */
  readonly #givenUp = new Map<string, number>();

  /**
   * To be called before anything else of a view. What an earlier view left is either applied by now, or never will be; what it answered for is below this
   * view's timestamps.
   */
  enter(view: number): void {
    if (view === this.#view) return;
    this.#view = view;
    this.#marks.clear();
    this.#markOfAll = 0;
    this.#underWay.clear();
    this.#givenUp.clear();
    this.#byKey.clear();
  }

  /**
   * Whether a transaction may be ordered at this timestamp; if so it is under way. `seenView`: what its frontend knew before it asked
   * for the timestamp.
   */
  admit(attempt: string, accesses: readonly Access[], timestamp: number, seenView: number): boolean {
    if (seenView !== this.#view || timestamp <= this.#markOfAll) return false;
    if (accesses.some(({ key }) => timestamp <= this.#marks.of(key))) return false;
    const keys = accesses.map(({ key }) => nameOf(key));
    this.#underWay.set(attempt, { timestamp, keys });
    this.#givenUp.delete(attempt);
    for (const key of keys) {
      const attempts = this.#byKey.get(key);
      if (attempts === undefined) this.#byKey.set(key, [attempt]);
      else if (!attempts.includes(attempt)) attempts.push(attempt);
    }
    return true;
  }

  /** A key is answered for as of a timestamp: nothing is ordered at or below it any more. */
  mark(key: Uint8Array, timestamp: number): void {
    this.#marks.mark(key, timestamp);
  }

  markAll(timestamp: number): void {
    this.#markOfAll = Math.max(this.#markOfAll, timestamp);
  }

  /** Those that may still change a key. */
  on(key: Uint8Array): string[] {
    if (this.#byKey.size === 0) return [];
    return [...(this.#byKey.get(nameOf(key)) ?? [])];
  }

  all(): string[] {
    return [...this.#underWay.keys()];
  }

  /** Timestamps at or below which none of them is committed, of those on this key or of all. */
  floors(key?: Uint8Array): number[] {
    const attempts = key === undefined ? this.#underWay.keys() : (this.#byKey.get(nameOf(key)) ?? []);
    return [...attempts].map((attempt) => (this.#underWay.get(attempt)?.timestamp ?? 1) - 1);
  }

  /** An entry held it. */
  applied(attempt: string): void {
    const found = this.#underWay.get(attempt);
    if (found === undefined) return;
    this.#underWay.delete(attempt);
    this.#givenUp.delete(attempt);
    for (const key of found.keys) {
      const attempts = this.#byKey.get(key) ?? [];
      const place = attempts.indexOf(attempt);
      if (place < 0) continue;
      if (attempts.length === 1) this.#byKey.delete(key);
      else attempts.splice(place, 1);
    }
  }

  /** The primary gives up what no entry up to `op` holds. Returns all that nobody can be told about. */
  dropped(op: number): string[] {
    for (const attempt of this.#underWay.keys()) this.#givenUp.set(attempt, op);
    return [...this.#underWay.keys()];
  }

  /** Everything up to `op` was applied. Returns those that were given up and do not come any more. */
  reached(op: number): string[] {
    if (this.#givenUp.size === 0) return [];
    const gone = [...this.#givenUp].filter(([, last]) => last <= op).map(([attempt]) => attempt);
    for (const attempt of gone) this.applied(attempt);
    return gone;
  }
}
