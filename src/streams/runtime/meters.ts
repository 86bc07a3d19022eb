/**
 * How many records each source, step and sink of an engine had, and how long they took.
 *
 * Every record is counted. Steps are timed for some records only, the first of each run and one in SAMPLED_ONE_IN behind it:
 * two looks at the clock cost more than most steps do. A step's time is its own, without that of the steps behind it. A
 * record of a source or a sink counts as long as its run, from being read until what it caused was handed over.
 *
 * Invariant: measuring changes nothing but these figures; a step that throws leaves at most its own time out.
 */
import { LatencyHistogram } from "./latency.ts";

export type MeterKind = "source" | "step" | "sink";

export interface Meter {
  readonly kind: MeterKind;
  readonly name: string;
  /** Place in the plan, for sorting. */
  readonly position: number;
  records: number;
  /** Of steps a sample of the records, else all of them. */
  readonly latency: LatencyHistogram;
}

const SAMPLED_ONE_IN = 128;

type Push = (value: unknown, key: string) => void;

export class Meters {
  readonly all: Meter[] = [];
  readonly #now: () => number;
  #untilSample = 0;
  #isSampled = false;
  /** Time in the steps behind the one that is measured. */
  #behindMs = 0;
  /** By sink: the records before the present run. */
  readonly #sinksBefore = new Map<Meter, number>();

  /** `now`: monotonic milliseconds. */
  constructor(now: () => number) {
    this.#now = now;
  }

  add(kind: MeterKind, name: string, position: number): Meter {
    const known = this.all.find((meter) => meter.kind === kind && meter.name === name);
    if (known !== undefined) return known;
    const meter: Meter = { kind, name, position, records: 0, latency: new LatencyHistogram() };
    this.all.push(meter);
    return meter;
  }

  /** To be called before each record. */
  begin(): void {
    this.#isSampled = this.#untilSample-- <= 0;
    if (!this.#isSampled) return;
    this.#untilSample = SAMPLED_ONE_IN - 1;
    this.#behindMs = 0;
  }

  /** The step `push`, counted and timed. */
  measured(meter: Meter, push: Push): Push {
    return (value, key) => {
      meter.records += 1;
      if (!this.#isSampled) {
        push(value, key);
        return;
      }
      const startedMs = this.#now();
      const outerMs = this.#behindMs;
      this.#behindMs = 0;
      push(value, key);
      const tookMs = this.#now() - startedMs;
      meter.latency.record(1, tookMs - this.#behindMs);
      this.#behindMs = outerMs + tookMs;
    };
  }

  /** A run has ended and its output was handed over; `source`: where its records came from, if not from a worker. */
  endRun(startedMs: number, source?: { name: string; records: number }): void {
    this.#untilSample = 0;
    const tookMs = this.#now() - startedMs;
    for (const meter of this.all) {
      if (meter.kind === "sink") {
        meter.latency.record(meter.records - (this.#sinksBefore.get(meter) ?? 0), tookMs);
        this.#sinksBefore.set(meter, meter.records);
      } else if (meter.kind === "source" && meter.name === source?.name) {
        meter.records += source.records;
        meter.latency.record(source.records, tookMs);
      }
    }
  }

  /** Records and percentiles in nanoseconds, for `/stats`. */
  get figures(): Record<MeterKind, Record<string, Record<string, number>>> {
    const of = (kind: MeterKind) =>
      Object.fromEntries(
        this.all
          .filter((meter) => meter.kind === kind)
          .map(({ name, records, latency }) => [name, { records, ...latency.percentiles }]),
      );
    return { source: of("source"), step: of("step"), sink: of("sink") };
  }
}
