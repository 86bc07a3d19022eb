/** The report of a load run for people: one table of latencies, the throughput, and what went wrong. */
import type { LatencySummary } from "./histogram.ts";
import type { LoadReport } from "./report.ts";
import { alignColumns } from "../text-table.ts";

const header = ["operation", "requests/s", "min", "mean", "p50", "p90", "p99", "p99.9", "max"];

export function thousands(value: number): string {
  return Math.round(value).toLocaleString("en-US");
}

/** Three significant digits, in milliseconds. */
export function milliseconds(value: number): string {
  const digits = value >= 100 ? 0 : value >= 10 ? 1 : value >= 1 ? 2 : 3;
  return value.toFixed(digits);
}

function bytesPerSecond(value: number): string {
  return `${(value / 1e6).toFixed(1)} MB/s`;
}

function row(name: string, requestsPerSecond: number, latency: LatencySummary): string[] {
  const { minMs, meanMs, p50Ms, p90Ms, p99Ms, p999Ms, maxMs } = latency;
  const latencies = [minMs, meanMs, p50Ms, p90Ms, p99Ms, p999Ms, maxMs].map(milliseconds);
  return [name, thousands(requestsPerSecond), ...latencies];
}

/** Lines without colours and without line ends. */
export function reportLines(report: LoadReport): string[] {
  const { operations, latency, requestsPerSecond } = report;
  const rows = operations.map((one) => row(one.operation, one.requestsPerSecond, one.latency));
  if (operations.length !== 1) rows.push(row("all", requestsPerSecond, latency));
  const lines = [
    `${report.target.server} at ${report.target.address}: ` +
      `${thousands(report.replies)} replies to ${thousands(report.requests)} requests in ${report.seconds.toFixed(1)} s`,
    "",
    ...alignColumns([header, ...rows], "  ", [1, 2, 3, 4, 5, 6, 7, 8]),
    "",
    `latencies in milliseconds; sent ${bytesPerSecond(report.bytesSentPerSecond)}, ` +
      `received ${bytesPerSecond(report.bytesReceivedPerSecond)}; ` +
      `the generator used ${Math.round(report.generatorCpuShare * 100)} % of a CPU`,
  ];
  if (report.misses > 0)
    lines.push(`${thousands(report.misses)} reads found no record (--preload writes them first)`);
  if (report.verified > 0 || report.mismatches > 0)
    lines.push(`${thousands(report.verified)} replies compared, ${thousands(report.mismatches)} differ`);
  return [...lines, ...failureLines(report)];
}

function failureLines(report: LoadReport): string[] {
  const lines: string[] = [];
  for (const [text, count] of Object.entries(report.errors))
    lines.push(`error ${thousands(count)} x: ${text}`);
  const missing = report.requests - report.replies;
  if (missing !== 0) lines.push(`FAILED: ${thousands(missing)} requests have no reply`);
  if (report.mismatches > 0)
    lines.push(`FAILED: ${thousands(report.mismatches)} replies are not what was written`);
  if (report.requests === 0) lines.push("FAILED: no request was sent");
  return lines;
}
