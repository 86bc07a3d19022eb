/** @jsxImportSource preact */
/** Points on a line of time, one of them chosen: snapshots of a volume. Tab comes to the chosen one, arrow keys choose its neighbours. */
import { scaleTime } from "d3-scale";
import { moment } from "../format.ts";
import { useWidth } from "./use-width.ts";

export interface TimePoint {
  id: string;
  atMs: number;
  text: string;
  isChosen: boolean;
  /** It is kept on purpose, not merged away. */
  isKept: boolean;
}

const MARGIN = 12;

export function TimeLine({
  points,
  label,
  onChoose,
}: {
  points: readonly TimePoint[];
  label: string;
  onChoose(id: string): void;
}) {
  const [element, width] = useWidth();
  const times = points.map(({ atMs }) => atMs);
  const first = Math.min(...times);
  const last = Math.max(...times);
  const x = last === first ? () => width / 2 : scaleTime([first, last], [MARGIN, width - MARGIN]);
  const chooseBeside = (event: KeyboardEvent, index: number) => {
    const beside = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
    const point = beside === undefined ? undefined : points[index + beside];
    if (beside !== undefined) event.preventDefault();
    if (point === undefined) return;
    onChoose(point.id);
    const circles = (event.currentTarget as SVGElement).parentElement?.querySelectorAll("circle");
    circles?.[index + (beside as number)]?.focus();
  };
  return (
    <div class="timeline">
      <svg ref={element} viewBox={`0 0 ${width} 54`} role="radiogroup" aria-label={label}>
        <line x1={MARGIN} x2={width - MARGIN} y1="20" y2="20" stroke="var(--rule)" stroke-width="2" />
        {points.map(({ id, atMs, text, isChosen, isKept }, index) => (
          <circle
            key={id}
            cx={x(atMs)}
            cy="20"
            r={isChosen ? 9 : isKept ? 7 : 4.5}
            fill={isChosen ? "var(--accent)" : isKept ? "var(--line-1)" : "var(--line-8)"}
            role="radio"
            tabIndex={isChosen ? 0 : -1}
            aria-checked={isChosen}
            aria-label={text}
            style={{ cursor: "pointer" }}
            onClick={() => onChoose(id)}
            onKeyDown={(event) => chooseBeside(event, index)}
          >
            <title>{text}</title>
          </circle>
        ))}
        <text x={last > first ? MARGIN : width / 2} y="48" text-anchor={last > first ? "start" : "middle"}>
          {moment(first)}
        </text>
        {last > first && (
          <text x={width - MARGIN} y="48" text-anchor="end">
            {moment(last)}
          </text>
        )}
      </svg>
    </div>
  );
}
