/**
 * What an archive does of its own accord next, from what its volumes look like. Pure: no file, no clock.
 *
 * In this order: finish an apply that was interrupted; let go of points that the retention rule does not keep; apply what
 * is older than the rule says, the volume with the most bytes first; merge where there are too many diffs; replicate, the
 * least recently done first; merge where the interval has passed.
 *
 * Invariant: a merge never takes in the newest diff, and never spans a point that the retention rule keeps, nor one that a
 * replica is at: it would have to be sent again. A clock that is wrong for a while ends no history: what is old is old by
 * the newest point, too, and what was done in the future counts as done long ago.
 */
import {
  canMerge,
  chainFrom,
  merged,
  type MetaDiff,
  type MetaState,
  minimumChain,
  restorePoints,
} from "../../algebra/snapshot.ts";
import { keptGids, pointsToLetGo, type Retention } from "./retention.ts";

export interface MergeRule {
  intervalSeconds: number;
  /** A volume with so many diffs is merged whatever the interval. */
  thresholdDiffs: number;
  /** Of one merge. */
  diffsMax: number;
  bytesMax: number;
}

export interface MaintenanceRules {
  keep?: Retention | undefined;
  apply?: { olderThanSeconds: number; intervalSeconds: number } | undefined;
  merge?: MergeRule | undefined;
  /** By name. */
  replicas: readonly { name: string; intervalSeconds: number; disabledVolumes: readonly string[] }[];
}

export interface VolumeSight {
  name: string;
  base: MetaState;
  diffs: readonly MetaDiff[];
  /** Seconds since 1970; 0 is never. */
  lastApply: number;
  lastMerge: number;
  /** When each replica was last brought up to date, and where it was then. */
  replicas: ReadonlyMap<string, { lastTime: number; gid: bigint | undefined }>;
}

export type Task =
  | { kind: "apply"; volume: string; gid: bigint }
  | { kind: "letGo"; volume: string; gids: bigint[] }
  | { kind: "merge"; volume: string; diffs: MetaDiff[] }
  | { kind: "replicate"; volume: string; replica: string };

const bytesOf = (diffs: readonly MetaDiff[]) => diffs.reduce((sum, { dataBytes }) => sum + dataBytes, 0);
const chainOf = ({ base, diffs }: VolumeSight) => chainFrom(base.from, diffs);
const isDue = (last: number, intervalSeconds: number, now: number) =>
  now < last || now - last >= intervalSeconds;

/** Up to where a volume would be applied: the newest point that is old enough. */
function applyTo({ base, diffs }: VolumeSight, olderThanSeconds: number, now: number): bigint | undefined {
  const points = restorePoints(base, diffs);
  const before = Math.min(now, points.at(-1)?.timestamp ?? now) - olderThanSeconds;
  return points.filter(({ gid, timestamp }) => timestamp <= before && gid > base.from.begin).at(-1)?.gid;
}

/** The run of diffs that a merge would join, with the smallest average size; undefined when there is none. */
export function bestMerge(
  sight: VolumeSight,
  { diffsMax, bytesMax }: MergeRule,
  keep?: Retention,
): MetaDiff[] | undefined {
  const chain = chainOf(sight).slice(0, -1);
  const kept = keep === undefined ? [] : keptGids(restorePoints(sight.base, sight.diffs), keep);
  const held = new Set([...kept, ...[...sight.replicas.values()].map(({ gid }) => gid)]);
  let best: MetaDiff[] | undefined;
  for (let start = 0; start < chain.length; start++) {
    const first = chain[start] as MetaDiff;
    if (first.isComparison) continue;
    const run = [first];
    let whole = first;
    let bytes = first.dataBytes;
    for (let index = start + 1; index < chain.length; index++) {
      const next = chain[index] as MetaDiff;
      const isFull = run.length >= diffsMax || bytes + next.dataBytes > bytesMax;
      if (isFull || held.has(next.from.begin) || !canMerge(whole, next)) break;
      run.push(next);
      bytes += next.dataBytes;
      whole = merged(whole, next);
    }
    const isBetter = best === undefined || bytes / run.length < bytesOf(best) / best.length;
    if (run.length >= 2 && isBetter) best = run;
  }
  return best;
}

function mergeTask(
  volumes: readonly VolumeSight[],
  rule: MergeRule,
  keep: Retention | undefined,
  isWanted: (sight: VolumeSight) => boolean,
) {
  for (const sight of volumes.filter(isWanted)) {
    const diffs = bestMerge(sight, rule, keep);
    if (diffs !== undefined) return { kind: "merge", volume: sight.name, diffs } as const;
  }
  return undefined;
}

function applyTask(
  volumes: readonly VolumeSight[],
  { apply }: MaintenanceRules,
  now: number,
): Task | undefined {
  if (apply === undefined) return undefined;
  const due = volumes
    .filter(({ lastApply }) => isDue(lastApply, apply.intervalSeconds, now))
    .map((sight) => ({ sight, gid: applyTo(sight, apply.olderThanSeconds, now) }))
    .filter(({ gid }) => gid !== undefined)
    .map(({ sight, gid }) => ({
      ...{ sight, gid: gid as bigint },
      bytes: bytesOf(chainFrom(sight.base.from, sight.diffs, gid)),
    }))
    .sort((a, b) => b.bytes - a.bytes);
  const [first] = due;
  return first === undefined ? undefined : { kind: "apply", volume: first.sight.name, gid: first.gid };
}

function replicateTask(volumes: readonly VolumeSight[], { replicas }: MaintenanceRules, now: number) {
  const due = volumes
    .flatMap((sight) =>
      replicas
        .filter(({ disabledVolumes }) => !disabledVolumes.includes(sight.name))
        .map(({ name, intervalSeconds }) => ({
          ...{ volume: sight.name, replica: name, intervalSeconds },
          lastTime: sight.replicas.get(name)?.lastTime ?? 0,
        })),
    )
    .filter(({ lastTime, intervalSeconds }) => isDue(lastTime, intervalSeconds, now))
    .sort((a, b) => a.lastTime - b.lastTime);
  const [first] = due;
  return first && ({ kind: "replicate", volume: first.volume, replica: first.replica } as const);
}

/** The next task for these volumes, on which nothing is running. */
export function nextTask(
  volumes: readonly VolumeSight[],
  rules: MaintenanceRules,
  now: number,
): Task | undefined {
  const interrupted = volumes.find(({ base }) => base.isApplying);
  if (interrupted !== undefined && minimumChain(interrupted.base, interrupted.diffs).length > 0)
    return { kind: "apply", volume: interrupted.name, gid: interrupted.base.to.begin };
  for (const { name, base, diffs } of rules.keep === undefined ? [] : volumes) {
    const gids = pointsToLetGo(restorePoints(base, diffs), rules.keep as Retention);
    if (gids.length > 0) return { kind: "letGo", volume: name, gids };
  }
  const { merge, keep } = rules;
  const isCrowded = (sight: VolumeSight) => chainOf(sight).length >= (merge as MergeRule).thresholdDiffs;
  const isMergeDue = (sight: VolumeSight) =>
    isDue(sight.lastMerge, (merge as MergeRule).intervalSeconds, now);
  return (
    applyTask(volumes, rules, now) ??
    (merge && mergeTask(volumes, merge, keep, isCrowded)) ??
    replicateTask(volumes, rules, now) ??
    (merge && mergeTask(volumes, merge, keep, isMergeDue))
  );
}
