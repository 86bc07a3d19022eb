/**
 * Points in time of a volume, the diffs between them, and what may be done with both. Pure: no file, no clock.
 *
 * A generation id (gid) numbers points in time of one volume. A *clean* snapshot `|g|` is the volume at one instant; a
 * *dirty* one `|a,b|` has blocks of any instant between the two, as a copy of a running volume has. A diff leads from one
 * snapshot to another.
 *
 * Invariant: merging is associative, and applying d0 then d1 leaves the same as applying their merge.
 */
import { compactTime, listingTime } from "../formats/units.ts";

/** begin <= end; equal ones are clean. */
export interface Snapshot {
  begin: bigint;
  end: bigint;
}

export interface MetaDiff {
  /** The point where it begins may disappear: nobody asked for it by name. */
  isMergeable: boolean;
  /** Made by comparing images: it fits only exactly where it begins. */
  isComparison: boolean;
  /** Seconds since 1970, of its end. */
  timestamp: number;
  from: Snapshot;
  to: Snapshot;
  /** Of the file, for listings; not part of what it is. */
  dataBytes: number;
}

/** Where a base image stands. While diffs are written into it: from where to where. */
export interface MetaState {
  isApplying: boolean;
  timestamp: number;
  from: Snapshot;
  to: Snapshot;
}

export const clean = (gid: bigint): Snapshot => ({ begin: gid, end: gid });
export const isClean = ({ begin, end }: Snapshot): boolean => begin === end;
export const isSameSnapshot = (a: Snapshot, b: Snapshot): boolean => a.begin === b.begin && a.end === b.end;
const isCleanDiff = ({ from, to }: MetaDiff): boolean => isClean(from) && isClean(to);
const max = (a: bigint, b: bigint): bigint => (a > b ? a : b);

/** Two diffs are the same when they lead from and to the same; flags and times do not count. */
export const isSameDiff = (a: MetaDiff, b: MetaDiff): boolean =>
  isSameSnapshot(a.from, b.from) && isSameSnapshot(a.to, b.to);

/** Whether `inner` lies in the gids of `outer` and is shorter. */
export const isInside = (inner: MetaDiff, outer: MetaDiff): boolean =>
  outer.from.begin <= inner.from.begin &&
  inner.to.begin <= outer.to.begin &&
  (outer.from.begin < inner.from.begin || inner.to.begin < outer.to.begin);

/** Whether the fields of a diff can be those of one. */
export const isSound = ({ from, to }: MetaDiff): boolean =>
  from.begin <= from.end && to.begin <= to.end && from.begin < to.begin && from.end <= to.end;

export const steady = (snapshot: Snapshot, timestamp: number): MetaState => ({
  isApplying: false,
  timestamp,
  from: snapshot,
  to: snapshot,
});

export type Relation = "applicable" | "tooNew" | "tooOld";

/** Whether `diff` can be applied to an image at `snapshot`. It may begin earlier: what overlaps is written again. */
export function relation(snapshot: Snapshot, { isComparison, from, to }: MetaDiff): Relation {
  if (isComparison && from.begin === snapshot.begin) return "applicable";
  if (from.begin > snapshot.begin) return "tooNew";
  if (to.begin <= snapshot.begin || isComparison) return "tooOld";
  return "applicable";
}

/** The snapshot that an image at `snapshot` has after `diff`. */
export function after(snapshot: Snapshot, diff: MetaDiff): Snapshot {
  return isCleanDiff(diff) ? { begin: diff.to.begin, end: max(diff.to.begin, snapshot.end) } : diff.to;
}

/** Whether two diffs can become one. */
export function canMerge(first: MetaDiff, second: MetaDiff): boolean {
  return (
    second.isMergeable &&
    !first.isComparison &&
    !second.isComparison &&
    first.from.begin <= second.from.begin &&
    second.from.begin <= first.to.begin &&
    first.to.begin < second.to.begin
  );
}

export function merged(first: MetaDiff, second: MetaDiff): MetaDiff {
  const to = isCleanDiff(second)
    ? { begin: second.to.begin, end: max(second.to.begin, first.to.end) }
    : second.to;
  const { isMergeable, from } = first;
  return { isMergeable, isComparison: false, timestamp: second.timestamp, from, to, dataBytes: 0 };
}

/** Of several that fit: the one that leads furthest, and among these the shortest. */
export function best(diffs: Iterable<MetaDiff>): MetaDiff | undefined {
  let found: MetaDiff | undefined;
  for (const each of diffs) {
    if (found === undefined) found = each;
    else if (each.to.begin !== found.to.begin) found = each.to.begin > found.to.begin ? each : found;
    else if (each.from.begin > found.from.begin) found = each;
  }
  return found;
}

const byBegin = (a: MetaDiff, b: MetaDiff): number =>
  a.from.begin === b.from.begin ? 0 : a.from.begin < b.from.begin ? -1 : 1;

/**
 * The diffs that lead on from `snapshot`, each time the best; with `upTo`, none that leads beyond that gid. Each diff is looked
 * at once: of those that begin early enough the one that leads furthest stays the best until it is reached.
 */
