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
 * Each attempt is told apart by the command that was decoded for it, which stays with its entry until that is applied: a transaction
 * that was sent twice is under way twice, at two timestamps. Its name is made when somebody waits for it, which is seldom.
 *
 * Invariant: `admit` is asked before an entry is made, `mark` before a read is answered; and whatever was admitted is said to be
 * over, executed or not (`applied`, `dropped`): reads wait for it. Not part of the replicated state: a transaction that is refused
 * here ("late") was not ordered, and is prepared in the ordinary way instead.
 */
import { compareBytes } from "../wire/bytes.ts";
import type { AtOnceCommand } from "./commands.ts";
import { ReadMarks, slotOf } from "./read-marks.ts";
import { idText } from "./transaction.ts";

/** A transaction that is sent again comes with another timestamp, and may meet its earlier copy: either may be the one that counts. */
export const attemptOf = ({ transaction: { id }, timestamp }: AtOnceCommand) => `${idText(id)}@${timestamp}`;

/** A key of an attempt. */
interface Place {
  key: Uint8Array;
  command: AtOnceCommand;
}

export class AtOnce {
  #view = -1;
  readonly #marks = new ReadMarks();
  /** Of reads of ranges, and of followers that were told how far they are. */
  #markOfAll = 0;
  readonly #underWay = new Set<AtOnceCommand>();
  /** Keys of what is under way, by their slots: a key need not be made a text. Mostly one each. */
  readonly #bySlot = new Map<number, Place[]>();
  /** Given up by the primary, though entries up to this one may hold them. */
  readonly #givenUp = new Map<AtOnceCommand, number>();

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
    this.#bySlot.clear();
  }

  /** Whether a transaction may be ordered; if so it is under way. Its `view`: what its frontend knew before it asked for the timestamp. */
  admit(command: AtOnceCommand): boolean {
    const { view, timestamp, transaction } = command;
    const { accesses } = transaction;
    if (view !== this.#view || timestamp <= this.#markOfAll) return false;
    if (accesses.some(({ key }) => timestamp <= this.#marks.of(key))) return false;
    this.#underWay.add(command);
    for (const { key } of accesses) {
      const slot = slotOf(key);
      const places = this.#bySlot.get(slot);
      if (places === undefined) this.#bySlot.set(slot, [{ key, command }]);
      else places.push({ key, command });
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

  /** Names of those that may still change a key. */
  on(key: Uint8Array): string[] {
    return this.#commandsOn(key).map(attemptOf);
  }

  #commandsOn(key: Uint8Array): AtOnceCommand[] {
    if (this.#bySlot.size === 0) return [];
    const places = this.#bySlot.get(slotOf(key)) ?? [];
    return places.filter((place) => compareBytes(place.key, key) === 0).map(({ command }) => command);
  }

  all(): string[] {
    return Array.from(this.#underWay, attemptOf);
  }

  /** Timestamps at or below which none of them is committed, of those on this key or of all. */
  floors(key?: Uint8Array): number[] {
    const commands = key === undefined ? [...this.#underWay] : this.#commandsOn(key);
    return commands.map(({ timestamp }) => timestamp - 1);
  }

  /** An entry held it. */
  applied(command: AtOnceCommand): void {
    if (!this.#underWay.delete(command)) return;
    if (this.#givenUp.size > 0) this.#givenUp.delete(command);
    for (const { key } of command.transaction.accesses) {
      const slot = slotOf(key);
      const places = this.#bySlot.get(slot) ?? [];
      const place = places.findIndex((each) => each.command === command);
      if (places.length === 1 && place === 0) this.#bySlot.delete(slot);
      else if (place >= 0) places.splice(place, 1);
    }
  }

  /** The primary gives up what no entry up to `op` holds. Returns the names of all that nobody can be told about. */
  dropped(op: number): string[] {
    for (const command of this.#underWay) this.#givenUp.set(command, op);
    return this.all();
  }

  /** Everything up to `op` was applied. Returns the names of those that were given up and do not come any more. */
  reached(op: number): string[] {
    if (this.#givenUp.size === 0) return [];
    const gone = [...this.#givenUp].filter(([, last]) => last <= op).map(([command]) => command);
    for (const command of gone) this.applied(command);
    return gone.map(attemptOf);
  }
}
