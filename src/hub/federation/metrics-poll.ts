/**
 * The `/metrics` of every instance, as of its latest poll.
 *
 * Each instance is asked once per period, at a moment of its own, so that a large cluster is not asked all at once. Who does
 * not answer `/stats` is not asked; who answers again, or was started anew, is asked at once.
 *
 * Invariant: whoever wants metrics gets what there is and waits for nobody. Of an instance there is one poll under way at most,
 * and one text of bounded length.
 */
import { adminGet, type AdminTarget } from "../../core/admin-client.ts";
import type { Log } from "../../core/logging/log.ts";
import type { Clock } from "../../core/seams/clock.ts";
import type { Random } from "../../core/seams/random.ts";
import type { Asked } from "../../core/watch/scraper.ts";
import type { Watched } from "../../core/watch/watched.ts";

export interface MetricsPollOptions {
  clock: Clock;
  random: Random;
  log: Log;
  periodMs: number;
  /** The exposition of an instance; throws when there is none. */
  ask?(endpoint: AdminTarget): Promise<string>;
}

export interface PolledMetrics {
  ageMs: number;
  /** Undefined when what was said so long ago is not told any more. */
  text: string | undefined;
}

interface Polled {
  dueAtMs: number;
  isBusy: boolean;
  /** Its latest poll brought nothing. */
  hasFailed: boolean;
  latest: { text: string; atMs: number } | undefined;
}

const TIMEOUT_MS = 2000;
/** Of one instance: a longer answer is not taken. */
export const TEXT_LENGTH_MAX = 1024 * 1024;
/** After so many periods without an answer, the last one is not told any more. */
const PERIODS_TOLD = 3;
/** A period is up to this share shorter or longer, by chance. */
const JITTER = 0.1;

async function askMetrics(endpoint: AdminTarget): Promise<string> {
  const { status, body } = await adminGet(endpoint, "/metrics", TIMEOUT_MS, TEXT_LENGTH_MAX);
  if (status !== 200) throw new Error(`its admin endpoint answers ${status}`);
  return body;
}

export class MetricsPoll {
  readonly #options: MetricsPollOptions;
  /** What nobody watches any more is forgotten with it. */
  readonly #polled = new WeakMap<Watched, Polled>();
  readonly #underWay = new Set<Promise<void>>();

  constructor(options: MetricsPollOptions) {
    this.#options = options;
  }

  setPeriod(periodMs: number): void {
    this.#options.periodMs = periodMs;
  }

  /** Asks those whose time has come. To be called with each round of answers to `/stats`. */
  round(asked: readonly Asked[]): void {
    const nowMs = this.#options.clock.monotonicMs();
    for (const { target, watched } of asked) {
      if (watched.latest === undefined || "isUnreachableBecause" in target.endpoint) continue;
      const polled = this.#polledOf(watched);
      const isNewLife = watched.before === undefined;
      if (polled.isBusy || (!isNewLife && nowMs < polled.dueAtMs)) continue;
      const poll = this.#poll(target.name, target.endpoint, polled);
      this.#underWay.add(poll);
      void poll.then(() => this.#underWay.delete(poll));
    }
  }

  #polledOf(watched: Watched): Polled {
    const known = this.#polled.get(watched);
    if (known !== undefined) return known;
    const fresh: Polled = { dueAtMs: 0, isBusy: false, hasFailed: false, latest: undefined };
    this.#polled.set(watched, fresh);
    return fresh;
  }

  /** Never throws. */
  async #poll(name: string, endpoint: AdminTarget, polled: Polled): Promise<void> {
    const { clock, random, log, ask = askMetrics } = this.#options;
    polled.dueAtMs = clock.monotonicMs() + this.#pauseMs(polled.latest === undefined, random.float());
    polled.isBusy = true;
    try {
      polled.latest = { text: await ask(endpoint), atMs: clock.monotonicMs() };
      polled.hasFailed = false;
    } catch (error) {
      if (!polled.hasFailed) log.warn(`${name} does not tell its metrics: ${(error as Error).message}`);
      polled.hasFailed = true;
    }
    polled.isBusy = false;
  }

  /** All are asked at once when the hub starts: the first pause spreads them over the period. */
  #pauseMs(isFirst: boolean, chance: number): number {
    return this.#options.periodMs * (isFirst ? chance : 1 + JITTER * (2 * chance - 1));
  }

  /** Undefined when no poll has brought anything yet. */
  of(watched: Watched): PolledMetrics | undefined {
    const latest = this.#polled.get(watched)?.latest;
    if (latest === undefined) return undefined;
    const ageMs = this.#options.clock.monotonicMs() - latest.atMs;
    const isTold = ageMs <= PERIODS_TOLD * this.#options.periodMs + TIMEOUT_MS;
    return { ageMs, text: isTold ? latest.text : undefined };
  }

  /** Resolves when the polls that are under way have ended. */
  async settled(): Promise<void> {
    await Promise.all(this.#underWay);
  }
}
