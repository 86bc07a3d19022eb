/** Where things of a graph stand and how its marks are named; nothing here draws. */
import { type ScaleLinear, scaleLinear, type ScaleTime, scaleTime } from "d3-scale";
import type { Unit } from "../../figures.ts";
import type { Line } from "../../messages.ts";
import type { Window } from "../lines.ts";

export interface ChartLine {
  label: string;
  line: Line;
}

/** Of the drawing, in pixels. */
export const HEIGHT = 136;
export const EDGE = { left: 4, right: 4, top: 18, bottom: 18 };
/** Further lines are left out, the smallest first: more cannot be told apart. */
const LINES_SHOWN = 8;
const DAY_MS = 86_400_000;

export interface Scales {
  x: ScaleTime<number, number>;
  y: ScaleLinear<number, number>;
  width: number;
  windowMs: number;
  /** Largest value of the vertical axis. */
  top: number;
}

export function scalesOf({ fromMs, toMs }: Window, width: number, top: number): Scales {
  return {
    x: scaleTime([fromMs, toMs], [EDGE.left, width - EDGE.right]),
    y: scaleLinear([0, top], [HEIGHT - EDGE.bottom, EDGE.top]),
    width,
    windowMs: toMs - fromMs,
    top,
  };
}

export type Point = readonly [atMs: number, value: number | null];

export const lineColor = (index: number) => `var(--line-${(index % 8) + 1})`;

export const pointsOf = ({ atMs, mean }: Line): Point[] => atMs.map((at, index) => [at, mean[index] ?? null]);

/** The value nearest to a moment; undefined when there is none near. */
export function valueAt(line: Line, atMs: number, nearMs: number): number | undefined {
  let best: number | undefined;
  let bestDistance = nearMs;
  line.atMs.forEach((at, index) => {
    const value = line.mean[index];
    const distance = Math.abs(at - atMs);
    if (value == null || distance > bestDistance) return;
    best = value;
    bestDistance = distance;
  });
  return best;
}

/** The largest lines in their order, and how many were left out. */
export function largest(lines: readonly ChartLine[]): { shown: readonly ChartLine[]; leftOut: number } {
  if (lines.length <= LINES_SHOWN) return { shown: lines, leftOut: 0 };
  const peakOf = ({ line }: ChartLine) =>
    line.mean.reduce<number>((most, value) => Math.max(most, value ?? 0), 0);
  const peaks = new Map(lines.map((each) => [each, peakOf(each)]));
  const kept = new Set(
    lines.toSorted((a, b) => (peaks.get(b) ?? 0) - (peaks.get(a) ?? 0)).slice(0, LINES_SHOWN),
  );
  return { shown: lines.filter((each) => kept.has(each)), leftOut: lines.length - LINES_SHOWN };
}

/** `5 k` and not `5.00 k`: marks are round. */
export function markText(text: string): string {
  return text.replace(/(\.\d*?)0+(?=[ /]|$)/, "$1").replace(/\.(?=[ /]|$)/, "");
}

/** Marks at round values: round in powers of 1024 for bytes. */
export function marksOf(top: number, unit: Unit): number[] {
  const step =
    unit === "bytes" ? 1024 ** Math.max(0, Math.floor(Math.log(Math.max(1, top)) / Math.log(1024))) : 1;
  return scaleLinear([0, top / step], [0, 1])
    .ticks(3)
    .map((mark) => mark * step)
    .filter((mark) => mark > 0 && (unit !== "bytes" || mark >= 1));
}

/** `22:15`; the day where the window spans several. */
export function timeText(at: Date, windowMs: number): string {
  const isMidnight = at.getHours() === 0 && at.getMinutes() === 0;
  return windowMs > 1.5 * DAY_MS && isMidnight
    ? at.toLocaleDateString("en-GB", { day: "numeric", month: "short" })
    : at.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
}

/** Labels at the edges stay inside. */
export function anchorAt(x: number, width: number): "start" | "middle" | "end" {
  const half = 20;
  return x < half ? "start" : x > width - half ? "end" : "middle";
}

export function newest({ mean }: Line): number | undefined {
  return mean.findLast((value) => value !== null) ?? undefined;
}
