/**
 * The part of the log that is in memory: what is behind the snapshot, and some of what is before it, for replicas that
 * missed it.
 *
 * Invariant: ops are contiguous from `start` to `op`. A crash takes all of it; the journal has the same entries.
 */
import { assert } from "../../core/errors.ts";
import { entryBytes } from "./codec.ts";
import type { Entry, ReplicaSettings } from "./types.ts";

type RetainSettings = Pick<ReplicaSettings, "retainEntriesMax" | "retainBytesMax" | "heldBytesMax">;

export class EntryLog {
  #entries: Entry[] = [];
  /** Index of the first entry that counts. */
  #head = 0;
  #start: number;
  #bytes = 0;

  /** An empty log whose first entry will be `start`. */
  constructor(start = 1) {
    this.#start = start;
  }

  /** The first op that is here, or would be. */
  get start(): number {
    return this.#start;
  }

  /** The last op. */
  get op(): number {
    return this.#start + this.length - 1;
  }

  get length(): number {
    return this.#entries.length - this.#head;
  }

  append(entry: Entry): void {
    assert(entry.op === this.op + 1, `entry ${entry.op} follows entry ${this.op}`);
    this.#entries.push(entry);
    this.#bytes += entryBytes(entry);
  }

  /** Entries `first` to `last`, as many as fit into `bytesMax` and at least one if there is one. */
  slice(first: number, last: number, bytesMax = Number.POSITIVE_INFINITY): Entry[] {
    assert(first >= this.#start, `entry ${first} is still in memory`);
    const found: Entry[] = [];
    let bytes = 0;
    for (let op = first; op <= Math.min(last, this.op); op++) {
      const entry = this.#entries[this.#head + op - this.#start] as Entry;
      bytes += entryBytes(entry);
      if (found.length > 0 && bytes > bytesMax) break;
      found.push(entry);
    }
    return found;
  }

  /** Cuts off what is behind `op`. */
  truncate(op: number): void {
    assert(op >= this.#start - 1, `entry ${op} is still in memory`);
    while (this.op > op) this.#bytes -= entryBytes(this.#entries.pop() as Entry);
  }

  /**
   * Lets go of entries before `op`, the oldest first, while more than the given number or bytes would be kept; those behind `heldOp` only
   * beyond `heldBytesMax`.
   */
  release(
    op: number,
    { retainEntriesMax, retainBytesMax, heldBytesMax }: RetainSettings,
    heldOp = Number.POSITIVE_INFINITY,
  ): void {
    while (this.#start < op && this.length > 0) {
      const isKept = op - this.#start <= retainEntriesMax && this.#bytes <= retainBytesMax;
      if (isKept || (this.#start > heldOp && this.#bytes <= heldBytesMax)) break;
      this.#bytes -= entryBytes(this.#entries[this.#head] as Entry);
      this.#head++;
      this.#start++;
    }
    if (this.#head < 1024 || this.#head < this.#entries.length / 2) return;
    this.#entries.splice(0, this.#head);
    this.#head = 0;
  }
}
