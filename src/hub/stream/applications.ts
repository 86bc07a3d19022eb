/**
 * What stream applications told in the last five minutes, as tables: pipelines, workers, sources, computations, sinks.
 *
 * A pipeline is the sum over workers of start-to-end, a worker that of node-ingress-egress over its pipelines, a computation that
 * over all workers. The protocol has no sources and sinks: our workers tell them as computations called `source NAME` and
 * `sink NAME`; of others, a source is what a pipeline took in. Percentiles are upper limits of bins, which hold powers of two.
 *
 * Invariant: whatever is told, applications, rows and seconds that are kept are bounded; the oldest go.
 */
import type { Clock } from "../../core/seams/clock.ts";
import { HISTOGRAM_BINS, type MetricsEntry } from "../../streams/client/metrics.ts";
import { latencyGroups } from "../latency-groups.ts";
import {
  type StreamApplication,
  streamFigure,
  streamInstance,
  type StreamRow,
  type Throughput,
} from "../messages.ts";

export const WINDOW_SECONDS = 300;
const APPLICATIONS_MAX = 50;
const ROWS_MAX = 1000;
const NAME_LENGTH_MAX = 200;
/** A reporter's clock that is further off than this is not believed. */
const SKEW_SECONDS_MAX = 600;
/** The newest seconds are still being told. */
const SETTLING_SECONDS = 4;
const PERCENTILES = [0.5, 0.95, 0.99, 0.999, 0.9999];

const tableNames = ["pipelines", "workers", "computations", "sources", "sinks", "parts"] as const;
type TableName = (typeof tableNames)[number];

interface Told {
  second: number;
  seconds: number;
  count: number;
  /** Bin and count of those bins that have samples. */
  bins: [bin: number, count: number][];
}

/** Everything that one row is made of. */
class Tally {
  readonly of: string[] | undefined;
  told: Told[] = [];

  constructor(of?: string[]) {
    this.of = of;
  }

  add(told: Told): void {
    this.told.push(told);
  }

  forget(beforeSecond: number): void {
    if ((this.told[0]?.second ?? beforeSecond) >= beforeSecond) return;
    this.told = this.told.filter(({ second }) => second >= beforeSecond);
  }

  /** Messages in one second. */
  countIn(second: number): number {
    return this.told.reduce(
      (sum, told) =>
        told.second <= second && second < told.second + told.seconds ? sum + told.count / told.seconds : sum,
      0,
    );
  }

  row(name: string, nowSecond: number): StreamRow {
    const bins = new Float64Array(HISTOGRAM_BINS);
    for (const { bins: own } of this.told)
      for (const [bin, count] of own) bins[bin] = (bins[bin] ?? 0) + count;
    const total = bins.reduce((sum, count) => sum + count, 0);
    const history = this.#perSecond(nowSecond);
    return {
      name,
      ...(this.of !== undefined && { of: this.of }),
      percentilesNs: PERCENTILES.map((share) => percentile(bins, total, share)),
      groups: groupsOf(bins, total),
      throughput: throughputOf(history),
      history,
      untilMs: (nowSecond - SETTLING_SECONDS) * 1000,
    };
  }

  throughput(nowSecond: number): Throughput {
    return throughputOf(this.#perSecond(nowSecond));
  }

  /** From the first second that was told to the last one that is settled; nothing told is 0. */
  #perSecond(nowSecond: number): number[] {
    const first = this.told.reduce((least, { second }) => Math.min(least, second), Number.POSITIVE_INFINITY);
    const length = Math.max(0, Math.min(WINDOW_SECONDS, nowSecond - SETTLING_SECONDS - first));
    if (!Number.isFinite(length)) return [];
    const counts = new Array<number>(length).fill(0);
    for (const { second, seconds, count } of this.told)
      for (let step = 0; step < seconds; step++) {
        const at = second + step - first;
        if (at >= 0 && at < length) counts[at] = (counts[at] ?? 0) + count / seconds;
      }
    return counts;
  }
}

