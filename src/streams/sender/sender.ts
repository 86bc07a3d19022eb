/**
 * All connections of one sender: started stage by stage, watched, summed up.
 *
 * Invariant: `onDone` comes once, after every line of every stage is done.
 */
import type { World } from "../../core/role.ts";
import type { Log } from "../../core/logging/log.ts";
import { LatencyHistogram, type LatencySummary } from "../../core/load/histogram.ts";
import { AckedLine } from "./acked-line.ts";
import type { SendingConfig } from "./config.ts";
import type { Line, LineFigures } from "./line.ts";
import { planLines, type PlannedLine } from "./plan.ts";
import { RawLine } from "./raw-line.ts";

export interface SenderOptions {
  world: Pick<World, "net" | "clock" | "disk">;
  log: Log;
  instance: string;
  config: SendingConfig;
  onDone(): void;
}

export interface SenderFigures {
  sent: number;
  settled: number;
  sentAgain: number;
  bytesSent: number;
  connects: number;
  throttled: number;
  lines: LineFigures[];
}

/** What a finished run says of itself. Counts are records, latencies those of whole batches. */
export interface SenderReport extends Omit<SenderFigures, "lines"> {
  seconds: number;
  recordsPerSecond: number;
  latency: LatencySummary;
}

export class Sender {
  readonly #options: SenderOptions;
  readonly #planned: PlannedLine[];
  readonly #lines: Line[] = [];
  readonly #startMs: number;
  #stage = 0;
  #left = 0;
  #endMs: number | undefined;

  /** Reads what is to be sent; nothing is sent before `start`. */
  static async open(options: SenderOptions): Promise<Sender> {
    return new Sender(options, await planLines(options.config, options.world.disk));
  }

  private constructor(options: SenderOptions, planned: PlannedLine[]) {
    this.#options = options;
    this.#planned = planned;
    this.#startMs = options.world.clock.monotonicMs();
  }

  start(): void {
    const due = this.#planned.filter(({ stage }) => stage === this.#stage);
    if (due.length === 0 && this.#planned.every(({ stage }) => stage < this.#stage)) {
      this.#endMs = this.#options.world.clock.monotonicMs();
      this.#options.onDone();
      return;
    }
    this.#left = due.length;
    if (due.length === 0) return this.#nextStage();
    for (const planned of due) {
      const line = this.#lineOf(planned);
      this.#lines.push(line);
      line.start();
    }
  }

  #nextStage(): void {
    this.#stage++;
    this.start();
  }

  #lineOf({ name, address, feed }: PlannedLine): Line {
    const { world, log, instance, config } = this.#options;
    const { batch, intervalMs, reconnectMs, cookie } = config;
    const options = {
      ...{ world, log, name, address, feed, batch, intervalMs, reconnectMs },
      onDone: () => {
        this.#left--;
        if (this.#left === 0) this.#nextStage();
      },
    };
    return config.protocol === "raw" ? new RawLine(options) : new AckedLine({ ...options, cookie, instance });
  }

  get isDone(): boolean {
    return this.#endMs !== undefined;
  }

  /** What keeps lines from sending, each a sentence. */
  get troubles(): string[] {
    return this.#lines.flatMap(({ figures }) =>
      figures.trouble === null || figures.isDone ? [] : [`${figures.name}: ${figures.trouble}`],
    );
  }

  get figures(): SenderFigures {
    const lines = this.#lines.map((line) => line.figures);
    const sum = (figure: "sent" | "settled" | "sentAgain" | "bytesSent" | "connects" | "throttled") =>
      lines.reduce((total, line) => total + line[figure], 0);
    return {
      sent: sum("sent"),
      settled: sum("settled"),
      sentAgain: sum("sentAgain"),
      bytesSent: sum("bytesSent"),
      connects: sum("connects"),
      throttled: sum("throttled"),
      lines,
    };
  }

  /** Records that there are to send; undefined when there is no end. */
  get records(): number | undefined {
    const total = this.#planned.reduce((sum, { feed }) => sum + feed.records, 0);
    return Number.isFinite(total) ? total : undefined;
  }

  report(): SenderReport {
    const { lines: _, ...totals } = this.figures;
    const endMs = this.#endMs ?? this.#options.world.clock.monotonicMs();
    const seconds = Math.max(0.001, (endMs - this.#startMs) / 1000);
    const latency = new LatencyHistogram();
    for (const line of this.#lines) latency.add(line.latency);
    return { ...totals, seconds, recordsPerSecond: totals.settled / seconds, latency: latency.summary() };
  }

  stop(): void {
    for (const line of this.#lines) line.stop();
  }
}