export function chainFrom(snapshot: Snapshot, diffs: readonly MetaDiff[], upTo?: bigint): MetaDiff[] {
  const sorted = diffs.toSorted(byBegin);
  const chain: MetaDiff[] = [];
  let place = snapshot;
  let furthest: MetaDiff | undefined;
  for (let index = 0; ;) {
    // A comparison fits only exactly where it begins.
    const fitting: MetaDiff[] = [];
    for (; index < sorted.length && (sorted[index] as MetaDiff).from.begin <= place.begin; index++) {
      const diff = sorted[index] as MetaDiff;
      if (upTo !== undefined && diff.to.begin > upTo) continue;
      if (relation(place, diff) === "applicable") fitting.push(diff);
    }
    if (furthest !== undefined) fitting.unshift(furthest);
    const next = best(fitting);
    if (next === undefined || relation(place, next) !== "applicable") return chain;
    furthest = best(fitting.filter(({ isComparison }) => !isComparison));
    chain.push(next);
    place = after(place, next);
  }
}

/** The diffs that lead to the point `gid`, and nowhere else; undefined when there is no such point. */
export function chainTo(snapshot: Snapshot, diffs: readonly MetaDiff[], gid: bigint): MetaDiff[] | undefined {
  const chain = chainFrom(snapshot, diffs, gid);
  return isSameSnapshot(chain.reduce(after, snapshot), clean(gid)) ? chain : undefined;
}

/** What must at least be applied, all of it, to an image that was left while diffs were being written into it. */
export function minimumChain(state: MetaState, diffs: readonly MetaDiff[]): MetaDiff[] {
  return state.isApplying ? chainFrom(state.from, diffs, state.to.begin) : [];
}

/** The states along the chain from a base, the base itself first. */
export function statesFrom(
  state: MetaState,
  diffs: readonly MetaDiff[],
): { snapshot: Snapshot; timestamp: number; diff?: MetaDiff }[] {
  let snapshot = state.from;
  const states: { snapshot: Snapshot; timestamp: number; diff?: MetaDiff }[] = [
    { snapshot, timestamp: state.timestamp },
  ];
  for (const diff of chainFrom(snapshot, diffs)) {
    snapshot = after(snapshot, diff);
    states.push({ snapshot, timestamp: diff.timestamp, diff });
  }
  return states;
}

/** The newest state; with `upTo` the newest that is not beyond that gid. */
export function newest(state: MetaState, diffs: readonly MetaDiff[], upTo?: bigint): MetaState {
  let snapshot = state.from;
  let { timestamp } = state;
  for (const diff of chainFrom(snapshot, diffs, upTo)) {
    snapshot = after(snapshot, diff);
    timestamp = diff.timestamp;
  }
  return steady(snapshot, timestamp);
}

export interface RestorePoint {
  gid: bigint;
  timestamp: number;
  /** Asked for by name, or the newest: it is not merged away. */
  isExplicit: boolean;
}

/** Every clean point that can be restored. Nothing between the ends of an unfinished apply is one. */
export function restorePoints(state: MetaState, diffs: readonly MetaDiff[]): RestorePoint[] {
  const states = statesFrom(state, diffs);
  const least = minimumChain(state, diffs).length;
  const points: RestorePoint[] = [];
  states.forEach(({ snapshot, timestamp, diff }, index) => {
    if (!isClean(snapshot) || index < least) return;
    const next = states[index + 1]?.diff;
    const isExplicit = diff !== undefined && (next === undefined || !next.isMergeable);
    points.push({ gid: snapshot.begin, timestamp, isExplicit });
  });
  return points;
}

/** Those that a plain listing shows: the explicit ones, and the base itself. */
export function listedPoints(state: MetaState, diffs: readonly MetaDiff[]): RestorePoint[] {
  const base = state.isApplying ? state.to.begin : state.from.begin;
  return restorePoints(state, diffs).filter(({ gid, isExplicit }) => isExplicit || gid === base);
}

/** The diffs of the longest run from `gid` on that become one, not beyond `upTo`. */
export function mergeRun(gid: bigint, diffs: readonly MetaDiff[], upTo?: bigint): MetaDiff[] {
  const isInside = (diff: MetaDiff) => upTo === undefined || diff.to.begin <= upTo;
  const first = best(diffs.filter((diff) => diff.from.begin === gid && isInside(diff) && !diff.isComparison));
  if (first === undefined) return [];
  const run = [first];
  let whole = first;
  for (;;) {
    const next = best(diffs.filter((diff) => isInside(diff) && canMerge(whole, diff)));
    if (next === undefined) return run;
    run.push(next);
    whole = merged(whole, next);
  }
}

export function snapshotText({ begin, end }: Snapshot): string {
  return begin === end ? `|${begin}|` : `|${begin},${end}|`;
}

export function diffText({ isMergeable, isComparison, timestamp, from, to, dataBytes }: MetaDiff): string {
  const flags = `${isMergeable ? "M" : "-"}${isComparison ? "C" : "-"}`;
  return `${snapshotText(from)}-->${snapshotText(to)} ${flags} ${listingTime(timestamp)} ${dataBytes}`;
}

export function stateText({ isApplying, timestamp, from, to }: MetaState): string {
  const span = isApplying ? `${snapshotText(from)}-->${snapshotText(to)}` : snapshotText(from);
  return `<${span}>-${compactTime(timestamp)}`;
}
