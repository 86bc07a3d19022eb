/**
 * How long which detail is kept: fine for what happened just now, coarse for what happened last month.
 *
 * Each level is made of the rows of the one before it, so that all of them tell the same story.
 */
export interface Level {
  /** Its number in the database. */
  id: number;
  stepMs: number;
  keptMs: number;
}

const SECOND_MS = 1000;
const HOUR_MS = 3600 * SECOND_MS;
export const DAY_MS = 24 * HOUR_MS;

/** `days` is for the coarsest. */
export function levelsFor(days: number): Level[] {
  const keptMs = days * DAY_MS;
  return [
    { id: 0, stepMs: 10 * SECOND_MS, keptMs: Math.min(keptMs, 2 * HOUR_MS) },
    { id: 1, stepMs: 60 * SECOND_MS, keptMs: Math.min(keptMs, 2 * DAY_MS) },
    { id: 2, stepMs: 900 * SECOND_MS, keptMs },
  ];
}

/** The finest level that reaches back to `fromMs`; the coarsest when none does. */
export function levelReaching(
  levels: readonly Level[],
  fromMs: number,
  nowMs: number,
  pointsMax: number,
): Level {
  const reaching = levels.find(
    ({ keptMs, stepMs }) => nowMs - keptMs <= fromMs && (nowMs - fromMs) / stepMs <= pointsMax,
  );
  return reaching ?? (levels.at(-1) as Level);
}
