/**
 * Tells a hub how long this worker's records take, in the original's metrics protocol (wire/metrics.ts).
 *
 * Every two seconds in which something happened, what the histograms gained since the last time goes out. The protocol has
 * no words for single sources and sinks: they are told as computations called `source NAME` and `sink NAME`. Without a
 * connection it is thrown away: measuring never holds up what is measured.
 *
 * Invariant: nothing is told twice, and what was not told is not told later.
 */
import type { Timer } from "../../core/seams/clock.ts";
import type { World } from "../../core/role.ts";
import { Redial } from "../../core/sockets/redial.ts";
import type { Meter } from "../runtime/meters.ts";
import type { Address } from "../sender/line.ts";
import {
  HISTOGRAM_BINS,
  metricsFrame,
  PERIOD_NS,
  type MetricCategory,
  type MetricsEntry,
  type MetricsMessage,
} from "../wire/metrics.ts";

export interface ReporterOptions {
  world: Pick<World, "net" | "clock">;
  hub: Address;
  app: string;
  worker: string;
  /** Counts by bin since the start, from a record's coming in to what it caused going out. */
  bins(): readonly number[];
  /** Of sources, steps and sinks. */
  meters(): readonly Meter[];
  /** Records that came in from outside since the start. */
  recordsIn(): number;
}

const RETRY_MS = 250;
const UNSENT_BYTES_MAX = 1 << 20;
const PERIOD_MS = PERIOD_NS / 1e6;

export class MetricsReporter {
  readonly #options: ReporterOptions;
  readonly #periodTimer: Timer;
  readonly #redial: Redial;
  #binsBefore = new Array<number>(HISTOGRAM_BINS).fill(0);
  #recordsBefore = 0;
  readonly #metersBefore = new Map<Meter, { records: number; bins: number[] }>();
  periods = 0;

  constructor(options: ReporterOptions) {
    this.#options = options;
    this.#periodTimer = options.world.clock.every(PERIOD_MS, () => this.#report());
    const { world, hub, app, worker } = options;
    this.#redial = new Redial({
      ...{ world, address: () => hub, retryMs: RETRY_MS, outbox: { bytesMax: UNSENT_BYTES_MAX } },
      onOpen: () => {
        this.#send({ type: "connect" });
        this.#send({ type: "join", topic: `metrics:${app}`, worker });
      },
      onData: () => {},
      onDown: () => {},
    });
    this.#redial.dial();
  }

  #send(message: MetricsMessage): void {
    this.#redial.outbox?.send(metricsFrame(message));
  }

  get isConnected(): boolean {
    return this.#redial.outbox !== undefined;
  }

  #report(): void {
    const { bins, recordsIn, app, worker } = this.#options;
    const now = [...bins()];
    const gained = now.map((count, bin) => count - (this.#binsBefore[bin] ?? 0));
    this.#binsBefore = now;
    const records = recordsIn() - this.#recordsBefore;
    this.#recordsBefore += records;
    for (const meter of this.#options.meters()) this.#reportMeter(meter);
    if (records === 0 && gained.every((count) => count === 0)) return;
    this.periods++;
    this.#tell("start-to-end", `${app}@${worker}`, gained);
    this.#tell("node-ingress-egress", `${app}*${worker}`, gained);
    // Input is only counted: its latency is 0.
    this.#tell("pipeline-ingestion", `${app}@${worker}`, [records]);
  }

  #reportMeter(meter: Meter): void {
    const { app, worker } = this.#options;
    const { kind, name, position, records, latency } = meter;
    const before = this.#metersBefore.get(meter) ?? { records: 0, bins: [] };
    const bins = [...latency.bins];
    this.#metersBefore.set(meter, { records, bins });
    if (records === before.records) return;
    const gained = bins.map((count, bin) => count - (before.bins[bin] ?? 0));
    const computation = kind === "step" ? name : `${kind} ${name}`;
    const histogram = stretched(gained, bins, records - before.records);
    this.#tell("computation", `${app}@${worker}:${computation}`, histogram, position);
  }

  #tell(category: MetricCategory, name: string, histogram: number[], id = 0): void {
    const { app, worker, world } = this.#options;
    const first = histogram.findIndex((count) => count > 0);
    const entry: MetricsEntry = {
      ...{ name, category, worker, pipeline: app, id, periodNs: PERIOD_NS },
      histogram,
      minNs: first <= 0 ? 0 : 2 ** (first - 1),
      maxNs:
        2 **
          Math.max(
            0,
            histogram.findLastIndex((count) => count > 0),
          ) -
        1,
      periodEndNs: BigInt(Math.round(world.clock.nowMs())) * 1_000_000n,
    };
    this.#send({ type: "payload", event: "metrics", topic: `metrics:${app}`, entry });
  }

  close(): void {
    this.#periodTimer.cancel();
    this.#redial.end();
  }
}

/** A sample's histogram as if it were of `total` records; without a sample, `usual` stands for it. */
function stretched(sample: readonly number[], usual: readonly number[], total: number): number[] {
  const sum = (bins: readonly number[]) => bins.reduce((all, count) => all + count, 0);
  const shape = sum(sample) > 0 ? sample : usual;
  const shapeTotal = sum(shape);
  const bins = shape.map((count) => (shapeTotal === 0 ? 0 : Math.floor((count * total) / shapeTotal)));
  const fullest = bins.indexOf(Math.max(...bins));
  bins[fullest] = (bins[fullest] as number) + total - sum(bins);
  return bins;
}
