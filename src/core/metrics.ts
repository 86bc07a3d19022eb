/**
 * An instance's metrics, as Prometheus text.
 *
 * Figures that the hot path keeps anyway (in C, in plain fields) are read at the scrape: counting costs nothing
 * between scrapes. The process' own figures are ours, because prom-client's defaults mislead under Bun.
 *
 * Invariant: a reader that fails costs its own series (it is then absent) and never the scrape.
 */
import { Counter as PromCounter, Gauge, Histogram as PromHistogram, Registry } from "prom-client";
import { buildInfo } from "./build-info.ts";
import type { ProcessMeter } from "./kernel/process-meter.ts";

export { readProcessFigures, type ProcessFigures } from "./kernel/process-meter.ts";

export interface Counter {
  increment(by?: number): void;
}

export interface Histogram {
  observe(seconds: number): void;
}

export type MetricLabels = Record<string, string>;

/** One name may be declared several times with different values of the same labels. */
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
  /** Forgets every metric: what they read is going. */
  clear(): void;
}

const defaultBucketsSeconds = [0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 1];

interface Reader {
  labels: MetricLabels;
  read(): number;
}

export function createMetrics(instance: string, role: string): Metrics {
  const registry = new Registry();
  registry.setDefaultLabels({ instance, role });
  const readers = new Map<string, Reader[]>();

  /** Adds a series to `name`; true when it is the first, whose metric is then to be made. */
  const addReader = (name: string, reader: Reader): boolean => {
    const known = readers.get(name);
    if (known !== undefined) known.push(reader);
    else readers.set(name, [reader]);
    return known === undefined;
  };
  const collect = (name: string, set: (labels: MetricLabels, value: number) => void) => {
    for (const { labels, read } of readers.get(name) ?? []) {
      try {
        set(labels, read());
      } catch {
        // This series is absent from the scrape.
      }
    }
  };

  return {
    contentType: registry.contentType,
    counter(name, help, labels = {}) {
      const known = registry.getSingleMetric(name) as PromCounter | undefined;
      const counter =
        known ?? new PromCounter({ name, help, labelNames: Object.keys(labels), registers: [registry] });
      const child = counter.labels(labels);
      return { increment: (by = 1) => child.inc(by) };
    },
    gauge(name, help, read, labels = {}) {
      if (!addReader(name, { labels, read })) return;
      new Gauge({
        name,
        help,
        labelNames: Object.keys(labels),
        registers: [registry],
        collect() {
          this.reset();
          collect(name, (own, value) => this.set(own, value));
        },
      });
    },
    counterFrom(name, help, read, labels = {}) {
      if (!addReader(name, { labels, read })) return;
      new PromCounter({
        name,
        help,
        labelNames: Object.keys(labels),
        registers: [registry],
        collect() {
          this.reset();
          collect(name, (own, value) => this.inc(own, value));
        },
      });
    },
    histogram(name, help, bucketsSeconds = defaultBucketsSeconds) {
      const histogram = new PromHistogram({ name, help, buckets: bucketsSeconds, registers: [registry] });
      return { observe: (seconds) => histogram.observe(seconds) };
    },
    text: () => registry.metrics(),
    clear: () => registry.clear(),
  };
}

/** Registers the process' figures and the build, once per instance. */
export function addProcessMetrics(metrics: Metrics, meter: ProcessMeter): void {
  metrics.gauge("process_resident_memory_bytes", "Resident memory.", () => meter.read().rssBytes);
  metrics.gauge("process_virtual_memory_bytes", "Address space in use.", () => meter.read().virtualBytes);
  metrics.gauge("node_x_heap_used_bytes", "JavaScript heap in use.", () => meter.read().heapBytes);
  metrics.gauge("process_open_fds", "Open file descriptors.", () => meter.read().openFiles);
  metrics.counterFrom(
    "process_cpu_user_seconds_total",
    "CPU time in user mode.",
    () => meter.read().cpuUserSeconds,
  );
  metrics.counterFrom(
    "process_cpu_system_seconds_total",
    "CPU time in the kernel.",
    () => meter.read().cpuSystemSeconds,
  );
  metrics.gauge(
    "node_x_event_loop_lag_p99_seconds",
    "99th percentile of event-loop delay over the last one to two minutes.",
    () => meter.read().eventLoopLagSeconds,
  );
  metrics.gauge(
    "node_x_event_loop_lag_max_seconds",
    "Longest event-loop delay over the last one to two minutes.",
    () => meter.read().eventLoopLagMaxSeconds,
  );
  metrics.gauge("node_x_build_info", "Always 1; the labels tell the build.", () => 1, {
    version: buildInfo.version,
    commit: buildInfo.commit,
    bun: buildInfo.bun,
  });
}
