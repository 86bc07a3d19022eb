/**
 * Keeps a bucket up with an archive: looks at each volume again and again, uploads what is missing, and waits longer after
 * each failure. Volumes go side by side, so that a base image that takes hours holds up no other volume's diffs.
 *
 * Invariant: a failure is told to the log once for each time it changes, shown in the figures until the next success, and
 * never ends the archive.
 */
import type { Log } from "../../core/logging/log.ts";
import type { Clock, Timer } from "../../core/seams/clock.ts";
import type { Random } from "../../core/seams/random.ts";
import type { MetaDiff } from "../algebra/snapshot.ts";
import type { VolumeHome } from "./home.ts";

/** Volumes that are brought up at the same time; each sends some objects at a time. */
const VOLUMES_MAX = 16;
const RETRY_MIN_MS = 1000;
const RETRY_MAX_MS = 300_000;

export interface UploaderOptions {
  clock: Clock;
  random: Random;
  log: Log;
  /** Between two looks. */
  intervalMs: number;
  /** The volumes that there are. */
  homes(): Iterable<[name: string, home: VolumeHome]>;
}

/** How a volume stands. */
interface Standing {
  failures: number;
  retryAtMs: number;
  error: string | undefined;
  /** Seconds since 1970 of the last look after which nothing was missing; 0 is never. */
  lastInStep: number;
}

/** Somebody who waits for a volume to be in step. */
interface Waiting {
  name: string;
  untilMs: number;
  resolve(): void;
  reject(error: Error): void;
}

export interface VolumeLag {
  name: string;
  diffsMissing: number;
  bytesMissing: number;
  isBaseMissing: boolean;
  /** Age of the oldest diff that is missing. */
  lagSeconds: number;
  lastInStep: number;
  failures: number;
  error: string | undefined;
}

const bytesOf = (diffs: readonly MetaDiff[]) => diffs.reduce((sum, { dataBytes }) => sum + dataBytes, 0);

export class Uploader {
  readonly #options: UploaderOptions;
  readonly #standings = new Map<string, Standing>();
  #timer: Timer | undefined;
  readonly #running = new Map<string, Promise<void>>();
  #waiting: Waiting[] = [];
  isStopped = false;

  constructor(options: UploaderOptions) {
    this.#options = options;
  }

  start(): void {
    this.#timer = this.#options.clock.every(this.#options.intervalMs, () => this.look());
    this.look();
  }

  /** Looks at once, and begins what is due. */
  look(): void {
    if (this.isStopped) return;
    const { clock, homes } = this.#options;
    const names = new Set<string>();
    for (const [name, home] of homes()) {
      names.add(name);
      const standing = this.#standing(name);
      const isDue = !this.#running.has(name) && standing.retryAtMs <= clock.monotonicMs();
      if (!isDue || this.#running.size >= VOLUMES_MAX) continue;
      this.#running.set(
        name,
        this.#bringUp(name, home, standing).finally(() => this.#ended(name)),
      );
    }
    for (const name of this.#standings.keys()) if (!names.has(name)) this.#standings.delete(name);
  }

  /** Somebody may have begun to wait after the volume was looked at. */
  #ended(name: string): void {
    this.#running.delete(name);
    const isDue = this.#standing(name).retryAtMs <= this.#options.clock.monotonicMs();
    if (isDue && this.#waiting.some((each) => each.name === name))
      this.#options.clock.after(0, () => this.look());
  }

  /** Resolves when nothing of the volume is missing in the bucket; rejects with what keeps it from being so for too long. */
  inStep(name: string, patienceMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const untilMs = this.#options.clock.monotonicMs() + patienceMs;
      this.#waiting.push({ name, untilMs, resolve, reject });
      this.#standing(name).retryAtMs = 0;
      this.look();
    });
  }

  #standing(name: string): Standing {
    let standing = this.#standings.get(name);
    if (standing === undefined)
      this.#standings.set(name, (standing = { failures: 0, retryAtMs: 0, error: undefined, lastInStep: 0 }));
    return standing;
  }

  async #bringUp(name: string, home: VolumeHome, standing: Standing): Promise<void> {
    const { clock, log } = this.#options;
    // Who begins to wait from here on may have come too late for this try.
    const waiting = this.#waiting.filter((each) => each.name === name);
    this.#waiting = this.#waiting.filter((each) => each.name !== name);
    try {
      await home.bringUp();
      if (standing.error !== undefined) log.info("the bucket is reached again", { volume: name });
      Object.assign(standing, { failures: 0, retryAtMs: 0, error: undefined });
      const { diffs, isBaseMissing } = home.behind();
      // Another volume's base image may be under way, or something came since.
      if (diffs.length > 0 || isBaseMissing) return void this.#waiting.push(...waiting);
      standing.lastInStep = Math.floor(clock.nowMs() / 1000);
      for (const { resolve } of waiting) resolve();
    } catch (error) {
      home.forget();
      const { message } = error as Error;
      if (!this.isStopped && standing.error !== message)
        log.warn(`the bucket lacks something: ${message}`, { volume: name });
      standing.error = message;
      standing.retryAtMs = clock.monotonicMs() + this.#pauseMs(++standing.failures);
      for (const each of waiting) {
        if (clock.monotonicMs() + RETRY_MIN_MS < each.untilMs) this.#waiting.push(each);
        else each.reject(error as Error);
      }
    }
  }

  /** Twice as long after each failure, and not for all archives at the same time. */
  #pauseMs(failures: number): number {
    const longest = Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** Math.min(failures - 1, 20));
    return longest * (0.5 + this.#options.random.float() / 2);
  }

  lags(): VolumeLag[] {
    const now = this.#options.clock.nowMs() / 1000;
    return [...this.#options.homes()].map(([name, home]) => {
      const { diffs, isBaseMissing } = home.behind();
      const oldest = Math.min(now, ...diffs.map(({ timestamp }) => timestamp));
      const { lastInStep, failures, error } = this.#standing(name);
      return {
        ...{ name, diffsMissing: diffs.length, bytesMissing: bytesOf(diffs), isBaseMissing },
        ...{ lagSeconds: Math.max(0, Math.round(now - oldest)), lastInStep, failures, error },
      };
    });
  }

  async stop(): Promise<void> {
    this.isStopped = true;
    this.#timer?.cancel();
    await Promise.all(this.#running.values());
    for (const { reject } of this.#waiting.splice(0)) reject(new Error("the archive stops"));
  }
}
