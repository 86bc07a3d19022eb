/** @jsxImportSource preact */
/**
 * A graph of one or several lines over time, from zero up.
 *
 * A pointer over it, or the arrow keys while it has the focus, show the values of a moment in the legend. To a screen reader it
 * is a picture whose name says what is drawn, the newest value and the largest.
 */
import { scaleLinear, scaleTime } from "d3-scale";
import { area, line as lineOf } from "d3-shape";
import { useEffect, useRef, useState } from "preact/hooks";
import type { Unit } from "../../figures.ts";
import type { Line } from "../../messages.ts";
import { clockTime, inUnit, moment } from "../format.ts";
import type { Window } from "../lines.ts";

export interface ChartLine {
  label: string;
  line: Line;
}

export interface ChartProps {
  title: string;
  unit: Unit;
  /** The values are per second. */
  isRate?: boolean;
  lines: readonly ChartLine[];
  window: Window;
  /** The top of the scale, where the unit has one (a ratio). */
  top?: number;
}

type Point = readonly [atMs: number, value: number | null];

const HEIGHT = 136;
const EDGE = { left: 4, right: 4, top: 18, bottom: 18 };
/** Further lines are left out, the smallest first: more cannot be told apart. */
const LINES_SHOWN = 8;
const DAY_MS = 86_400_000;

export const lineColor = (index: number) => `var(--line-${(index % 8) + 1})`;

const pointsOf = ({ atMs, mean }: Line): Point[] => atMs.map((at, index) => [at, mean[index] ?? null]);

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
function largest(lines: readonly ChartLine[]): { shown: readonly ChartLine[]; leftOut: number } {
  if (lines.length <= LINES_SHOWN) return { shown: lines, leftOut: 0 };
  const peakOf = ({ line }: ChartLine) =>
    line.mean.reduce<number>((most, value) => Math.max(most, value ?? 0), 0);
  const peaks = new Map(lines.map((each) => [each, peakOf(each)]));
  const kept = new Set(
    lines.toSorted((a, b) => (peaks.get(b) ?? 0) - (peaks.get(a) ?? 0)).slice(0, LINES_SHOWN),
  );
  return { shown: lines.filter((each) => kept.has(each)), leftOut: lines.length - LINES_SHOWN };
}

/** Marks at round values: round in powers of 1024 for bytes. */
function marksOf(top: number, unit: Unit): number[] {
  const step =
    unit === "bytes" ? 1024 ** Math.max(0, Math.floor(Math.log(Math.max(1, top)) / Math.log(1024))) : 1;
  return scaleLinear([0, top / step], [0, 1])
    .ticks(3)
    .map((mark) => mark * step)
    .filter((mark) => mark > 0 && (unit !== "bytes" || mark >= 1));
}

/** `22:15`; the day where the window spans several. */
function timeText(at: Date, windowMs: number): string {
  const isMidnight = at.getHours() === 0 && at.getMinutes() === 0;
  return windowMs > 1.5 * DAY_MS && isMidnight
    ? at.toLocaleDateString("en-GB", { day: "numeric", month: "short" })
    : at.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
}

/** Labels at the edges stay inside. */
function anchorAt(x: number, width: number): "start" | "middle" | "end" {
  const half = 20;
  return x < half ? "start" : x > width - half ? "end" : "middle";
}

function newest({ mean }: Line): number | undefined {
  return mean.findLast((value) => value !== null) ?? undefined;
}

/** The element's width, followed. */
function useWidth() {
  const element = useRef<SVGSVGElement>(null);
  const [width, setWidth] = useState(400);
  useEffect(() => {
    if (element.current === null) return undefined;
    const observer = new ResizeObserver(([entry]) =>
      setWidth(Math.max(120, entry?.contentRect.width ?? 400)),
    );
    observer.observe(element.current);
    return () => observer.disconnect();
  }, []);
  return [element, width] as const;
}

