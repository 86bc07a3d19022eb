/**
 * Whether a transaction may be voted for, or committed at once: what it read and does, held against what is committed and prepared.
 *
 * Invariant: a function of the replicated state alone, so all replicas check alike; nothing is changed here. Of what was collected
 * only the horizon is known, which they share.
 */
import type { Versions } from "../../native/versions.ts";
import { WireError } from "../wire/bytes.ts";
import type { Refusal } from "./commands.ts";
import { checkOperations, isCommutative, partOf } from "./operations.ts";
import { footprintOf } from "./prepared.ts";
import type { ShardState } from "./state.ts";
import { type Access, Level, type Transaction } from "./transaction.ts";

/** What a transaction is held against. */
export interface Shard {
  readonly state: Readonly<ShardState>;
  readonly versions: Versions;
}

/** Why a transaction cannot be voted for, and the first key that says so. */
export function refusalOf(
  shard: Shard,
  { level, snapshot, accesses }: Transaction,
): { reason: Refusal; key: Uint8Array } | undefined {
  const { prepared, horizon } = shard.state;
  for (const access of accesses) {
    const { key } = access;
    if (!isReadable(access)) return { reason: "invalid", key };
    if (level === Level.snapshot && snapshot < horizon) return { reason: "tooOld", key };
    if (level === Level.strict && isStale(shard, access)) return { reason: "stale", key };
    if (level === Level.snapshot && isOverwritten(shard, access, snapshot))
      return { reason: "overwritten", key };
    if (prepared.conflictWith(level, access) !== undefined) return { reason: "prepared", key };
  }
  return undefined;
}

/** Whether a transaction that only read could be committed now. */
export function isCurrent(shard: Shard, { accesses }: Transaction): boolean {
  return !accesses.some((access) => !isReadable(access) || isStale(shard, access));
}

/** Whether it would come below a version that it does not commute with, or that its reads would have to see. */
export function isLate({ state, versions }: Shard, access: Access, timestamp: number): boolean {
  const { key, reads } = access;
  if (timestamp <= state.readMarks.of(key)) return true;
  const newest = versions.newest(key);
  if (newest < timestamp) return false;
  if (newest === timestamp || reads.length > 0) return true;
  // What cannot be read is refused for that.
  return isReadable(access) && !footprintOf(Level.strict, access).operations.every(isCommutative);
}

function isReadable({ operations }: Access): boolean {
  try {
    if (operations.byteLength > 0) checkOperations(operations);
    return true;
  } catch (error) {
    if (error instanceof WireError) return false;
    throw error;
  }
}

function isStale({ versions }: Shard, { key, reads }: Access): boolean {
  return reads.some(({ part, version, wasPresent }) => versions.changed(key, part, version, wasPresent));
}

/** First committer wins: for operations that do not commute. */
function isOverwritten({ versions }: Shard, access: Access, snapshot: number): boolean {
  return footprintOf(Level.snapshot, access).operations.some(
    (operation) =>
      !isCommutative(operation) && versions.changed(access.key, partOf(operation), snapshot, false),
  );
}
