/**
 * stats.log: one line of `name:value` pairs per period, at round times (…:00, …:30), so that lines of several hosts
 * belong together.
 *
 *   2026-11-22 08:00:30,001 cpu_user:1.20 cpu_system:0.40 cpu_total:1.60 vsz:… rss:… mem_percentage:0.42 <the role's> logged_info:2 …
 *
 * Names and order are those of the originals (swarm.md 10.3). Counters are those of the period. A missing
 * line means that the process did not run, or that its event loop was stuck, at that time.
 */
import { totalmem } from "node:os";
import type { Clock, Timer } from "../seams/clock.ts";
import { logLevels, logTimestamp, type LogOutput, type LogSink } from "./log.ts";
import { readProcessFigures, type ProcessFigures } from "../kernel/process-meter.ts";

export interface StatsLogOptions {
  clock: Clock;
  sink: LogSink;
  periodMs: number;
  logOutput: LogOutput;
  /** The role's pairs, may be empty. */
  roleLine(): string;
  readFigures?(): ProcessFigures;
  memoryBytes?: number;
}

export class StatsLog {
  readonly #options: StatsLogOptions;
  readonly #readFigures: () => ProcessFigures;
  #timer: Timer | undefined;
  #atMs: number;
  #figures: ProcessFigures;
  #counts: LogOutput["counts"];

  constructor(options: StatsLogOptions) {
    this.#options = options;
    this.#readFigures = options.readFigures ?? readProcessFigures;
    this.#atMs = options.clock.monotonicMs();
    this.#figures = this.#readFigures();
    this.#counts = { ...options.logOutput.counts };
    this.#schedule();
  }

  /** Each line is scheduled from the wall clock of the last one: it stays aligned when the clock is set. */
  #schedule(): void {
    const { clock, periodMs } = this.#options;
    this.#timer = clock.after(periodMs - (clock.nowMs() % periodMs), () => {
      this.write();
      this.#schedule();
    });
  }

  write(): void {
    const { clock, sink, logOutput, roleLine, memoryBytes = totalmem() } = this.#options;
    const nowMs = clock.monotonicMs();
    const figures = this.#readFigures();
    const seconds = Math.max(0.001, (nowMs - this.#atMs) / 1000);
    const percent = (from: number, to: number) => Math.max(0, ((to - from) / seconds) * 100);
    const user = percent(this.#figures.cpuUserSeconds, figures.cpuUserSeconds);
    const system = percent(this.#figures.cpuSystemSeconds, figures.cpuSystemSeconds);
    const pairs = [
      `cpu_user:${user.toFixed(2)} cpu_system:${system.toFixed(2)} cpu_total:${(user + system).toFixed(2)}`,
      `vsz:${figures.virtualBytes} rss:${figures.rssBytes} mem_percentage:${((figures.rssBytes / memoryBytes) * 100).toFixed(2)}`,
      roleLine(),
      ...logLevels.map((level) => `logged_${level}:${logOutput.counts[level] - this.#counts[level]}`),
    ];
    sink.write(`${logTimestamp(clock.nowMs())} ${pairs.filter((part) => part !== "").join(" ")}`);
    this.#atMs = nowMs;
    this.#figures = figures;
    this.#counts = { ...logOutput.counts };
  }

  close(): void {
    this.#timer?.cancel();
  }
}