export function Chart({ title, unit, isRate = false, lines, window, top }: ChartProps) {
  const [element, width] = useWidth();
  const [cursorMs, setCursor] = useState<number | undefined>(undefined);
  const text = (value: number) => inUnit(value, unit, isRate);
  const x = scaleTime([window.fromMs, window.toMs], [EDGE.left, width - EDGE.right]);
  const { shown, leftOut } = largest(lines);
  const drawn = shown.map(({ label, line }, index) => ({
    label,
    line,
    color: lineColor(index),
    points: pointsOf(line),
  }));
  const values = drawn.flatMap(({ points }) => points.flatMap(([, value]) => value ?? []));
  const peak = Math.max(0, ...values);
  const scaleTop = top ?? (peak > 0 ? peak * 1.05 : 1);
  const y = scaleLinear([0, scaleTop], [HEIGHT - EDGE.bottom, EDGE.top]);
  const nearMs = (window.toMs - window.fromMs) / 40;
  const now = drawn.length === 1 ? newest(lines[0]?.line as Line) : undefined;
  const summary =
    values.length === 0
      ? `${title}: no figures in this time`
      : `${title}: ${now === undefined ? `${drawn.length} lines` : `now ${text(now)}`}, at most ${text(peak)}`;

  const moveBy = (steps: number) => {
    const stepMs = (window.toMs - window.fromMs) / 60;
    const fromMs = cursorMs ?? window.toMs;
    setCursor(Math.min(window.toMs, Math.max(window.fromMs, fromMs + steps * stepMs)));
  };
  return (
    <figure class="card chart">
      <figcaption>
        <h3>{title}</h3>
        <span class="now" aria-live="polite">
          {cursorMs === undefined
            ? now === undefined
              ? ""
              : text(now)
            : readout(drawn, cursorMs, nearMs, text)}
        </span>
      </figcaption>
      <svg
        ref={element}
        viewBox={`0 0 ${width} ${HEIGHT}`}
        role="img"
        tabIndex={0}
        aria-label={summary}
        onPointerMove={({ offsetX }) => setCursor(x.invert(offsetX).getTime())}
        onPointerLeave={() => setCursor(undefined)}
        onBlur={() => setCursor(undefined)}
        onKeyDown={(event) => {
          const steps = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
          if (event.key === "Escape") setCursor(undefined);
          if (steps === undefined) return;
          event.preventDefault();
          moveBy(steps);
        }}
      >
        <line class="rule" x1={EDGE.left} x2={width - EDGE.right} y1={y(0)} y2={y(0)} />
        {marksOf(scaleTop, unit).map((mark) => (
          <g key={mark}>
            <line class="rule" x1={EDGE.left} x2={width - EDGE.right} y1={y(mark)} y2={y(mark)} />
            <text x={EDGE.left} y={y(mark) - 3}>
              {text(mark)}
            </text>
          </g>
        ))}
        {x.ticks(Math.max(2, Math.floor(width / 110))).map((tick) => (
          <text key={tick.getTime()} x={x(tick)} y={HEIGHT - 4} text-anchor={anchorAt(x(tick), width)}>
            {timeText(tick, window.toMs - window.fromMs)}
          </text>
        ))}
        {drawn.length === 1 &&
          drawn.map(({ color, points }) => (
            <path
              key="area"
              class="area"
              fill={color}
              d={
                area<Point>()
                  .defined(([, value]) => value !== null)
                  .x(([at]) => x(at))
                  .y0(y(0))
                  .y1(([, value]) => y(value ?? 0))(points) ?? ""
              }
            />
          ))}
        {drawn.map(({ label, color, points }) => (
          <path
            key={label}
            class="line"
            stroke={color}
            d={
              lineOf<Point>()
                .defined(([, value]) => value !== null)
                .x(([at]) => x(at))
                .y(([, value]) => y(value ?? 0))(points) ?? ""
            }
          />
        ))}
        {cursorMs !== undefined && (
          <line class="cursor" x1={x(cursorMs)} x2={x(cursorMs)} y1={EDGE.top} y2={HEIGHT - EDGE.bottom} />
        )}
      </svg>
      {drawn.length > 1 && (
        <Legend drawn={drawn} leftOut={leftOut} cursorMs={cursorMs} nearMs={nearMs} text={text} />
      )}
    </figure>
  );
}

interface Drawn {
  label: string;
  line: Line;
  color: string;
}

/** The moment under the cursor; with a single line, its value there. */
function readout(
  drawn: readonly Drawn[],
  atMs: number,
  nearMs: number,
  text: (value: number) => string,
): string {
  if (drawn.length > 1) return moment(atMs);
  const value = drawn[0] === undefined ? undefined : valueAt(drawn[0].line, atMs, nearMs);
  return value === undefined ? `nothing known at ${clockTime(atMs)}` : `${text(value)} at ${clockTime(atMs)}`;
}

interface LegendProps {
  drawn: readonly Drawn[];
  leftOut: number;
  cursorMs: number | undefined;
  nearMs: number;
  text(value: number): string;
}

function Legend({ drawn, leftOut, cursorMs, nearMs, text }: LegendProps) {
  const valueOf = (line: Line) => (cursorMs === undefined ? newest(line) : valueAt(line, cursorMs, nearMs));
  return (
    <ul class="legend">
      {drawn.map(({ label, line, color }) => {
        const value = valueOf(line);
        return (
          <li key={label}>
            <span class="swatch" style={{ background: color }} />
            {label}
            {value !== undefined && ` ${text(value)}`}
          </li>
        );
      })}
      {leftOut > 0 && <li>and {leftOut} smaller</li>}
    </ul>
  );
}
