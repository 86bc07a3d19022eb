/**
 * Asks every instance for its figures, once per period, all at the same time.
 *
 * Invariant: one silent instance delays nobody: each request has a timeout and the next round does not wait for it. What
 * an instance answers is checked before it is believed; instances may be of another version than this hub.
 */
import { z } from "zod";
import { adminGet, type AdminTarget } from "../core/admin-client.ts";
import type { Clock, Timer } from "../core/seams/clock.ts";
import { HISTORY_LENGTH, sparkFigure, type History, type InstanceSnapshot } from "./snapshot.ts";

const answer = z.object({
  instance: z.string(),
  role: z.string(),
  version: z.string(),
  state: z.string(),
  ready: z.boolean(),
  reasons: z.array(z.string()),
  uptimeSeconds: z.number(),
  ports: z.record(z.string(), z.number()),
  keyFigure: z.string(),
  process: z.object({ rssBytes: z.number(), cpuUserSeconds: z.number(), cpuSystemSeconds: z.number() }),
  throughput: z.object({ total: z.number(), unit: z.string() }).nullish(),
});
type Answer = z.output<typeof answer>;

export interface Target {
  /** As the configuration writes it. */
  name: string;
  endpoint: AdminTarget;
}

export interface ScraperOptions {
  clock: Clock;
  periodMs: number;
  /** An instance that does not answer for this long is unreachable. */
  timeoutMs?: number;
  /** Called after each round. */
  onRound(): void;
}

/** Longer than the period: a host under load is late, not gone. */
const TIMEOUT_MS = 2000;

/** One instance, watched over time: figures per second need the answer before. */
class Watched {
  readonly target: Target;
  snapshot: InstanceSnapshot;
  readonly history: History = [];
  isBusy = false;
  #before: { answer: Answer; atMs: number } | undefined;

  constructor(target: Target) {
    this.target = target;
    this.snapshot = unreachable(target.name, "not asked yet");
  }

  accept(received: Answer, atMs: number): void {
    const cpu = ({ cpuUserSeconds, cpuSystemSeconds }: Answer["process"]) =>
      cpuUserSeconds + cpuSystemSeconds;
    // After a restart the counters begin again: there is no figure per second across it.
    const before =
      this.#before?.answer !== undefined && this.#before.answer.uptimeSeconds <= received.uptimeSeconds
        ? this.#before
        : undefined;
    const perSecond = (to: number, from: number) =>
      Math.max(0, (to - from) / ((atMs - (before?.atMs ?? 0)) / 1000));
    this.snapshot = {
      target: this.target.name,
      condition: received.ready ? "ready" : "not ready",
      reasons: received.reasons,
      name: received.instance,
      role: received.role,
      state: received.state,
      version: received.version,
      uptimeSeconds: received.uptimeSeconds,
      ports: received.ports,
      keyFigure: received.keyFigure,
      rssBytes: received.process.rssBytes,
      cpuPercent: before && 100 * perSecond(cpu(received.process), cpu(before.answer.process)),
      throughput:
        before?.answer.throughput != null && received.throughput != null
          ? {
              perSecond: perSecond(received.throughput.total, before.answer.throughput.total),
              unit: received.throughput.unit,
            }
          : undefined,
    };
    this.#before = { answer: received, atMs };
  }

  fail(reason: string): void {
    // What it was called stays: the operator looks for the name, not for a path.
    const { name, role } = this.snapshot;
    this.snapshot = { ...unreachable(this.target.name, reason), name, role };
    this.#before = undefined;
  }

  remember(): void {
    this.history.push(sparkFigure(this.snapshot));
    if (this.history.length > HISTORY_LENGTH) this.history.shift();
  }
}

function unreachable(target: string, reason: string): InstanceSnapshot {
  return {
    target,
    condition: "unreachable",
    reasons: [reason],
    name: target.split("/").at(-1) ?? target,
    role: undefined,
    state: undefined,
    version: undefined,
    uptimeSeconds: undefined,
    ports: {},
    keyFigure: "",
    rssBytes: undefined,
    cpuPercent: undefined,
    throughput: undefined,
  };
}

export class Scraper {
  readonly #options: ScraperOptions;
  #watched: Watched[] = [];
  #timer: Timer | undefined;

  constructor(options: ScraperOptions) {
    this.#options = options;
    this.setPeriod(options.periodMs);
  }

  setPeriod(periodMs: number): void {
    this.#timer?.cancel();
    this.#options.periodMs = periodMs;
    this.#timer = this.#options.clock.every(periodMs, () => void this.round());
  }

  /** Watches these; what is known of those that stay is kept. */
  setTargets(targets: readonly Target[]): void {
    this.#watched = targets.map(
      (target) => this.#watched.find((known) => Bun.deepEquals(known.target, target)) ?? new Watched(target),
    );
  }

  get periodMs(): number {
    return this.#options.periodMs;
  }

  get snapshots(): InstanceSnapshot[] {
    return this.#watched.map(({ snapshot }) => snapshot);
  }

  get histories(): { snapshot: InstanceSnapshot; history: History }[] {
    return this.#watched.map(({ snapshot, history }) => ({ snapshot, history }));
  }

  /** Asks everybody once. Who has not answered the round before is not asked again until then. */
  async round(): Promise<void> {
    const { timeoutMs = TIMEOUT_MS } = this.#options;
    const free = this.#watched.filter(({ isBusy }) => !isBusy);
    await Promise.all(free.map((watched) => this.#ask(watched, timeoutMs)));
    for (const watched of this.#watched) watched.remember();
    this.#options.onRound();
  }

  async #ask(watched: Watched, timeoutMs: number): Promise<void> {
    watched.isBusy = true;
    try {
      const { status, body } = await adminGet(watched.target.endpoint, "/stats", timeoutMs);
      if (status !== 200)
        throw new Error(`its admin endpoint answers ${status}: ${body.trim().slice(0, 100)}`);
      const parsed = answer.safeParse(parseJson(body));
      if (!parsed.success) throw new Error("its answer is not that of a node-x instance");
      watched.accept(parsed.data, this.#options.clock.monotonicMs());
    } catch (error) {
      watched.fail((error as Error).message);
    } finally {
      watched.isBusy = false;
    }
  }

  close(): void {
    this.#timer?.cancel();
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