function throughputOf(perSecond: readonly number[]): Throughput {
  const sorted = perSecond.toSorted((a, b) => a - b);
  return { min: sorted[0] ?? 0, median: sorted[sorted.length >> 1] ?? 0, max: sorted.at(-1) ?? 0 };
}

/** Upper limit of the bin in which the share of samples ends, in nanoseconds; null without samples. */
export function percentile(bins: ArrayLike<number>, total: number, share: number): number | null {
  if (total === 0) return null;
  let seen = 0;
  for (let bin = 0; bin < bins.length; bin++) {
    seen += bins[bin] as number;
    if (seen >= share * total) return bin === 0 ? 0 : 2 ** bin;
  }
  return 2 ** (bins.length - 1);
}

function groupsOf(bins: ArrayLike<number>, total: number): number[] {
  let bin = 0;
  return latencyGroups.map(({ lastBin }) => {
    let count = 0;
    for (; bin <= lastBin && bin < bins.length; bin++) count += bins[bin] as number;
    return total === 0 ? 0 : (100 * count) / total;
  });
}

class Application {
  readonly tables: Record<TableName, Map<string, Tally>> = {
    pipelines: new Map(),
    workers: new Map(),
    computations: new Map(),
    sources: new Map(),
    sinks: new Map(),
    parts: new Map(),
  };
  readonly workers = new Map<string, number>();
  toldAtSecond = 0;

  add(entry: MetricsEntry, told: Told): void {
    this.toldAtSecond = told.second;
    if (this.workers.size < ROWS_MAX || this.workers.has(entry.worker))
      this.workers.set(entry.worker, told.second);
    const [table, name] = placeOf(entry);
    this.#add(table, name, told);
    const part = partOf(entry, name);
    if (part !== undefined) this.#add("parts", part.name, told, part.of);
  }

  #add(table: TableName, name: string, told: Told, of?: string[]): void {
    const tallies = this.tables[table];
    let tally = tallies.get(name);
    if (tally === undefined) {
      if (tallies.size >= ROWS_MAX) return;
      tally = new Tally(of);
      tallies.set(name, tally);
    }
    tally.add(told);
  }

  forget(beforeSecond: number): void {
    for (const [worker, second] of this.workers) if (second < beforeSecond) this.workers.delete(worker);
    for (const name of tableNames)
      for (const [row, tally] of this.tables[name]) {
        tally.forget(beforeSecond);
        if (tally.told.length === 0) this.tables[name].delete(row);
      }
  }
}

/** The table and row that an entry belongs to. */
function placeOf({ category, name, worker, pipeline }: MetricsEntry): [TableName, string] {
  const cut = (text: string) => text.slice(0, NAME_LENGTH_MAX);
  switch (category) {
    case "start-to-end":
      return ["pipelines", cut(pipeline)];
    case "node-ingress-egress":
      return ["workers", cut(worker)];
    case "pipeline-ingestion":
      return ["sources", cut(pipeline)];
    case "computation": {
      const step = name.slice(name.lastIndexOf(":") + 1);
      const end = /^(source|sink) (.+)$/.exec(step);
      if (end !== null) return [`${end[1] as "source" | "sink"}s`, cut(`${pipeline}: ${end[2]}`)];
      return ["computations", cut(`${pipeline}: ${step}`)];
    }
  }
}

/** The part of a row that one worker has in it, or one pipeline; sources are told as a whole. */
function partOf(
  { category, worker, pipeline }: MetricsEntry,
  row: string,
): { name: string; of: string[] } | undefined {
  const cut = (text: string) => text.slice(0, NAME_LENGTH_MAX);
  if (category === "pipeline-ingestion") return undefined;
  if (category === "node-ingress-egress")
    return { name: cut(`${pipeline} through ${worker}`), of: [row, pipeline] };
  const of = category === "computation" ? [row, pipeline, worker] : [row, worker];
  return { name: cut(`${row} on ${worker}`), of };
}

