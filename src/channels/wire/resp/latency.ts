/**
 * The latency monitor: the slowest recent occurrences of named events, for LATENCY LATEST, HISTORY and
 * DOCTOR.
 *
 * The role reports durations (`record`); those below `thresholdMs` are dropped, and a threshold of 0 switches
 * the monitor off, as `latency-monitor-threshold` does in Redis. Kept in memory, 160 samples per event.
 */
import type { AdminCall } from "./host.ts";
import type { ReplyWriter } from "./reply.ts";

const SAMPLES_MAX = 160;

interface Sample {
  timeSeconds: number;
  durationMs: number;
}

export class LatencyMonitor {
  thresholdMs = 0;
  readonly #events = new Map<string, { samples: Sample[]; maxMs: number }>();

  record(event: string, durationMs: number, nowMs: number): void {
    if (this.thresholdMs === 0 || durationMs < this.thresholdMs) return;
    const timeSeconds = Math.floor(nowMs / 1000);
    const whole = Math.floor(durationMs);
    const known = this.#events.get(event) ?? { samples: [], maxMs: 0 };
    this.#events.set(event, known);
    known.maxMs = Math.max(known.maxMs, whole);
    const last = known.samples.at(-1);
    // One sample per second: the worst.
    if (last?.timeSeconds === timeSeconds) last.durationMs = Math.max(last.durationMs, whole);
    else known.samples.push({ timeSeconds, durationMs: whole });
    if (known.samples.length > SAMPLES_MAX) known.samples.shift();
  }

  events(): { event: string; samples: Sample[]; maxMs: number }[] {
    return [...this.#events].map(([event, { samples, maxMs }]) => ({ event, samples, maxMs }));
  }

  /** Forgets the named events, or all; returns how many there were. */
  reset(names: string[]): number {
    if (names.length > 0) return names.filter((name) => this.#events.delete(name)).length;
    const count = this.#events.size;
    this.#events.clear();
    return count;
  }
}

export function latencyCommand({ host, words }: AdminCall, reply: ReplyWriter): void {
  const events = host.latency.events();
  switch (words[1]?.toString().toLowerCase()) {
    case "latest":
      reply.array(events.length);
      for (const { event, samples, maxMs } of events) {
        const last = samples.at(-1) as Sample;
        reply.array(4).bulk(event).integer(last.timeSeconds).integer(last.durationMs).integer(maxMs);
      }
      return;
    case "history": {
      const samples = events.find(({ event }) => event === words[2]?.toString())?.samples ?? [];
      reply.array(samples.length);
      for (const sample of samples) reply.array(2).integer(sample.timeSeconds).integer(sample.durationMs);
      return;
    }
    case "reset":
      reply.integer(host.latency.reset(words.slice(2).map(String)));
      return;
    case "doctor":
      reply.verbatim(report(host.latency));
      return;
    default:
      reply.help("LATENCY", [
        "DOCTOR",
        "    A report for people.",
        "HISTORY <event>",
        "    Samples of one event: time in seconds, duration in milliseconds.",
        "LATEST",
        "    For each event: time of the last sample, its duration, the longest duration.",
        "RESET [<event> ...]",
        "    Forget the samples of these events, or of all.",
      ]);
  }
}

function report(monitor: LatencyMonitor): string {
  if (monitor.thresholdMs === 0) {
    return "Latency monitoring is off. Set latency-monitor-threshold to the milliseconds from which to record.\n";
  }
  const events = monitor.events();
  if (events.length === 0) return `No event took ${monitor.thresholdMs} ms or longer.\n`;
  const lines = events.map(({ event, samples, maxMs }) => {
    const mean = samples.reduce((sum, { durationMs }) => sum + durationMs, 0) / samples.length;
    return `${event}: ${samples.length} samples, mean ${mean.toFixed(1)} ms, worst ${maxMs} ms\n`;
  });
  return `Events of ${monitor.thresholdMs} ms or longer:\n${lines.join("")}`;
}
