/**
 * What a load run counts while it runs: requests, replies, latencies by operation, errors by text.
 *
 * Invariant: `requests` = `replies` + what is in flight + `lost`. A run in which that does not hold at its end is
 * reported as failed. Recording a reply allocates nothing.
 */
import { LatencyHistogram } from "./histogram.ts";
import { Timeline } from "./timeline.ts";

/** Different error texts kept; a server that invents a text for each reply must not take our memory. */
const ERROR_TEXTS_MAX = 50;
const OTHER_ERRORS = "(other errors)";

export class Recorder {
  readonly operations: readonly string[];
  readonly startMs: number;
  readonly timeline: Timeline;
  readonly errors = new Map<string, number>();
  readonly #histograms: LatencyHistogram[];
  requests = 0;
  replies = 0;
  /** Requests whose connection ended before their reply. */
  lost = 0;
  /** Reads that found nothing. */
  misses = 0;
  /** Replies compared with what was written. */
  verified = 0;
  /** Replies that were not what was written. */
  mismatches = 0;
  bytesSent = 0;
  bytesReceived = 0;

  constructor(operations: readonly string[], startMs: number) {
    this.operations = operations;
    this.startMs = startMs;
    this.timeline = new Timeline(startMs);
    this.#histograms = operations.map(() => new LatencyHistogram());
  }

  /** A reply to a request of the operation with this index. */
  reply(operation: number, latencyMs: number): void {
    this.replies += 1;
    (this.#histograms[operation] as LatencyHistogram).record(latencyMs);
  }

  error(text: string, count = 1): void {
    const isKnown = this.errors.has(text) || this.errors.size < ERROR_TEXTS_MAX;
    const key = isKnown ? text : OTHER_ERRORS;
    this.errors.set(key, (this.errors.get(key) ?? 0) + count);
  }

  get errorsTotal(): number {
    return [...this.errors.values()].reduce((sum, count) => sum + count, 0);
  }

  histogramOf(operation: number): LatencyHistogram {
    return this.#histograms[operation] as LatencyHistogram;
  }

  /** All operations together. */
  latency(): LatencyHistogram {
    const all = new LatencyHistogram();
    for (const histogram of this.#histograms) all.add(histogram);
    return all;
  }
}
