/** @jsxImportSource preact */
/** The last minute of one figure as a line, from zero to its own maximum. Gaps stay gaps. */
import { HISTORY_LENGTH, type History } from "../../../core/watch/snapshot.ts";
import { compact } from "../format.ts";

const WIDTH = 136;
const HEIGHT = 32;
const MARGIN = 2;

/** SVG path of the line: one `M…L…` run between gaps. The newest sample is at the right edge. */
export function linePath(history: History, max: number): string {
  let path = "";
  let isPen = false;
  history.forEach((value, index) => {
    if (value === null) {
      isPen = false;
      return;
    }
    const x = WIDTH - MARGIN - ((history.length - 1 - index) * (WIDTH - 2 * MARGIN)) / (HISTORY_LENGTH - 1);
    const y = HEIGHT - MARGIN - (value / max) * (HEIGHT - 2 * MARGIN);
    path += `${isPen ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
    isPen = true;
  });
  return path;
}

export function Sparkline({ history, unit }: { history: History; unit: string }) {
  const values = history.filter((value) => value !== null);
  const peak = Math.max(0, ...values);
  const label =
    values.length === 0
      ? "no figures yet"
      : `${unit}: at most ${compact(peak)} in the last ${values.length} samples`;
  return (
    <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={label} preserveAspectRatio="none">
      <path
        d={`M${MARGIN} ${HEIGHT - MARGIN}H${WIDTH - MARGIN}`}
        stroke="currentColor"
        stroke-opacity="0.25"
      />
      <path
        d={linePath(history, peak || 1)}
        fill="none"
        stroke="currentColor"
        stroke-width="1.5"
        stroke-linejoin="round"
        vector-effect="non-scaling-stroke"
      />
    </svg>
  );
}
