/** What a worker tells Prometheus. Names are in the hub's table of figures, too (src/hub/figures.ts). */
import type { Metrics } from "../../core/metrics.ts";
import type { Worker } from "./worker.ts";

/** Records by source, step and sink, with quantiles of those that the metrics pages show. */
function addMeters(metrics: Metrics, worker: Worker): void {
  for (const meter of worker.engine.meters.all) {
    const { kind, name, latency } = meter;
    metrics.counterFrom(
      `node_x_worker_${kind}_records_total`,
      `Records of each ${kind}.`,
      () => meter.records,
      { [kind]: name },
    );
    for (const percent of [50, 99, 99.9]) {
      metrics.gauge(
        `node_x_worker_${kind}_latency_seconds`,
        `How long records of each ${kind} took since the start: upper limits of bins of powers of two.`,
        () => latency.percentileNs(percent) / 1e9,
        { [kind]: name, percentile: String(percent) },
      );
    }
  }
}

export function addMetrics(metrics: Metrics, worker: Worker): void {
  const { engine, stateLog, deadLetters } = worker;
  const counter = (name: string, help: string, read: () => number) =>
    metrics.counterFrom(`node_x_worker_${name}`, help, read);
  const gauge = (name: string, help: string, read: () => number) =>
    metrics.gauge(`node_x_worker_${name}`, help, read);
  counter("records_in_total", "Records taken from sources.", () => engine.recordsIn);
  counter("records_out_total", "Records given to sinks.", () => engine.recordsOut);
  counter("dead_letters_total", "Records that could not be decoded or processed.", () =>
    Object.values(deadLetters.counts).reduce((sum, count) => sum + count, 0),
  );
  counter("late_records_total", "Records that came after their windows had fired.", () =>
    [...engine.windows.values()].reduce((sum, { lateRecords }) => sum + lateRecords, 0),
  );
  counter(
    "congested_seconds_total",
    "Time in which this worker let all sources rest.",
    () => worker.runtime.stats.congestedMs / 1000,
  );
  gauge("keys", "Keys that have a state here.", () =>
    [...engine.stores.values()].reduce((sum, { size }) => sum + size, 0),
  );
  gauge("epoch", "Goes up with each failure that the cluster went back for.", () => worker.runtime.epoch);
  gauge("checkpoint", "The newest committed checkpoint.", () => stateLog.committed.id);
  gauge("checkpoint_bytes", "What the newest checkpoint wrote.", () => stateLog.figures.lastCheckpointBytes);
  gauge("state_log_bytes", "The state log behind its newest snapshot.", () => stateLog.figures.logBytes);
  if (worker.isInitializer) {
    gauge(
      "checkpoint_age_seconds",
      "Since the newest checkpoint of the cluster was committed.",
      () => (worker.leader?.status.checkpointAgeMs ?? Number.NaN) / 1000,
    );
  }
  addMeters(metrics, worker);
}
