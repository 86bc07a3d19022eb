/**
 * The chart of a load run: latency by percentile and throughput over time, one self-contained SVG.
 *
 * No script, no external font or style, so that it can be opened from disk and put into a page as an image. Texts of
 * the report are escaped. The latency curve has one vertex for each point of `report.curve`, the throughput one for
 * each slice of `report.timeline`.
 */
import { scaleLinear, scaleLog, type ScaleContinuousNumeric } from "d3-scale";
import { line } from "d3-shape";
import type { PercentilePoint } from "./histogram.ts";
import type { LoadReport } from "./report.ts";
import { milliseconds, thousands } from "./table.ts";

type Scale = ScaleContinuousNumeric<number, number>;

interface Tick {
  at: number;
  label: string;
}

interface Panel {
  id: string;
  title: string;
  xLabel: string;
  yLabel: string;
  xTicks: Tick[];
  yTicks: Tick[];
  /** `d` of the curve. */
  path: string;
}

const WIDTH = 860;
const PANEL_HEIGHT = 300;
const HEADER_HEIGHT = 64;
const MARGIN = { left: 76, right: 24, top: 36, bottom: 48 };
const PLOT_WIDTH = WIDTH - MARGIN.left - MARGIN.right;
const PLOT_HEIGHT = PANEL_HEIGHT - MARGIN.top - MARGIN.bottom;
const PERCENTILE_TICKS = [50, 90, 99, 99.9, 99.99, 99.999, 99.9999];

function escapeXml(text: string): string {
  const entities: Record<string, string> = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
    "'": "&#39;",
  };
  // XML has no way to write control characters; a server's name could hold one.
  return text.replace(/[&<>"']/g, (letter) => entities[letter] ?? "").replace(/[\u0000-\u001f\u007f]/g, " ");
}

/** How many times rarer than everything the percentile is: 10 for p90, 100 for p99. */
function rarity(percentile: number, count: number): number {
  return percentile >= 100 ? count : 100 / (100 - percentile);
}

function latencyPanel(curve: readonly PercentilePoint[], count: number): Panel {
  // The last point, the maximum, stands where one request among `count` is.
  const rarest = Math.max(10, count * 2);
  const x = scaleLog([1, rarest], [0, PLOT_WIDTH]);
  const latencies = curve.map((point) => point.latencyMs);
  const low = Math.max(1e-6, Math.min(...latencies, 1));
  const high = Math.max(low * 10, ...latencies);
  const y = scaleLog([low, high], [PLOT_HEIGHT, 0]).nice();
  const shape = line<PercentilePoint>()
    .x((point) => x(Math.min(rarest, rarity(point.percentile, rarest))))
    .y((point) => y(Math.max(low, point.latencyMs)));
  return {
    id: "latency",
    title: "Latency by percentile",
    xLabel: "percentile",
    yLabel: "milliseconds",
    xTicks: PERCENTILE_TICKS.filter((percentile) => rarity(percentile, rarest) <= rarest).map(
      (percentile) => ({
        at: x(rarity(percentile, rarest)),
        label: `p${percentile}`,
      }),
    ),
    yTicks: powersOfTen(y),
    path: shape(curve) ?? "",
  };
}

function powersOfTen(scale: Scale): Tick[] {
  return scale
    .ticks()
    .filter((value) => Math.abs(Math.log10(value) - Math.round(Math.log10(value))) < 1e-9)
    .map((value) => ({ at: scale(value), label: `${Number(value.toPrecision(1))}` }));
}

function throughputPanel(report: LoadReport): Panel {
  const points = report.timeline;
  const x = scaleLinear([0, Math.max(report.seconds, 0.001)], [0, PLOT_WIDTH]);
  const y = scaleLinear(
    [0, Math.max(1, ...points.map((point) => point.requestsPerSecond))],
    [PLOT_HEIGHT, 0],
  ).nice(5);
  const shape = line<(typeof points)[number]>()
    .x((point) => x(point.atSeconds))
    .y((point) => y(point.requestsPerSecond));
  return {
    id: "throughput",
    title: "Throughput over time",
    xLabel: "seconds",
    yLabel: "requests per second",
    xTicks: x.ticks(8).map((value) => ({ at: x(value), label: `${value}` })),
    yTicks: y.ticks(5).map((value) => ({ at: y(value), label: thousands(value) })),
    path: shape(points) ?? "",
  };
}

function text(x: number, y: number, content: string, attributes = ""): string {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}"${attributes}>${escapeXml(content)}</text>`;
}

function drawPanel(panel: Panel, top: number): string {
  const parts = [
    `<g id="${panel.id}" transform="translate(${MARGIN.left},${top + MARGIN.top})">`,
    text(0, -14, panel.title, ' font-weight="bold"'),
  ];
  for (const { at, label } of panel.yTicks) {
    parts.push(`<path class="grid" d="M0,${at.toFixed(1)}H${PLOT_WIDTH}"/>`);
    parts.push(text(-8, at + 4, label, ' text-anchor="end"'));
  }
  for (const { at, label } of panel.xTicks) {
    parts.push(`<path class="grid" d="M${at.toFixed(1)},0V${PLOT_HEIGHT}"/>`);
    parts.push(text(at, PLOT_HEIGHT + 18, label, ' text-anchor="middle"'));
  }
  parts.push(text(PLOT_WIDTH / 2, PLOT_HEIGHT + 38, panel.xLabel, ' text-anchor="middle"'));
  parts.push(text(PLOT_WIDTH, -14, panel.yLabel, ' text-anchor="end"'));
  parts.push(`<path class="curve" d="${panel.path}"/>`, "</g>");
  return parts.join("\n");
}

/** The whole document. */
export function chartSvg(report: LoadReport): string {
  const height = HEADER_HEIGHT + 2 * PANEL_HEIGHT;
  const { latency, target } = report;
  const figures =
    `${thousands(report.requestsPerSecond)} requests/s, p50 ${milliseconds(latency.p50Ms)} ms, ` +
    `p99 ${milliseconds(latency.p99Ms)} ms, p99.9 ${milliseconds(latency.p999Ms)} ms, max ${milliseconds(latency.maxMs)} ms`;
  const facts = `${report.tool} against ${target.server} at ${target.address}, ${report.startedAt}`;
  return `<?xml version="1.0" encoding="UTF-8"?>
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img">
<title>${escapeXml(facts)}</title>
<style>
  text { font: 12px system-ui, sans-serif; fill: #333; }
  .grid { stroke: #ddd; fill: none; }
  .curve { stroke: #1668b8; stroke-width: 2; fill: none; stroke-linejoin: round; }
</style>
<rect width="100%" height="100%" fill="#fff"/>
${text(16, 26, figures, ' font-weight="bold"')}
${text(16, 46, facts)}
${drawPanel(latencyPanel(report.curve, latency.count), HEADER_HEIGHT)}
${drawPanel(throughputPanel(report), HEADER_HEIGHT + PANEL_HEIGHT)}
</svg>
`;
}
