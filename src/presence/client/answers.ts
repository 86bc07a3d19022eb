/**
 * From the servers' answers to the buckets that were asked for, whoever lied.
 *
 * Plain retrieval corrects as many liars as its redundancy allows and otherwise says that servers contradict each other.
 * With buckets that carry Merkle paths (version 3) any t + 1 honest servers suffice: groups of t + 1 are tried until
 * their bucket is authentic; who does not fit it is named. Invariant: a bucket that is returned is authentic where that
 * can be told, and never the product of a guess.
 */
import { NxError } from "../../core/errors.ts";
import type { PirEngine } from "../pir/engine.ts";
import { addScaled, lagrangeWeights } from "../pir/gf256.ts";
import { isEqual } from "../protocol/bytes.ts";
import { isBatched, rowBytes } from "../protocol/layout.ts";
import { isAuthentic } from "../protocol/merkle.ts";
import type { Metadata } from "../protocol/metadata.ts";
import type { Primitives } from "../protocol/primitives.ts";

/** What one server answered to all queries, rows behind each other. */
export interface ServerAnswer {
  server: string;
  point: number;
  answers: Uint8Array;
}

export interface Buckets {
  /** The records of each query's bucket, without the Merkle path. */
  buckets: Uint8Array[];
  /** Servers whose answers were wrong. */
  liars: string[];
}

/** Groups of t + 1 that are tried for one bucket at most. */
const GROUPS_MAX = 5000;

export interface AnswerContext {
  engine: PirEngine;
  primitives: Primitives;
  metadata: Metadata;
  /** t: how many servers may collude. */
  privacyLevel: number;
  /** Wanted row of each query. */
  rows: readonly number[];
}

export function openAnswers(context: AnswerContext, answers: readonly ServerAnswer[]): Buckets {
  const { engine, metadata, privacyLevel, rows } = context;
  const stride = rowBytes(metadata);
  const points = answers.map(({ point }) => point);
  const whole = engine.decode(
    points,
    privacyLevel,
    answers.map((answer) => answer.answers),
  );
  const bucketBytes = stride - metadata.proofBytes;
  const { root } = metadata.proof ?? {};
  if (root === undefined) {
    if (whole === undefined)
      throw new NxError(
        "NX_SERVERS_INCONSISTENT",
        `the answers of ${answers.length} servers contradict each other`,
        {
          hint: "one of them is faulty or lies; with more servers, or protocol 3, it would be named and corrected",
        },
      );
    const liars = answers.filter((_, index) => whole.isRight[index] === false);
    const buckets = rows.map((_, query) => whole.row.subarray(query * stride, query * stride + bucketBytes));
    return { buckets, liars: liars.map(({ server }) => server) };
  }
  const liars = new Set(
    answers.filter((_, index) => whole?.isRight[index] === false).map(({ server }) => server),
  );
  const buckets = rows.map((_, query) => {
    const row = whole?.row.subarray(query * stride, (query + 1) * stride);
    if (row !== undefined && isRowAuthentic(context, root, query, row)) return row.subarray(0, bucketBytes);
    return searchRow(context, root, answers, query, liars).subarray(0, bucketBytes);
  });
  return { buckets, liars: [...liars] };
}

function isRowAuthentic(
  { primitives, metadata, rows }: AnswerContext,
  root: Uint8Array,
  query: number,
  row: Uint8Array,
) {
  const bucketBytes = row.byteLength - metadata.proofBytes;
  const index = (isBatched(metadata) ? query * metadata.rows : 0) + (rows[query] as number);
  return isAuthentic(primitives, root, index, row.subarray(0, bucketBytes), row.subarray(bucketBytes));
}

/** The authentic row that some t + 1 servers agree on; adds to `liars` who does not fit it. */
function searchRow(
  context: AnswerContext,
  root: Uint8Array,
  answers: readonly ServerAnswer[],
  query: number,
  liars: Set<string>,
): Uint8Array {
  const { metadata, privacyLevel } = context;
  const stride = rowBytes(metadata);
  const parts = answers.map((answer) => answer.answers.subarray(query * stride, (query + 1) * stride));
  const points = answers.map(({ point }) => point);
  // Those not yet known to lie first.
  const order = [...answers.keys()].sort(
    (a, b) => Number(liars.has(answers[a]?.server ?? "")) - Number(liars.has(answers[b]?.server ?? "")),
  );
  let tried = 0;
  for (const group of combinations(order, privacyLevel + 1)) {
    if (++tried > GROUPS_MAX) break;
    const groupPoints = group.map((index) => points[index] as number);
    const valueAt = (point: number) => {
      const value = new Uint8Array(stride);
      const weights = lagrangeWeights(groupPoints, point);
      group.forEach((index, at) => addScaled(value, weights[at] as number, parts[index] as Uint8Array));
      return value;
    };
    const row = valueAt(0);
    if (!isRowAuthentic(context, root, query, row)) continue;
    for (const index of answers.keys())
      if (!group.includes(index) && !isEqual(valueAt(points[index] as number), parts[index] as Uint8Array))
        liars.add(answers[index]?.server ?? "");
    return row;
  }
  throw new NxError(
    "NX_SERVERS_INCONSISTENT",
    `no ${privacyLevel + 1} of ${answers.length} servers give an authentic bucket`,
    { hint: "too many of them are faulty or lie; nothing of their answers was used" },
  );
}

function* combinations(items: readonly number[], size: number, from = 0): Generator<number[]> {
  if (size === 0) {
    yield [];
    return;
  }
  for (let index = from; index <= items.length - size; index++)
    for (const rest of combinations(items, size - 1, index + 1)) yield [items[index] as number, ...rest];
}
