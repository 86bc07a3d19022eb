/**
 * Which points in time a retention rule keeps: the last few, and of each hour, day, week and month the newest, for as many
 * of these as the rule says. Pure.
 *
 * Invariant: the newest point is always kept. What is not kept is not removed here: it may be merged away from now on.
 */
import type { RestorePoint } from "../../algebra/snapshot.ts";

export interface Retention {
  last?: number | undefined;
  hourly?: number | undefined;
  daily?: number | undefined;
  weekly?: number | undefined;
  monthly?: number | undefined;
}

const DAY = 86_400;
/** 1 January 1970 was a Thursday; weeks begin on Monday. */
const WEEK_OFFSET = 3 * DAY;

const periods: Record<Exclude<keyof Retention, "last">, (timestamp: number) => number> = {
  hourly: (timestamp) => Math.floor(timestamp / 3600),
  daily: (timestamp) => Math.floor(timestamp / DAY),
  weekly: (timestamp) => Math.floor((timestamp + WEEK_OFFSET) / (7 * DAY)),
  monthly: (timestamp) => {
    const date = new Date(timestamp * 1000);
    return date.getUTCFullYear() * 12 + date.getUTCMonth();
  },
};

/** The gids that the rule keeps of these points, which are in the order of time. */
export function keptGids(points: readonly RestorePoint[], rule: Retention): Set<bigint> {
  const newestFirst = [...points].reverse();
  const kept = new Set(newestFirst.slice(0, Math.max(1, rule.last ?? 0)).map(({ gid }) => gid));
  for (const [name, periodOf] of Object.entries(periods)) {
    const count = rule[name as keyof typeof periods] ?? 0;
    const seen = new Set<number>();
    for (const { gid, timestamp } of newestFirst) {
      const period = periodOf(timestamp);
      if (seen.has(period)) continue;
      if (seen.size >= count) break;
      seen.add(period);
      kept.add(gid);
    }
  }
  return kept;
}

/** Explicit points that may be merged away from now on. */
export function pointsToLetGo(points: readonly RestorePoint[], rule: Retention): bigint[] {
  const kept = keptGids(points, rule);
  return points.filter(({ gid, isExplicit }) => isExplicit && !kept.has(gid)).map(({ gid }) => gid);
}
