/**
 * A transaction of the store as one transaction of etcd.
 *
 *   if      nobody has settled this id, and the keys that it depends on are as they were
 *   then    put the new values, the marks of what is deleted, and "committed" under the id
 *   else    the id's outcome, the horizon and all keys, so that the next attempt knows why
 *
 * Invariant: either all of it happens, at one revision, with the outcome beside it, or nothing. What is put depends only on keys
 * that are compared.
 */
import { PartKind } from "../../../native/version-values.ts";
import { LimitError } from "../../failures.ts";
import { applyOperation } from "../../shard/apply.ts";
import { canonicalValue, type Operation, type Value } from "../../shard/operations.ts";
import { Level } from "../../shard/transaction.ts";
import type { WholeTransaction } from "../engine.ts";
import { base64, type Cell, cellBytes, type Layout, valueOf } from "./bytes.ts";
import { operationsOf } from "./judge.ts";
import { type Compare, isMissing, isUnchanged, type Operation as EtcdOperation, rangeOf, type TxnRequest } from "./messages.ts"; // prettier-ignore

/** One key of a transaction, with its operations decoded. */
export interface Step {
  key: Uint8Array;
  operations: readonly Operation[];
  /** Versions of what was read and has to be as it was. */
  versions: readonly number[];
  /** What is put depends on what is there. */
  isRelative: boolean;
  /** Another one's version of it decides whether this may be committed: etcd compares it. */
  isCompared: boolean;
  /** A part of it was read: whether that changed is not to be seen from the version. */
  isPartly: boolean;
}

const isAbsolute = ({ kind }: Operation) => kind === "put" || kind === "delete";

/** Throws WireError for operations that cannot be read. */
export function stepsOf({ level, accesses }: WholeTransaction): Step[] {
  return accesses.map(({ key, reads, operations: encoded }) => {
    const operations = operationsOf(encoded);
    const [first] = operations;
    const isRelative = first !== undefined && !isAbsolute(first);
    const checked = level === Level.strict ? reads : [];
    return {
      key,
      operations,
      versions: checked.map(({ version }) => version),
      isRelative,
      isCompared: isRelative || checked.length > 0 || (level === Level.snapshot && first !== undefined),
      isPartly: checked.some(({ part }) => part.kind !== PartKind.whole),
    };
  });
}

/**
 * The versions that are compared, if a transaction can be sent without looking at its keys first: it read whole values and says
 * what the whole of the new ones is.
 */
export function expectedRevisions(steps: readonly Step[], level: Level): number[] | undefined {
  if (level === Level.snapshot && steps.some(({ isCompared }) => isCompared)) return undefined;
  if (steps.some(({ isRelative, isPartly }) => isRelative || isPartly)) return undefined;
  if (steps.some(({ versions }) => new Set(versions).size > 1)) return undefined;
  return steps.map(({ versions }) => versions[0] ?? 0);
}

/** Throws LimitError when etcd would not take it. `cells`: of the keys, where they are known. */
export function txnOf(
  layout: Layout,
  outcome: { name: string; lease: string },
  steps: readonly Step[],
  revisions: readonly number[],
  cells: readonly Cell[] | undefined,
  operationsMax: number,
): TxnRequest {
  const compare: Compare[] = [isMissing(outcome.name)];
  const success: EtcdOperation[] = [
    { request_put: { key: outcome.name, value: base64("committed"), lease: outcome.lease } },
  ];
  for (const [index, { key, operations, isCompared }] of steps.entries()) {
    if (isCompared) compare.push(isUnchanged(layout.data(key), revisions[index] as number));
    if (operations.length === 0) continue;
    const cell = cells?.[index];
    const before: Value = cell === undefined ? { type: "absent" } : valueOf(cell);
    const value = canonicalValue(operations.reduce(applyOperation, before));
    success.push({ request_put: { key: layout.data(key), value: cellBytes(value) } });
    if (value.type === "absent") success.push({ request_put: { key: layout.deleted(key) } });
  }
  const failure = lookOf(layout, outcome.name, steps);
  assertRoom(steps, Math.max(compare.length, success.length, failure.length), operationsMax);
  return { compare, success, failure };
}

/** What every transaction needs beside an operation for each of its keys (`lookOf`). */
export const OWN_OPERATIONS = 2;

/** Throws LimitError when etcd would refuse so many operations. */
export function assertRoom(steps: readonly Step[], operations: number, operationsMax: number): void {
  if (operations <= operationsMax) return;
  throw new LimitError(
    "tooMany",
    `etcd takes ${operationsMax} operations in one transaction, this one on ${steps.length} keys needs ${operations}: ` +
      "split it, or raise etcd's --max-txn-ops and engine.etcd.operationsMax",
  );
}

/** All that has to be known of a transaction's keys, in one request. */
export function lookOf(
  layout: Layout,
  outcome: string,
  steps: readonly { key: Uint8Array }[],
): EtcdOperation[] {
  return [rangeOf(outcome), rangeOf(layout.horizon), ...steps.map(({ key }) => rangeOf(layout.data(key)))];
}
