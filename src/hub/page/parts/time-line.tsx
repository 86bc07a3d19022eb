/** @jsxImportSource preact */
/** Points on a line of time: snapshots of a volume, each reachable by keyboard. */
import { scaleTime } from "d3-scale";
import { moment } from "../format.ts";

export interface TimePoint {
  id: string;
  atMs: number;
  text: string;
  isChosen: boolean;
  /** It is kept on purpose, not merged away. */
  isKept: boolean;
}

const WIDTH = 1000;
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
  const times = points.map(({ atMs }) => atMs);
  const first = Math.min(...times);
  const last = Math.max(...times);
  const x = last === first ? () => WIDTH / 2 : scaleTime([first, last], [MARGIN, WIDTH - MARGIN]);
  return (
    <div class="timeline">
      <svg viewBox={`0 0 ${WIDTH} 54`} role="group" aria-label={label}>
        <line x1={MARGIN} x2={WIDTH - MARGIN} y1="20" y2="20" stroke="var(--rule)" stroke-width="2" />
        {points.map(({ id, atMs, text, isChosen, isKept }) => (
          <circle
            key={id}
            cx={x(atMs)}
            cy="20"
            r={isChosen ? 9 : isKept ? 7 : 4.5}
            fill={isChosen ? "var(--accent)" : isKept ? "var(--line-1)" : "var(--line-8)"}
            role="button"
            tabIndex={0}
            aria-pressed={isChosen}
            aria-label={text}
            style={{ cursor: "pointer" }}
            onClick={() => onChoose(id)}
            onKeyDown={({ key }) => {
              if (key === "Enter" || key === " ") onChoose(id);
            }}
          >
            <title>{text}</title>
          </circle>
        ))}
        <text x={last > first ? MARGIN : WIDTH / 2} y="48" text-anchor={last > first ? "start" : "middle"}>
          {moment(first)}
        </text>
        {last > first && (
          <text x={WIDTH - MARGIN} y="48" text-anchor="end">
            {moment(last)}
          </text>
        )}
      </svg>
    </div>
  );
}
