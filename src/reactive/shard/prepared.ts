/**
 * The transactions that this shard has voted for and that are not decided yet.
 *
 * Invariant: part of the replicated state, so it survives a crash through the group's journal. While a transaction is here,
 * nothing that conflicts with it is voted for, and no read at a timestamp is answered that it could still change.
 */
import { assert } from "../../core/errors.ts";
import type { Steps } from "../replication/steps.ts";
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
  access: Access;
  /** Made when somebody wants to know whether it conflicts: mostly nobody does. */
  footprint?: Footprint;
}

const isWriter = ({ access }: Mark) => access.operations.byteLength > 0;

const footprintAt = (mark: Mark): Footprint =>
  (mark.footprint ??= footprintOf(mark.prepared.transaction.level, mark.access));

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

  /** In steps of so many accesses: nobody may look in between. */
  *add(prepared: Prepared, stepAccesses = Number.POSITIVE_INFINITY): Steps<void> {
    const { id, accesses } = prepared.transaction;
    assert(!this.#byId.has(idText(id)), "a transaction is prepared once");
    this.#byId.set(idText(id), prepared);
    for (const [place, access] of accesses.entries()) {
      const name = nameOf(access.key);
      const marks = this.#marks.get(name);
      const mark = { prepared, access };
      if (marks === undefined) this.#marks.set(name, [mark]);
      else marks.push(mark);
      if ((place + 1) % stepAccesses === 0) yield;
    }
  }

  /** In steps of so many accesses: nobody may look in between. */
  *remove(id: TransactionId, stepAccesses = Number.POSITIVE_INFINITY): Steps<void> {
    const prepared = this.#byId.get(idText(id));
    if (prepared === undefined) return;
    this.#byId.delete(idText(id));
    for (const [place, { key }] of prepared.transaction.accesses.entries()) {
      const name = nameOf(key);
      const left = (this.#marks.get(name) ?? []).filter((mark) => mark.prepared !== prepared);
      if (left.length === 0) this.#marks.delete(name);
      else this.#marks.set(name, left);
      if ((place + 1) % stepAccesses === 0) yield;
    }
  }

  /** The first prepared transaction that conflicts with this access. */
  conflictWith(level: Level, access: Access): Prepared | undefined {
    const marks = this.#marksOf(access.key);
    if (marks.length === 0) return undefined;
    const own = footprintOf(level, access);
    return marks.find((mark) => conflict(own, footprintAt(mark)))?.prepared;
  }

  /** Transactions that may still change the value of a key. */
  writersOf(key: Uint8Array): Prepared[] {
    return this.#marksOf(key)
      .filter(isWriter)
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
      for (const mark of marks) if (isWriter(mark)) found.push(mark.prepared);
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
