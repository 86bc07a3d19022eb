/**
 * The result of a load run as one plain object: what `--json` writes, what the table and the chart show.
 *
 * Invariant: every figure comes from the recorder; `succeeded` is true only when each request has exactly one reply
 * and none of them was an error or differed from what was written.
 */
import type { LatencySummary, PercentilePoint } from "./histogram.ts";
import type { Recorder } from "./recorder.ts";
import type { TimelinePoint } from "./timeline.ts";

export interface OperationReport {
  operation: string;
  requestsPerSecond: number;
  latency: LatencySummary;
}

export interface LoadReport {
  /** The layout of this object; raised when a figure changes its meaning. */
  reportVersion: 1;
  tool: string;
  /** ISO 8601, UTC. */
  startedAt: string;
  target: { address: string; server: string };
  /** The options that shaped the run, defaults included; no secrets. */
  options: Record<string, string | number | boolean>;
  succeeded: boolean;
  seconds: number;
  requests: number;
  replies: number;
  lost: number;
  misses: number;
  verified: number;
  mismatches: number;
  requestsPerSecond: number;
  bytesSentPerSecond: number;
  bytesReceivedPerSecond: number;
  latency: LatencySummary;
  operations: OperationReport[];
  /** Number of error replies and broken connections, by text. */
  errors: Record<string, number>;
  /** The generator's own share of one CPU. Near 1: it, not the server, may be what limits the throughput. */
  generatorCpuShare: number;
  curve: PercentilePoint[];
  timeline: TimelinePoint[];
}

export interface RunFacts {
  tool: string;
  startedAtMs: number;
  address: string;
  server: string;
  options: LoadReport["options"];
  endMs: number;
  generatorCpuSeconds: number;
}

export function buildReport(recorder: Recorder, facts: RunFacts): LoadReport {
  const seconds = Math.max(0.001, (facts.endMs - recorder.startMs) / 1000);
  const latency = recorder.latency();
  const { requests, replies, lost, misses, verified, mismatches } = recorder;
  return {
    reportVersion: 1,
    tool: facts.tool,
    startedAt: new Date(facts.startedAtMs).toISOString(),
    target: { address: facts.address, server: facts.server },
    options: facts.options,
    succeeded: requests > 0 && requests === replies && recorder.errors.size === 0 && mismatches === 0,
    seconds,
    requests,
    replies,
    lost,
    misses,
    verified,
    mismatches,
    requestsPerSecond: replies / seconds,
    bytesSentPerSecond: recorder.bytesSent / seconds,
    bytesReceivedPerSecond: recorder.bytesReceived / seconds,
    latency: latency.summary(),
    operations: recorder.operations.flatMap((operation, index) => {
      const histogram = recorder.histogramOf(index);
      if (histogram.count === 0) return [];
      return [{ operation, requestsPerSecond: histogram.count / seconds, latency: histogram.summary() }];
    }),
    errors: Object.fromEntries(recorder.errors),
    generatorCpuShare: facts.generatorCpuSeconds / seconds,
    curve: latency.curve(),
    timeline: recorder.timeline.points(facts.endMs),
  };
}
