/**
 * `out.<worker>.txnlog`: what a two-phase sink promised and what became of it, a JSON list on each line:
 *
 *   [seconds since 1970, what, transaction, [[stream, start, end], …]]
 *
 * `what` is one of 1-ok, 1-rollback, 2-ok, 2-rollback. The text is that of the original's sink.
 *
 * Invariant: a line counts when it is whole. Only the last one can be torn by a crash, and nobody was answered because of
 * it, so it is cut off.
 */
import type { OutputRange } from "../wire/two-phase.ts";

export type Outcome = "1-ok" | "1-rollback" | "2-ok" | "2-rollback";

export interface TransactionEntry {
  seconds: number;
  outcome: Outcome;
  transaction: string;
  ranges: OutputRange[];
}

const outcomes: ReadonlySet<string> = new Set<Outcome>(["1-ok", "1-rollback", "2-ok", "2-rollback"]);

export function entryLine({ seconds, outcome, transaction, ranges }: TransactionEntry): string {
  const bounds = ranges.map(({ streamId, start, end }) => [Number(streamId), start, end]);
  return `${JSON.stringify([seconds, outcome, transaction, bounds])}\n`;
}

export interface ParsedLog {
  entries: TransactionEntry[];
  /** Bytes of the whole lines. */
  bytes: number;
}

/** Reads a log; a line of another kind (the original logs more) is passed over. */
export function parseTransactionLog(text: string): ParsedLog {
  const end = text.lastIndexOf("\n") + 1;
  const entries = text
    .slice(0, end)
    .split("\n")
    .flatMap((line) => {
      const entry = parseLine(line);
      return entry === undefined ? [] : [entry];
    });
  return { entries, bytes: Buffer.byteLength(text.slice(0, end)) };
}

function parseLine(line: string): TransactionEntry | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (!Array.isArray(value)) return undefined;
  const [seconds, outcome, transaction, bounds] = value as unknown[];
  if (typeof outcome !== "string" || !outcomes.has(outcome)) return undefined;
  if (typeof seconds !== "number" || typeof transaction !== "string" || !Array.isArray(bounds))
    return undefined;
  const ranges = bounds.flatMap((bound) => {
    const [stream, start, end] = Array.isArray(bound) ? (bound as unknown[]) : [];
    const areNumbers = [stream, start, end].every(Number.isSafeInteger);
    return areNumbers
      ? [{ streamId: BigInt(stream as number), start: start as number, end: end as number }]
      : [];
  });
  return ranges.length === bounds.length
    ? { seconds, outcome: outcome as Outcome, transaction, ranges }
    : undefined;
}

/** Where a worker's output stands after these entries. */
export interface OutputState {
  /** Output up to here is committed. */
  committedBytes: number;
  /** Promised and not settled. */
  pending: TransactionEntry | undefined;
}

export function stateAfter(entries: readonly TransactionEntry[]): OutputState {
  const state: OutputState = { committedBytes: 0, pending: undefined };
  for (const entry of entries) {
    if (entry.outcome === "1-ok") state.pending = entry;
    else if (entry.outcome !== "1-rollback") {
      if (entry.outcome === "2-ok") state.committedBytes = endOf(entry, state.committedBytes);
      state.pending = undefined;
    }
  }
  return state;
}

/** Where the ranges of a transaction end. */
export function endOf({ ranges }: Pick<TransactionEntry, "ranges">, otherwise: number): number {
  return ranges.reduce((end, range) => Math.max(end, range.end), otherwise);
}

/** The id of the checkpoint in a transaction's name (`worker2:c_id=17`); undefined when there is none. */
export function checkpointOf(transaction: string): number | undefined {
  const match = /c_id=(\d{1,15})/.exec(transaction);
  return match === null ? undefined : Number(match[1]);
}
