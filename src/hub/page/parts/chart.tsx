/** @jsxImportSource preact */
/**
 * A graph of one or several lines over time, from zero up.
 *
 * A pointer over it, or the arrow keys while it has the focus, show the values of a moment in the legend. To a screen reader it
 * is a picture whose name says what is drawn, the newest value and the largest.
 */
import { area, line as lineOf } from "d3-shape";
import { useState } from "preact/hooks";
import type { Unit } from "../../figures.ts";
import type { Line } from "../../messages.ts";
import { clockTime, inUnit, moment } from "../format.ts";
import type { Window } from "../lines.ts";
import {
  anchorAt,
  type ChartLine,
  EDGE,
  HEIGHT,
  largest,
  lineColor,
  marksOf,
  markText,
  newest,
  type Point,
  pointsOf,
  type Scales,
  scalesOf,
  timeText,
  valueAt,
} from "./chart-scale.ts";
import { useWidth } from "./use-width.ts";

export interface ChartProps {
  title: string;
  unit: Unit;
  /** The values are per second. */
  isRate?: boolean;
  lines: readonly ChartLine[];
  window: Window;
  /** How many others have such a line that was not asked for. */
  others?: number;
  /** The top of the scale, where the unit has one (a ratio). */
  top?: number;
}

interface Drawn extends ChartLine {
  color: string;
  points: Point[];
}

/** The moment under the cursor: by pointer, or by arrow keys. */
function useCursor({ fromMs, toMs }: Window) {
  const [cursorMs, setCursor] = useState<number | undefined>(undefined);
  const moveBy = (steps: number) => {
    const wantedMs = (cursorMs ?? toMs) + (steps * (toMs - fromMs)) / 60;
    setCursor(Math.min(toMs, Math.max(fromMs, wantedMs)));
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const steps = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key === "Escape") setCursor(undefined);
    if (steps === undefined) return;
    event.preventDefault();
    moveBy(steps);
  };
  return { cursorMs, setCursor, onKeyDown };
}

export function Chart({ title, unit, isRate = false, lines, others = 0, window, top }: ChartProps) {
  const [element, width] = useWidth();
  const { cursorMs, setCursor, onKeyDown } = useCursor(window);
  const text = (value: number) => inUnit(value, unit, isRate);
  const { shown, leftOut } = largest(lines);
  const drawn = shown.map((each, index) => ({
    ...each,
    color: lineColor(index),
    points: pointsOf(each.line),
  }));
  const values = drawn.flatMap(({ points }) => points.flatMap(([, value]) => value ?? []));
  const peak = Math.max(0, ...values);
  const scales = scalesOf(window, width, top ?? (peak > 0 ? peak * 1.05 : 1));
  // All values are 0, or there are none: marks would be of a scale that means nothing.
  const isFlat = peak === 0 && top === undefined;
  const marks = isFlat ? [] : marksOf(scales.top, unit);
  const nearMs = scales.windowMs / 40;
  const now = drawn.length === 1 ? newest(lines[0]?.line as Line) : undefined;
  const nowText = now === undefined ? "" : text(now);
  const about = now === undefined ? `${drawn.length} lines` : `now ${nowText}`;
  const summary = values.length === 0 ? "no figures in this time" : `${about}, at most ${text(peak)}`;
  return (
    <figure class="card chart">
      <figcaption>
        <h3>{title}</h3>
        <span class="now" aria-live="polite">
          {cursorMs === undefined ? nowText : readout(drawn, cursorMs, nearMs, text)}
        </span>
      </figcaption>
      <svg
        ref={element}
        viewBox={`0 0 ${width} ${HEIGHT}`}
        role="img"
        tabIndex={0}
        aria-label={`${title}: ${summary}`}
        onPointerMove={({ offsetX }) => setCursor(scales.x.invert(offsetX).getTime())}
        onPointerLeave={() => setCursor(undefined)}
        onBlur={() => setCursor(undefined)}
        onKeyDown={onKeyDown}
      >
        <Axes scales={scales} marks={marks} />
        <Lines scales={scales} drawn={drawn} />
        {marks.map((mark) => (
          <text key={mark} class="mark" x={EDGE.left} y={scales.y(mark) - 3}>
            {markText(text(mark))}
          </text>
        ))}
        {cursorMs !== undefined && (
          <line
            class="cursor"
            x1={scales.x(cursorMs)}
            x2={scales.x(cursorMs)}
            y1={EDGE.top}
            y2={HEIGHT - EDGE.bottom}
          />
        )}
      </svg>
      {drawn.length > 1 && (
        <Legend {...{ drawn, leftOut, others, cursorMs, nearMs, text }} />
      )}
    </figure>
  );
}

interface AxesProps {
  scales: Scales;
  /** Values that get a line. */
  marks: readonly number[];
}

function Axes({ scales, marks }: AxesProps) {
  const { x, y, width, windowMs } = scales;
  const rule = (value: number) => (
    <line class="rule" x1={EDGE.left} x2={width - EDGE.right} y1={y(value)} y2={y(value)} />
  );
  return (
    <>
      {rule(0)}
      {marks.map((mark) => (
        <g key={mark}>{rule(mark)}</g>
      ))}
      {x.ticks(Math.max(2, Math.floor(width / 80))).map((tick) => (
        <text key={tick.getTime()} x={x(tick)} y={HEIGHT - 4} text-anchor={anchorAt(x(tick), width)}>
          {timeText(tick, windowMs)}
        </text>
      ))}
    </>
  );
}

/** A single line has its area filled, faintly. */
function Lines({ scales: { x, y }, drawn }: { scales: Scales; drawn: readonly Drawn[] }) {
  const isKnown = ([, value]: Point) => value !== null;
  const path = lineOf<Point>()
    .defined(isKnown)
    .x(([at]) => x(at))
    .y(([, value]) => y(value ?? 0));
  const below = area<Point>()
    .defined(isKnown)
    .x(([at]) => x(at))
    .y0(y(0))
    .y1(([, value]) => y(value ?? 0));
  const [single] = drawn.length === 1 ? drawn : [];
  return (
    <>
      {single !== undefined && <path class="area" fill={single.color} d={below(single.points) ?? ""} />}
      {drawn.map(({ label, color, points }) => (
        <path key={label} class="line" stroke={color} d={path(points) ?? ""} />
      ))}
    </>
  );
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
  others: number;
  cursorMs: number | undefined;
  nearMs: number;
  text(value: number): string;
}

function Legend({ drawn, leftOut, others, cursorMs, nearMs, text }: LegendProps) {
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
      {others > 0 && <li>{others} more, on their own pages</li>}
    </ul>
  );
}
