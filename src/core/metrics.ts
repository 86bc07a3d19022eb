/**
 * An instance's metrics, as Prometheus text.
 *
 * Figures that the hot path keeps anyway (in C, in plain fields) are read at the scrape: counting costs nothing
 * between scrapes. The process' own figures are ours, because prom-client's defaults mislead under Bun.
 */
import { readdirSync, readFileSync } from "node:fs";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { Counter as PromCounter, Gauge, Histogram as PromHistogram, Registry } from "prom-client";
import { buildInfo } from "./build-info.ts";

export interface Counter {
  increment(by?: number): void;
}

export interface Histogram {
  observe(seconds: number): void;
}

export type MetricLabels = Record<string, string>;

export interface Metrics {
  counter(name: string, help: string, labels?: MetricLabels): Counter;
  /** `read` is called at each scrape. */
  gauge(name: string, help: string, read: () => number, labels?: MetricLabels): void;
  /** A counter kept elsewhere: `read` is called at each scrape. */
  counterFrom(name: string, help: string, read: () => number, labels?: MetricLabels): void;
  histogram(name: string, help: string, bucketsSeconds?: number[]): Histogram;
  /** Prometheus text exposition. */
  text(): Promise<string>;
  readonly contentType: string;
}

const defaultBucketsSeconds = [0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 1];

export function createMetrics(instance: string, role: string): Metrics {
  const registry = new Registry();
  registry.setDefaultLabels({ instance, role });
  return {
    contentType: registry.contentType,
    counter(name, help, labels = {}) {
      const counter = existing<PromCounter>(registry, name) ?? new PromCounter({ name, help, labelNames: Object.keys(labels), registers: [registry] });
      const child = counter.labels(labels);
      return { increment: (by = 1) => child.inc(by) };
    },
    gauge(name, help, read, labels = {}) {
      new Gauge({
        name,
        help,
        labelNames: Object.keys(labels),
        registers: [registry],
        collect() {
          this.set(labels, read());
        },
      });
    },
    counterFrom(name, help, read, labels = {}) {
      new PromCounter({
        name,
        help,
        labelNames: Object.keys(labels),
        registers: [registry],
        collect() {
          this.reset();
          this.inc(labels, read());
        },
      });
    },
    histogram(name, help, bucketsSeconds = defaultBucketsSeconds) {
      const histogram = new PromHistogram({ name, help, buckets: bucketsSeconds, registers: [registry] });
      return { observe: (seconds) => histogram.observe(seconds) };
    },
    text: () => registry.metrics(),
  };
}

function existing<Metric>(registry: Registry, name: string): Metric | undefined {
  return registry.getSingleMetric(name) as Metric | undefined;
}

/** Figures of this process, for `/metrics`, `/stats` and stats.log. */
export interface ProcessFigures {
  rssBytes: number;
  heapBytes: number;
  openFiles: number;
  cpuUserSeconds: number;
  cpuSystemSeconds: number;
  /** 99th percentile of event-loop delay since the start, in seconds. */
  eventLoopLagSeconds: number;
}

const delay = monitorEventLoopDelay({ resolution: 10 });

export function readProcessFigures(): ProcessFigures {
  delay.enable();
  const cpu = process.cpuUsage();
  return {
    rssBytes: residentBytes(),
    heapBytes: process.memoryUsage().heapUsed,
    openFiles: countOpenFiles(),
    cpuUserSeconds: cpu.user / 1e6,
    cpuSystemSeconds: cpu.system / 1e6,
    eventLoopLagSeconds: Number.isFinite(delay.percentile(99)) ? delay.percentile(99) / 1e9 : 0,
  };
}

const PAGE_BYTES = 4096;

function residentBytes(): number {
  try {
    return Number(readFileSync("/proc/self/statm", "latin1").split(" ")[1]) * PAGE_BYTES;
  } catch {
    return process.memoryUsage().rss;
  }
}

function countOpenFiles(): number {
  try {
    return readdirSync("/proc/self/fd").length;
  } catch {
    return 0;
  }
}

/** Registers the process' figures and the build, once per instance. */
export function addProcessMetrics(metrics: Metrics): void {
  metrics.gauge("process_resident_memory_bytes", "Resident memory.", () => readProcessFigures().rssBytes);
  metrics.gauge("node_x_heap_used_bytes", "JavaScript heap in use.", () => readProcessFigures().heapBytes);
  metrics.gauge("process_open_fds", "Open file descriptors.", () => readProcessFigures().openFiles);
  metrics.counterFrom("process_cpu_user_seconds_total", "CPU time in user mode.", () => readProcessFigures().cpuUserSeconds);
  metrics.counterFrom("process_cpu_system_seconds_total", "CPU time in the kernel.", () => readProcessFigures().cpuSystemSeconds);
  metrics.gauge("node_x_event_loop_lag_p99_seconds", "99th percentile of event-loop delay since the start.", () => readProcessFigures().eventLoopLagSeconds);
  metrics.gauge("node_x_build_info", "Always 1; the labels tell the build.", () => 1, {
    version: buildInfo.version,
    commit: buildInfo.commit,
    bun: buildInfo.bun,
  });
}
