/**
 * Asks every instance for its figures, once per period, all at the same time.
 *
 * Invariant: one silent instance delays nobody: each request has a timeout and the next round does not wait for it. What
 * an instance answers is checked before it is believed; instances may be of another version than who asks.
 */
import { adminGet, type AdminTarget } from "../admin-client.ts";
import type { Clock, Timer } from "../seams/clock.ts";
import { parseAnswer } from "./answer.ts";
import type { History, InstanceSnapshot } from "./snapshot.ts";
import { Watched, type WatchedIdentity } from "./watched.ts";

export interface Target extends WatchedIdentity {
  /** Where it answers, or why it cannot be asked. */
  endpoint: AdminTarget | { isUnreachableBecause: string };
  /** Where its other ports are reached. */
  address?: string;
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

export interface Asked {
  readonly target: Target;
  readonly watched: Watched;
}

interface AskedInRounds extends Asked {
  /** It has not answered yet. */
  isBusy: boolean;
}

export class Scraper {
  readonly #options: ScraperOptions;
  #asked: AskedInRounds[] = [];
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
    this.#asked = targets.map(
      (target) =>
        this.#asked.find((known) => Bun.deepEquals(known.target, target)) ?? {
          target,
          watched: new Watched(target),
          isBusy: false,
        },
    );
  }

  get periodMs(): number {
    return this.#options.periodMs;
  }

  get asked(): readonly Asked[] {
    return this.#asked;
  }

  get targets(): Target[] {
    return this.#asked.map(({ target }) => target);
  }

  get watched(): Watched[] {
    return this.#asked.map(({ watched }) => watched);
  }

  get snapshots(): InstanceSnapshot[] {
    return this.watched.map(({ snapshot }) => snapshot);
  }

  get histories(): { snapshot: InstanceSnapshot; history: History }[] {
    return this.watched.map(({ snapshot, history }) => ({ snapshot, history }));
  }

  /** Asks everybody once. Who has not answered the round before is not asked again until then. */
  async round(): Promise<void> {
    const { timeoutMs = TIMEOUT_MS } = this.#options;
    const free = this.#asked.filter(({ isBusy }) => !isBusy);
    await Promise.all(free.map((asked) => this.#ask(asked, timeoutMs)));
    for (const { watched } of this.#asked) watched.remember();
    this.#options.onRound();
  }

  async #ask(asked: AskedInRounds, timeoutMs: number): Promise<void> {
    const { watched, target } = asked;
    if ("isUnreachableBecause" in target.endpoint) return watched.fail(target.endpoint.isUnreachableBecause);
    asked.isBusy = true;
    try {
      const { status, body } = await adminGet(target.endpoint, "/stats", timeoutMs);
      if (status !== 200)
        throw new Error(`its admin endpoint answers ${status}: ${body.trim().slice(0, 100)}`);
      const answer = parseAnswer(parseJson(body));
      if (answer === undefined) throw new Error("its answer is not that of a node-x instance");
      watched.accept(answer, this.#options.clock.monotonicMs());
    } catch (error) {
      watched.fail((error as Error).message);
    } finally {
      asked.isBusy = false;
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
