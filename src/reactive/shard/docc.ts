/**
 * Data-type optimistic concurrency control: which operations of two transactions conflict (Zhang et al., "Diamond",
 * OSDI 2016, table 4).
 *
 *   validating ↓  prepared →   read         write        commutative
 *                              RC SI SS     RC SI SS     RC SI SS
 *   read                       –  –  –      –  –  x      –  –  x
 *   write                      –  –  x      –  x  x      –  x  x
 *   commutative                –  –  x      –  x  x      –  –  –
 *
 * Only operations on overlapping parts of one key meet. Where the two transactions have different levels, the stricter one
 * holds; but read committed never aborts, whatever it meets. Pure.
 */
import { PartKind, type Part } from "../../native/version-values.ts";
import { compareBytes } from "../wire/bytes.ts";
import { isCommutative, type Operation, partOf } from "./operations.ts";
import { Level } from "./transaction.ts";

/** What a transaction does with one key. */
export interface Footprint {
  level: Level;
  reads: readonly Part[];
  operations: readonly Operation[];
}

/** Whether a change of one part can be seen in the other. */
export function overlap(a: Part, b: Part): boolean {
  if (a.kind === PartKind.whole || b.kind === PartKind.whole) return true;
  // Parts of different kinds belong to values of different types: one of them is about to replace the value.
  return a.kind !== b.kind || compareBytes(a.data, b.data) === 0;
}

/** Whether an operation can be seen in a part: an append leaves every element that is there. */
function touches(operation: Operation, part: Part): boolean {
  if (operation.kind === "append" && part.kind === PartKind.index) return false;
  return overlap(partOf(operation), part);
}

function commute(a: Operation, b: Operation): boolean {
  if (isCommutative(a) && a.kind === b.kind) return true;
  if (a.kind === "append" && b.kind === "setIndex") return true;
  if (a.kind === "setIndex" && b.kind === "append") return true;
  return !overlap(partOf(a), partOf(b));
}

/** Whether `validating` must abort because of `prepared`. */
export function conflict(validating: Footprint, prepared: Footprint): boolean {
  if (validating.level === Level.readCommitted) return false;
  const level = Math.max(validating.level, prepared.level);
  const isStrict = level === Level.strict;
  for (const operation of prepared.operations) {
    if (isStrict && validating.reads.some((part) => touches(operation, part))) return true;
    if (validating.operations.some((own) => !commute(own, operation))) return true;
  }
  if (!isStrict) return false;
  return validating.operations.some((own) => prepared.reads.some((part) => touches(own, part)));
}