export class StreamApplications {
  readonly #clock: Clock;
  readonly #applications = new Map<string, Application>();
  #forgottenAtSecond = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  #nowSecond(): number {
    return Math.floor(this.#clock.nowMs() / 1000);
  }

  add(name: string, entry: MetricsEntry): void {
    const nowSecond = this.#nowSecond();
    const endSecond = Number(entry.periodEndNs / 1_000_000_000n);
    const seconds = Math.min(60, Math.max(1, Math.round(entry.periodNs / 1e9)));
    const isBelieved = Math.abs(endSecond - nowSecond) <= SKEW_SECONDS_MAX;
    const second = (isBelieved ? endSecond : nowSecond) - seconds;
    const bins = entry.histogram.flatMap((count, bin): [number, number][] =>
      count > 0 ? [[bin, count]] : [],
    );
    const count = bins.reduce((sum, [, each]) => sum + each, 0);
    this.#application(name.slice(0, NAME_LENGTH_MAX))?.add(entry, { second, seconds, count, bins });
    this.#forget(nowSecond);
  }

  #application(name: string): Application | undefined {
    const known = this.#applications.get(name);
    if (known !== undefined) return known;
    if (this.#applications.size >= APPLICATIONS_MAX) return undefined;
    const application = new Application();
    this.#applications.set(name, application);
    return application;
  }

  #forget(nowSecond: number): void {
    if (nowSecond === this.#forgottenAtSecond) return;
    this.#forgottenAtSecond = nowSecond;
    for (const [name, application] of this.#applications) {
      application.forget(nowSecond - WINDOW_SECONDS);
      if (application.workers.size === 0) this.#applications.delete(name);
    }
  }

  get count(): number {
    this.#forget(this.#nowSecond());
    return this.#applications.size;
  }

  /** Messages of each pipeline in the newest second that is settled, for graphs beyond the window; by application. */
  rates(): Map<string, Map<string, number>> {
    const second = this.#nowSecond() - SETTLING_SECONDS - 1;
    const found = new Map<string, Map<string, number>>();
    for (const [name, { tables }] of this.#applications) {
      const pipelines = [...tables.pipelines].map(
        ([pipeline, tally]) => [streamFigure(pipeline), tally.countIn(second)] as const,
      );
      found.set(streamInstance(name), new Map(pipelines));
    }
    return found;
  }

  /** The tables of every application that told something in the window. */
  tables(): StreamApplication[] {
    const nowSecond = this.#nowSecond();
    this.#forget(nowSecond);
    return [...this.#applications].map(([name, { tables, workers }]) => {
      const rows = (table: TableName) =>
        [...tables[table]]
          .map(([row, tally]) => tally.row(row, nowSecond))
          .sort((a, b) => a.name.localeCompare(b.name));
      return {
        name,
        workers: [...workers.keys()].sort(),
        tables: {
          pipelines: rows("pipelines").map((row) => withIncoming(row, tables.sources, nowSecond)),
          workers: rows("workers"),
          computations: rows("computations"),
          sources: withoutSums(rows("sources")),
          sinks: rows("sinks"),
          parts: rows("parts"),
        },
      };
    });
  }
}

/** A pipeline's row, with what the pipeline took in as far as that is told. */
function withIncoming(row: StreamRow, sources: Map<string, Tally>, nowSecond: number): StreamRow {
  const incoming = sources.get(row.name)?.throughput(nowSecond);
  return incoming === undefined ? row : { ...row, incoming };
}

/** What a pipeline took in as a whole is left out where its sources are told one by one. */
function withoutSums(sources: StreamRow[]): StreamRow[] {
  return sources.filter(({ name }) => !sources.some((other) => other.name.startsWith(`${name}: `)));
}
