/**
 * What the source of a replication sends next, from what both sides have. Pure: no file, no connection.
 *
 * Invariant: every step leads the target forward along points of the source, and never across one that a user asked for
 * by name: diffs are merged only where nobody did. A target that reached the end is told so.
 */
import {
  canMerge,
  chainFrom,
  clean,
  merged,
  type MetaDiff,
  type MetaState,
  newest,
  restorePoints,
} from "../../algebra/snapshot.ts";

export interface ReplicationLimits {
  /** Not beyond this gid. */
  upTo?: bigint;
  /** Enough when what is left to send is at most this much. */
  remainingBytesMax?: number;
  /** Of diffs that are merged on their way. */
  mergeBytesMax: number;
  mergeDiffsMax: number;
}

export type ReplicationStep =
  | { kind: "done" }
  /** The target is older than everything here: images are compared. */
  | { kind: "hash"; diff: MetaDiff }
  | { kind: "diff"; diffs: MetaDiff[]; whole: MetaDiff };

/** The first diffs of a chain that become one. */
function firstRun(chain: readonly MetaDiff[], { mergeBytesMax, mergeDiffsMax }: ReplicationLimits) {
  const diffs: MetaDiff[] = [];
  let whole: MetaDiff | undefined;
  let bytes = 0;
  for (const next of chain) {
    if (whole !== undefined) {
      const isFull = diffs.length >= mergeDiffsMax || bytes + next.dataBytes > mergeBytesMax;
      if (isFull || !canMerge(whole, next)) break;
    }
    diffs.push(next);
    bytes += next.dataBytes;
    whole = whole === undefined ? next : merged(whole, next);
  }
  return { diffs, whole: whole as MetaDiff };
}

/** What brings `target`, the newest state over there, further. */
export function nextStep(
  base: MetaState,
  diffs: readonly MetaDiff[],
  target: MetaState,
  limits: ReplicationLimits,
): ReplicationStep {
  const { upTo, remainingBytesMax } = limits;
  const reached = target.to;
  const end = newest(base, diffs, upTo).to;
  if (reached.begin >= end.begin) return { kind: "done" };
  const chain = reached.begin < base.from.begin ? [] : chainFrom(reached, diffs, upTo);
  if (chain.length > 0) {
    const left = chain.reduce((sum, { dataBytes }) => sum + dataBytes, 0);
    if (remainingBytesMax !== undefined && left <= remainingBytesMax) return { kind: "done" };
    return { kind: "diff", ...firstRun(chain, limits) };
  }
  const point = restorePoints(base, diffs).find(
    ({ gid }) => gid > reached.begin && gid >= reached.end && (upTo === undefined || gid <= upTo),
  );
  if (point === undefined) return { kind: "done" };
  const diff: MetaDiff = {
    isMergeable: true,
    isComparison: true,
    timestamp: point.timestamp,
    from: reached,
    to: clean(point.gid),
    dataBytes: 0,
  };
  return { kind: "hash", diff };
}
