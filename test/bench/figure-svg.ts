/**
 * Figures as one self-contained SVG: panels of bars or of points over time, one below the other. No script, no external font;
 * texts are escaped.
 */
import { scaleLinear } from "d3-scale";

export type Panel =
  | { title: string; unit: string; bars: { label: string; value: number }[] }
  | { title: string; unit: string; xLabel: string; points: { x: number; y: number }[] };

const WIDTH = 860;
const PANEL_HEIGHT = 260;
const MARGIN = { left: 70, right: 20, top: 36, bottom: 44 };
const PLOT_WIDTH = WIDTH - MARGIN.left - MARGIN.right;
const PLOT_HEIGHT = PANEL_HEIGHT - MARGIN.top - MARGIN.bottom;

const escapeXml = (text: string) => text.replace(/[<>&"]/g, (character) => `&#${character.charCodeAt(0)};`);
const text = (x: number, y: number, content: string, more = "") =>
  `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${more}>${escapeXml(content)}</text>`;
const short = (value: number) => (value >= 100 ? value.toFixed(0) : value.toPrecision(3));

function drawPanel(panel: Panel, index: number): string {
  const values = "bars" in panel ? panel.bars.map(({ value }) => value) : panel.points.map(({ y }) => y);
  const y = scaleLinear()
    .domain([0, Math.max(...values, 1e-9)])
    .nice()
    .range([PLOT_HEIGHT, 0]);
  const grid = y
    .ticks(5)
    .map(
      (tick) =>
        `<path class="grid" d="M0,${y(tick).toFixed(1)}H${PLOT_WIDTH}"/>` +
        text(-8, y(tick) + 4, short(tick), 'text-anchor="end"'),
    );
  const drawn = "bars" in panel ? drawBars(panel.bars, y) : drawPoints(panel, y);
  return [
    `<g transform="translate(${MARGIN.left},${index * PANEL_HEIGHT + MARGIN.top})">`,
    text(0, -14, panel.title, 'font-weight="bold"'),
    text(PLOT_WIDTH, -14, panel.unit, 'text-anchor="end"'),
    ...grid,
    ...drawn,
    "</g>",
  ].join("\n");
}

function drawBars(bars: { label: string; value: number }[], y: (value: number) => number): string[] {
  const step = PLOT_WIDTH / bars.length;
  return bars.map(({ label, value }, index) => {
    const [left, top] = [index * step + step * 0.2, y(value)];
    const bar = `<rect class="bar" x="${left.toFixed(1)}" y="${top.toFixed(1)}" width="${(step * 0.6).toFixed(1)}" height="${(PLOT_HEIGHT - top).toFixed(1)}"/>`;
    const middle = left + step * 0.3;
    const centred = 'text-anchor="middle"';
    return (
      bar + text(middle, top - 5, short(value), centred) + text(middle, PLOT_HEIGHT + 18, label, centred)
    );
  });
}

function drawPoints(
  { points, xLabel }: { points: { x: number; y: number }[]; xLabel: string },
  y: (value: number) => number,
): string[] {
  const x = scaleLinear()
    .domain([0, Math.max(...points.map((point) => point.x), 1e-9)])
    .range([0, PLOT_WIDTH]);
  const ticks = x
    .ticks(10)
    .map((tick) => text(x(tick), PLOT_HEIGHT + 18, String(tick), 'text-anchor="middle"'));
  const dots = points.map(
    (point) => `<circle class="bar" cx="${x(point.x).toFixed(1)}" cy="${y(point.y).toFixed(1)}" r="3"/>`,
  );
  return [...ticks, text(PLOT_WIDTH / 2, PLOT_HEIGHT + 36, xLabel, 'text-anchor="middle"'), ...dots];
}

export function figureSvg(title: string, panels: readonly Panel[]): string {
  const height = panels.length * PANEL_HEIGHT;
  return `<?xml version="1.0" encoding="UTF-8"?>
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img">
<title>${escapeXml(title)}</title>
<style>
  text { font: 12px system-ui, sans-serif; fill: #333; }
  .grid { stroke: #ddd; fill: none; }
  .bar { fill: #1668b8; }
</style>
<rect width="100%" height="100%" fill="#fff"/>
${panels.map(drawPanel).join("\n")}
</svg>
`;
}
