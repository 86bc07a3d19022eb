/**
 * One reactive transaction of one client, as its frontend knows it: what its last run read, and what happened to that since.
 *
 * Invariant: `seen` is the timestamp up to which the client has, or is being sent, every change of these keys. A change
 * behind it makes the watch dirty, whoever else has seen or acknowledged what. A run's read is exact at its
 * timestamp, so a change at or below `seen` is in it, on whatever shard and however late it is heard of.
 */
import type { Cause } from "../../client-wire/messages.ts";
import { nameOf } from "../../wire/key-name.ts";

export interface ReadSet {
  keys: readonly Uint8Array[];
  prefixes: readonly Uint8Array[];
}

/** What a run tells of: taken when it begins, given back when it fails. */
export interface Due {
  since: number;
  cause: Cause;
  changes: number;
}

export interface WatchOwner {
  /** It became dirty. */
  onDirty(watch: Watch): void;
}

export class Watch {
  readonly id: number;
  readonly #owner: WatchOwner;
  keys: readonly Uint8Array[] = [];
  names: readonly string[] = [];
  prefixes: readonly string[] = [];
  delayMs = 0;
  /** Grows with each new read set: what was begun for an older one is dropped. */
  revision = 0;
  seen = 0;
  /** Nothing can be missed any more: before that, changes are only noted. */
  isReady = false;
  #cause: Cause | undefined;
  #changes = 0;
  /** Of the changes that are not told: the largest, and the one that was heard of last. */
  #newest = 0;
  #last = 0;
  /** The largest timestamp of any change that it was told of or that may have been lost, whatever its read set was then. */
  #heard = 0;

  constructor(id: number, owner: WatchOwner) {
    this.id = id;
    this.#owner = owner;
  }

  /** The largest timestamp that a run has to reach; undefined: one that nobody has heard of yet. */
  get wanted(): number | undefined {
    return this.#cause === "changed" && this.#newest > 0 ? this.#newest : undefined;
  }

  get isDirty(): boolean {
    return this.#cause !== undefined;
  }

  replace({ keys, prefixes }: ReadSet, seen: number, delayMs: number): void {
    this.revision += 1;
    this.keys = keys;
    this.names = keys.map(nameOf);
    this.prefixes = prefixes.map(nameOf);
    this.delayMs = delayMs;
    this.seen = seen;
    this.isReady = false;
    this.#clear();
  }

  /** One of its keys changed. */
  onChange(timestamp: number): void {
    this.#heard = Math.max(this.#heard, timestamp);
    if (timestamp <= this.seen) return;
    // A transaction over two shards is heard of twice.
    if (timestamp !== this.#last) this.#changes += 1;
    this.#last = timestamp;
    this.#newest = Math.max(this.#newest, timestamp);
    this.mark("changed");
  }

  /** Changes up to this timestamp may not have been heard of. */
  onGap(upTo: number): void {
    // The client's state is that of a later moment, or of this one: it has what was lost.
    if (upTo <= this.seen) return;
    this.#heard = Math.max(this.#heard, upTo);
    this.mark("refetch");
  }

  /**
   * What was heard of before the present read set took the place of an earlier one: a run that was on its way then is not sent.
   * For ranges, whose keys nobody compares; it may be about a key that is read no more, which costs a run.
   */
  catchUp(): void {
    if (this.prefixes.length > 0) this.onChange(this.#heard);
  }

  mark(cause: Cause): void {
    this.#note(cause);
    if (this.isReady) this.#owner.onDirty(this);
  }

  #note(cause: Cause): void {
    if (this.#cause === undefined || cause !== "changed") this.#cause = cause;
  }

  ready(): void {
    this.isReady = true;
    if (this.isDirty) this.#owner.onDirty(this);
  }

  /** A run at `at` begins: what is committed up to it will be in it. */
  begin(at: number): Due {
    const due = { since: this.seen, cause: this.#cause ?? "changed", changes: this.#changes };
    this.seen = at;
    this.#clear();
    return due;
  }

  /** The run that took it could not be made: it is dirty as before, and its owner knows. */
  giveBack({ since, cause, changes }: Due): void {
    this.seen = since;
    this.#changes += changes;
    // What it was to reach is forgotten: the next run reaches all that is known.
    this.#newest = 0;
    this.#note(cause);
  }

  /** Nothing was committed behind `at`. Returns whether that is nothing behind what the client has seen: then nothing is to be told. */
  isUpToDate(at: number): boolean {
    if (this.seen < at || this.#newest > 0) return false;
    this.#clear();
    return true;
  }

  #clear(): void {
    this.#cause = undefined;
    this.#changes = 0;
    this.#newest = 0;
    this.#last = 0;
  }
}
