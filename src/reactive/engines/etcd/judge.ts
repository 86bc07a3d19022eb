/**
 * Whether a transaction may be committed on the keys as they are: the checks that the isolation levels of docs/store.md want.
 *
 * A version is a revision, so "nothing has changed" is one comparison. Where a transaction looked at a part of a value, or changes
 * only a part, and the key has a newer version, the part is compared with what it was then: etcd keeps what was written, not what
 * was meant by it. A part that was changed and changed back therefore counts as unchanged, which is as if the transaction had
 * come later. Of what is compacted nothing can be said, and the transaction is refused.
 *
 * Invariant: the answer holds for exactly the versions that it was given; whoever commits has etcd compare them again.
 */
import { type Part, PartKind, ValueType } from "../../../native/version-values.ts";
import type { Refusal } from "../../shard/commands.ts";
import {
  decodeOperations,
  isCommutative,
  type Operation,
  partOf,
  type Value,
} from "../../shard/operations.ts";
import { type Access, Level, type Read } from "../../shard/transaction.ts";
import { compareBytes, getU32 } from "../../wire/bytes.ts";
import type { WholeTransaction } from "../engine.ts";
import { type Cell, valueOf } from "./bytes.ts";

/** A key as of an older revision; undefined: that is compacted. */
export type Past = (key: Uint8Array, revision: number) => Promise<Cell | undefined>;

export interface Verdict {
  reason: Refusal;
  key: Uint8Array;
}

/** `cells`: those of the accesses, in their order; `horizon`: of the same revision. Undefined: it may be committed. */
export async function judge(
  { level, snapshot, accesses }: WholeTransaction,
  cells: readonly Cell[],
  horizon: number,
  past: Past,
): Promise<Verdict | undefined> {
  for (const [index, access] of accesses.entries()) {
    const { key } = access;
    const cell = cells[index] as Cell;
    if (level === Level.strict && (await isStale(access, cell, past))) return { reason: "stale", key };
    if (level !== Level.snapshot) continue;
    const reason = await againstSnapshot(access, cell, { snapshot, horizon }, past);
    if (reason !== undefined) return { reason, key };
  }
  return undefined;
}

async function isStale({ key, reads }: Access, cell: Cell, past: Past): Promise<boolean> {
  for (const read of reads) if (await isReadStale(key, read, cell, past)) return true;
  return false;
}

async function isReadStale(
  key: Uint8Array,
  { part, version, wasPresent }: Read,
  cell: Cell,
  past: Past,
): Promise<boolean> {
  // The mark of what was deleted may have been collected since.
  if (cell.revision === 0) return wasPresent;
  if (cell.revision <= version) return false;
  if (part.kind === PartKind.whole) return true;
  const before = version === 0 ? absent : await past(key, version);
  return before === undefined || !isPartEqual(part, before, cell);
}

/** First committer wins: for operations that do not commute. */
async function againstSnapshot(
  { key, operations }: Access,
  cell: Cell,
  { snapshot, horizon }: { snapshot: number; horizon: number },
  past: Past,
): Promise<Refusal | undefined> {
  const exclusive = operationsOf(operations).filter((operation) => !isCommutative(operation));
  if (exclusive.length === 0) return undefined;
  if (cell.revision === 0) return snapshot < horizon ? "tooOld" : undefined;
  if (cell.revision <= snapshot) return undefined;
  const parts = exclusive.map(partOf);
  if (parts.some(({ kind }) => kind === PartKind.whole)) return "overwritten";
  const before = await past(key, snapshot);
  if (before === undefined) return "tooOld";
  return parts.every((part) => isPartEqual(part, before, cell)) ? undefined : "overwritten";
}

/** Throws WireError. Empty: the key is only read. */
export function operationsOf(operations: Uint8Array): Operation[] {
  return operations.byteLength === 0 ? [] : decodeOperations(operations);
}

const absent: Cell = { revision: 0, type: ValueType.absent, value: new Uint8Array(0) };

function isPartEqual(part: Part, one: Cell, other: Cell): boolean {
  const isOneAbsent = one.type === ValueType.absent || other.type === ValueType.absent;
  if (one.type !== other.type && !isOneAbsent) return false;
  const [a, b] = [partIn(valueOf(one), part), partIn(valueOf(other), part)];
  if (a === undefined || b === undefined) return a === b;
  return compareBytes(a, b) === 0;
}

/** The bytes of a part; undefined: the value has no such part. */
function partIn(value: Value, { kind, data }: Part): Uint8Array | undefined {
  if (kind === PartKind.index && value.type === "list") return value.elements[getU32(data, 0)];
  if (kind === PartKind.element && value.type === "set")
    return value.elements.find((element) => compareBytes(element, data) === 0);
  if (kind === PartKind.field && value.type === "map")
    return value.entries.find(([field]) => compareBytes(field, data) === 0)?.[1];
  return undefined;
}
