/** The comparison as Markdown, ready for docs/PERFORMANCE.md. */
import { thousands } from "../../src/core/load/table.ts";
import type { CompactionResult, MemoryResult } from "./capacity.ts";
import type { Contender, LineResult } from "./compare.ts";
import { isNoisy, type Machine } from "./machine.ts";
import { verdictText, type Verdict } from "./verdict.ts";

export interface Judged<Result> {
  result: Result;
  /** Absent for a server that is only reported. */
  verdict?: Verdict;
}

export interface BenchReport {
  command: string;
  /** What is compared with redis. */
  candidate: string;
  startedAt: string;
  machine: Machine;
  versions: Record<string, string>;
  rounds: number;
  lines: LineResult[];
  memory: Judged<MemoryResult>[];
  compaction: Judged<CompactionResult>[];
}

export function allVerdicts(report: BenchReport): Verdict[] {
  const judged = [...report.memory, ...report.compaction].flatMap(({ verdict }) => verdict ?? []);
  return [...report.lines.flatMap((line) => line.verdicts), ...judged];
}

function tableRow(cells: readonly string[]): string {
  return `| ${cells.join(" | ")} |`;
}

function table(header: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const rule = header.map((_cell, column) => (column === 0 || column === header.length - 1 ? "---" : "---:"));
  return [tableRow(header), tableRow(rule), ...rows.map(tableRow)];
}

function ratio(value: number): string {
  return value.toFixed(2);
}

function contenderCells(reference: Contender, one: Contender): string[] {
  return [
    thousands(reference.median.requestsPerSecond),
    thousands(one.median.requestsPerSecond),
    ratio(one.ratios.throughput),
    reference.median.cpuMicrosecondsPerRequest.toFixed(2),
    one.median.cpuMicrosecondsPerRequest.toFixed(2),
    ratio(one.ratios.cpu),
    reference.median.p99Ms.toFixed(2),
    one.median.p99Ms.toFixed(2),
    ratio(one.ratios.p99),
  ];
}

function lineRows({ line, reference, candidate, others, verdicts }: LineResult): string[][] {
  const judged = [
    line,
    ...contenderCells(reference, candidate),
    verdicts.map(verdictText).join("; ") || "reported",
  ];
  return [
    judged,
    ...others.map((one) => [`${line}, ${one.server}`, ...contenderCells(reference, one), "reported"]),
  ];
}

function lineHeader(candidate: string): string[] {
  const pair = (figure: string) => [`redis ${figure}`, `${candidate} ${figure}`, "ratio"];
  return ["load", ...pair("requests/s"), ...pair("CPU µs"), ...pair("p99 ms"), "verdict"];
}

function judgedText(verdict: Verdict | undefined): string {
  return verdict === undefined ? "reported" : verdictText(verdict);
}

function memorySection(results: BenchReport["memory"]): string[] {
  if (results.length === 0) return [];
  const rows = results.map(({ result, verdict }) => [
    `${result.server}, ${thousands(result.records)} records of 16 B + 64 B`,
    (result.rssBytes / 1e9).toFixed(2),
    result.bytesPerRecord.toFixed(0),
    judgedText(verdict),
  ]);
  return ["", ...table(["memory", "resident GB", "bytes a record", "verdict"], rows)];
}

function compactionSection(results: BenchReport["compaction"]): string[] {
  if (results.length === 0) return [];
  const header = ["during compaction", "compactions", "p50 ms", "p99 ms", "p99.9 ms", "max ms", "verdict"];
  const rows = results.map(({ result, verdict }) => [
    `${result.server}, ${thousands(result.records)} records, ${thousands(result.ratePerSecond)} SET/s for ${result.seconds} s`,
    `${result.compactions}`,
    ...[
      result.compacting.p50Ms,
      result.compacting.p99Ms,
      result.compacting.p999Ms,
      result.compacting.maxMs,
    ].map((value) => value.toFixed(2)),
    judgedText(verdict),
  ]);
  return ["", ...table(header, rows)];
}

export function markdown(report: BenchReport): string {
  const { machine, versions, lines, rounds } = report;
  const noise = isNoisy(machine)
    ? [
        `**Noisy: the load average was ${machine.loadAverage.toFixed(1)} at the start, so other work shared the CPUs.**`,
        "",
      ]
    : [];
  const programs = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return [
    `\`${report.command}\`, ${report.startedAt.slice(0, 10)}. ${machine.cpu}, ${machine.cores} cores, ` +
      `${Math.round(machine.memoryBytes / 2 ** 30)} GiB, Linux ${machine.kernel}, ${machine.disk}. ${programs.join(", ")}.`,
    "",
    ...noise,
    `50 connections, 100,000 keys; generator redis-benchmark on the same machine; medians of ${rounds} interleaved ` +
      `${rounds === 1 ? "round" : "rounds"}, ratios are ${report.candidate} to redis of the same round. CPU is the server's user and system time for a request.`,
    ...(lines.length === 0 ? [] : ["", ...table(lineHeader(report.candidate), lines.flatMap(lineRows))]),
    ...memorySection(report.memory),
    ...compactionSection(report.compaction),
    "",
  ].join("\n");
}
