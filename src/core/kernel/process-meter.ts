/**
 * What this process costs: memory, CPU, open files, how late its event loop runs.
 *
 * Read from /proc and the runtime when somebody asks; nothing is counted in between except the event loop's delay,
 * which a timer of the runtime samples once a meter exists.
 */
import { readdirSync, readFileSync } from "node:fs";
import { monitorEventLoopDelay } from "node:perf_hooks";
import type { Clock } from "../seams/clock.ts";

export interface ProcessFigures {
  rssBytes: number;
  virtualBytes: number;
  heapBytes: number;
  openFiles: number;
  cpuUserSeconds: number;
  cpuSystemSeconds: number;
}

export interface MeterFigures extends ProcessFigures {
  /** 99th percentile and maximum of the event loop's delay over the last one to two minutes, in seconds. */
  eventLoopLagSeconds: number;
  eventLoopLagMaxSeconds: number;
}

const PAGE_BYTES = 4096;
const SAMPLE_MS = 10;
const WINDOW_MS = 60_000;
/** A scrape reads several figures: they all come from one look. */
const FRESH_MS = 50;

export function readProcessFigures(): ProcessFigures {
  const cpu = process.cpuUsage();
  const [virtualBytes, rssBytes] = memoryBytes();
  return {
    rssBytes,
    virtualBytes,
    heapBytes: runtimeMemory()?.heapUsed ?? 0,
    openFiles: openFiles(),
    cpuUserSeconds: cpu.user / 1e6,
    cpuSystemSeconds: cpu.system / 1e6,
  };
}

function memoryBytes(): [virtualBytes: number, rssBytes: number] {
  try {
    const [size, resident] = readFileSync("/proc/self/statm", "latin1").split(" ");
    return [Number(size) * PAGE_BYTES, Number(resident) * PAGE_BYTES];
  } catch {
    return [0, runtimeMemory()?.rss ?? 0];
  }
}

/** Undefined where nobody can tell: the runtime throws when this process can open no more files. */
function runtimeMemory(): NodeJS.MemoryUsage | undefined {
  try {
    return process.memoryUsage();
  } catch {
    return undefined;
  }
}

/** How many files this process may have open; infinite where nobody can tell. */
export function readOpenFilesMax(): number {
  try {
    const soft = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "latin1"))?.[1];
    return soft === undefined ? Number.POSITIVE_INFINITY : Number(soft);
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}

function openFiles(): number {
  try {
    return readdirSync("/proc/self/fd").length - 1; // without the descriptor that lists them
  } catch {
    return 0;
  }
}

export class ProcessMeter {
  readonly #clock: Clock;
  readonly #delay = monitorEventLoopDelay({ resolution: SAMPLE_MS });
  #previous = { p99: 0, max: 0 };
  #windowStartMs: number;
  #last: MeterFigures | undefined;
  #readAtMs = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#windowStartMs = clock.monotonicMs();
    this.#delay.enable();
  }

  read(): MeterFigures {
    const nowMs = this.#clock.monotonicMs();
    if (this.#last === undefined || nowMs - this.#readAtMs > FRESH_MS) {
      this.#last = { ...readProcessFigures(), ...this.#lag(nowMs) };
      this.#readAtMs = nowMs;
    }
    return this.#last;
  }

  #lag(nowMs: number) {
    const seconds = (nanoseconds: number) =>
      Number.isFinite(nanoseconds) ? Math.max(0, nanoseconds / 1e9) : 0;
    const current = { p99: seconds(this.#delay.percentile(99)), max: seconds(this.#delay.max) };
    const lag = {
      eventLoopLagSeconds: Math.max(current.p99, this.#previous.p99),
      eventLoopLagMaxSeconds: Math.max(current.max, this.#previous.max),
    };
    if (nowMs - this.#windowStartMs > WINDOW_MS) {
      this.#previous = current;
      this.#windowStartMs = nowMs;
      this.#delay.reset();
    }
    return lag;
  }

  close(): void {
    this.#delay.disable();
  }
}
