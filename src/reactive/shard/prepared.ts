/**
 * The transactions that this shard has voted for and that are not decided yet.
 *
 * Invariant: part of the replicated state, so it survives a crash through the group's journal. While a transaction is here,
 * nothing that conflicts with it is voted for, and no read at a timestamp is answered that it could still change.
 */
import { assert } from "../../core/errors.ts";
import { nameOf } from "../wire/key-name.ts";
import { conflict, type Footprint } from "./docc.ts";
import { decodeOperations } from "./operations.ts";
import { idText, Level, type Access, type Transaction, type TransactionId } from "./transaction.ts";

export interface Prepared {
  transaction: Transaction;
  /** Of the group, when it was prepared. */
  atMs: number;
  /** The largest commit timestamp that the shard knew then: its own will be larger. */
  above: number;
}

interface Mark {
  prepared: Prepared;
  footprint: Footprint;
}

export function footprintOf(level: Level, { reads, operations }: Access): Footprint {
  return {
    level,
    reads: reads.map(({ part }) => part),
    operations: operations.byteLength === 0 ? [] : decodeOperations(operations),
  };
}

export class PreparedList {
  readonly #byId = new Map<string, Prepared>();
  readonly #marks = new Map<string, Mark[]>();

  get size(): number {
    return this.#byId.size;
  }

  get(id: TransactionId): Prepared | undefined {
    // Mostly there is none, and its name need not be made.
    return this.#byId.size === 0 ? undefined : this.#byId.get(idText(id));
  }

  add(prepared: Prepared): void {
    const { id, level, accesses } = prepared.transaction;
    assert(!this.#byId.has(idText(id)), "a transaction is prepared once");
    this.#byId.set(idText(id), prepared);
    for (const access of accesses) {
      const marks = this.#marks.get(nameOf(access.key));
      const mark = { prepared, footprint: footprintOf(level, access) };
      if (marks === undefined) this.#marks.set(nameOf(access.key), [mark]);
      else marks.push(mark);
    }
  }

  remove(id: TransactionId): void {
    const prepared = this.#byId.get(idText(id));
    if (prepared === undefined) return;
    this.#byId.delete(idText(id));
    for (const { key } of prepared.transaction.accesses) {
      const left = (this.#marks.get(nameOf(key)) ?? []).filter((mark) => mark.prepared !== prepared);
      if (left.length === 0) this.#marks.delete(nameOf(key));
      else this.#marks.set(nameOf(key), left);
    }
  }

  /** The first prepared transaction that conflicts with this access. */
  conflictWith(level: Level, access: Access): Prepared | undefined {
    const marks = this.#marksOf(access.key);
    if (marks.length === 0) return undefined;
    const own = footprintOf(level, access);
    return marks.find(({ footprint }) => conflict(own, footprint))?.prepared;
  }

  /** Transactions that may still change the value of a key. */
  writersOf(key: Uint8Array): Prepared[] {
    return this.#marksOf(key)
      .filter(({ footprint }) => footprint.operations.length > 0)
      .map(({ prepared }) => prepared);
  }

  #marksOf(key: Uint8Array): readonly Mark[] {
    if (this.#marks.size === 0) return [];
    return this.#marks.get(nameOf(key)) ?? [];
  }

  /** Whether a transaction that may write is prepared on a key of the range. */
  writersBetween(from: Uint8Array, to: Uint8Array): Prepared[] {
    const [first, end] = [nameOf(from), nameOf(to)];
    const found: Prepared[] = [];
    for (const [name, marks] of this.#marks) {
      if (name < first || (end !== "" && name >= end)) continue;
      for (const { footprint, prepared } of marks) if (footprint.operations.length > 0) found.push(prepared);
    }
    return found;
  }

  /** A timestamp below which none of them can be committed. */
  get floor(): number {
    let floor = Number.POSITIVE_INFINITY;
    for (const { above } of this.#byId.values()) floor = Math.min(floor, above);
    return floor;
  }

  /** In the order in which they were prepared. */
  [Symbol.iterator](): IterableIterator<Prepared> {
    return this.#byId.values();
  }
}
