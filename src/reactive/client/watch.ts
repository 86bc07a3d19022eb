/**
 * One reactive transaction: code that runs against a snapshot, and again when something that it read has changed.
 *
 * Invariant: all that a run sees is of one timestamp; timestamps of its runs rise; after a run the frontend is told exactly what
 * the run read, so nothing that is committed behind the run's timestamp can be missed. Of several changes during a run
 * only the latest state is run. What the code throws is reported and changes nothing of this.
 */
import { type Cause, limits, type Run as PushedRun } from "../client-wire/messages.ts";
import type { Operation } from "../shard/operations.ts";
import { RequestError } from "./errors.ts";
import { type Execution, startExecution, type Version } from "./execution.ts";
import { Snapshot } from "./snapshot.ts";
import type { Ask, StoreView } from "./store-view.ts";
import type { SnapshotReader } from "./transaction-handle.ts";
import { fromUtf8 } from "./types/encodings.ts";

export interface RunInfo {
  /** Of everything that this run sees. The first run has one from its first read on. */
  readonly timestamp: number;
  /** `local`: an own transaction that is not committed yet was added or dropped (`optimistic` only). */
  cause: Cause | "local";
  /** Commits that this run is about. */
  changes: number;
  /** Transactions that are not committed yet and are seen all the same, in what was read so far. */
  readonly pending: number;
}

export type ReactiveCode = (transaction: SnapshotReader, run: RunInfo) => Promise<void> | void;

export interface ReactiveOptions {
  /** Changes may be gathered this long before a run. */
  delayMs?: number;
  /** Also see own queued transactions that are not committed yet. */
  optimistic?: boolean;
  /** What the code threw, or why the transaction had to end. Absent: to the client's `onError`. */
  onError?(error: unknown): void;
}

/** A set, or a map, of keys. */
export interface Keys {
  has(key: string): boolean;
}

/** Own transactions that are not in the store's state at a timestamp: not committed yet, or above it. */
export interface Pending {
  /** Those that do something to one of these keys. */
  count(keys: Keys, timestamp: number): number;
  operations(key: string, timestamp: number): readonly Operation[];
}

export interface WatchHost {
  view: StoreView;
  ask: Ask;
  pending: Pending;
  uniqueName(): string;
  /** Something about what the watch reads, or since when, has to be said to the frontend. */
  register(watch: Watch): void;
  unregister(watch: Watch): void;
  report(error: unknown): void;
}

export interface ReadSet {
  at: number;
  keys: string[];
  prefixes: string[];
}

interface Wanted {
  /** 0: now. */
  timestamp: number;
  cause: RunInfo["cause"];
  changes: number;
}

export class Watch {
  readonly id: number;
  readonly delayMs: number;
  readonly #code: ReactiveCode;
  readonly #options: ReactiveOptions;
  readonly #host: WatchHost;
  /** The newest that is known of each key of the read set. */
  #versions = new Map<string, Version>();
  /** Those whose keys were listed by the last run. */
  #prefixes: ReadonlySet<string> = new Set();
  /** When something may have happened under them. */
  #prefixNews = 0;
  /** Those that the frontend is known to look after. */
  #confirmed: ReadonlySet<string> = new Set();
  /** Of the last run. */
  #timestamp = 0;
  /** Of the run under way. */
  #runTimestamp = Number.POSITIVE_INFINITY;
  #wanted: Wanted | undefined = { timestamp: 0, cause: "first", changes: 0 };
  #isStopped = false;
  #finished: Promise<void> = Promise.resolve();
  #isRunning = false;

  constructor(id: number, code: ReactiveCode, options: ReactiveOptions, host: WatchHost) {
    this.id = id;
    const { delayMs = 0 } = options;
    if (!(delayMs >= 0 && delayMs <= limits.delayMsMax))
      throw new RangeError(`delayMs: 0 to ${limits.delayMsMax}, not ${delayMs}`);
    this.delayMs = delayMs;
    this.#code = code;
    this.#options = options;
    this.#host = host;
  }

  get timestamp(): number {
    return this.#timestamp;
  }

  get isStopped(): boolean {
    return this.#isStopped;
  }

  /** As of when all of the read set is known. */
  get #known(): number {
    // What is under prefixes is known from the last run only.
    let oldest = this.#prefixes.size > 0 ? this.#timestamp : Number.POSITIVE_INFINITY;
    for (const { end } of this.#versions.values()) oldest = Math.min(oldest, end);
    return oldest === Number.POSITIVE_INFINITY ? this.#timestamp : oldest;
  }

  /** No run under way or to come sees an older state. */
  get oldestTimestamp(): number {
    return Math.min(this.#known, this.#runTimestamp);
  }

  /** What to tell a frontend: these keys and prefixes have been seen as of this timestamp. */
  get readSet(): ReadSet {
    return { at: this.#known, keys: [...this.#versions.keys()], prefixes: [...this.#prefixes] };
  }

  /** The frontend is told to look after these keys. Until it has confirmed that, only those count that it looked after anyway. */
  expect({ keys }: ReadSet): void {
    this.#confirmed = new Set(keys.filter((key) => this.#confirmed.has(key)));
  }

  /** A new connection: its frontend does not look after anything yet. */
  lose(): void {
    this.#confirmed = new Set();
  }

  /** The frontend looks after these keys; what it sends from here on is about them. */
  confirm({ keys }: ReadSet): void {
    this.#confirmed = new Set(keys);
  }

  start(): void {
    this.#go();
  }

  stop(): Promise<void> {
    if (!this.#isStopped) {
      this.#isStopped = true;
      this.#host.unregister(this);
    }
    return this.#finished;
  }

  /** Runs again on the newest state, asked for anew. */
  refetch(): void {
    this.#want({ timestamp: 0, cause: "refetch", changes: 0 });
  }

  /** Own transactions were queued, committed or dropped. */
  localChange(): void {
    if (this.#options.optimistic === true && this.#known > 0)
      this.#want({ timestamp: this.#known, cause: "local", changes: 0 });
  }

  /** What the frontend pushes. */
  push(timestamp: number, run: PushedRun): void {
    if (this.#isStopped || timestamp <= this.#known) return;
    const changed = new Set<string>();
    for (const value of run.values) {
      const key = fromUtf8(value.key);
      changed.add(key);
      const version = this.#host.view.learn(key, timestamp, value);
      if (this.#versions.has(key)) this.#versions.set(key, version);
    }
    for (const key of this.#confirmed) {
      const version = this.#versions.get(key);
      if (version === undefined || changed.has(key) || version.end < run.since) continue;
      this.#versions.set(key, { ...version, end: Math.max(version.end, timestamp) });
      this.#host.view.cache.extend(key, run.since, timestamp);
    }
    // What concerns only keys that the last run did not read any more is no change.
    const isAboutKeys = [...changed].some((key) => this.#versions.has(key));
    if (run.cause === "changed" && !isAboutKeys && this.#prefixes.size === 0) return;
    // Of what is under prefixes no values are sent, only that something has happened.
    if (this.#prefixes.size > 0) this.#prefixNews = timestamp;
    this.#want({ timestamp, cause: run.cause, changes: run.changes });
  }

  /** The frontend has told everything up to a timestamp about what it looks after. */
  progress(timestamp: number): void {
    if (this.#isStopped) return;
    for (const key of this.#confirmed) {
      const version = this.#versions.get(key);
      if (version === undefined || version.end >= timestamp) continue;
      this.#host.view.cache.extend(key, version.end, timestamp);
      this.#versions.set(key, { ...version, end: timestamp });
    }
  }

  fail(error: unknown): void {
    (this.#options.onError ?? this.#host.report)(error);
  }

  #want(next: Wanted): void {
    const before = this.#wanted;
    if (before?.timestamp === 0) return; // it is going to see the newest anyway
    this.#wanted = { ...next, changes: next.changes + (before?.changes ?? 0) };
    this.#go();
  }

  #go(): void {
    if (this.#isRunning) return;
    this.#isRunning = true;
    this.#finished = this.#runAll();
  }

  async #runAll(): Promise<void> {
    // The caller gets its handle before the first run begins.
    await Promise.resolve();
    for (let wanted = this.#take(); wanted !== undefined; wanted = this.#take()) {
      this.#runTimestamp = wanted.timestamp;
      await this.#run(wanted);
      this.#runTimestamp = Number.POSITIVE_INFINITY;
    }
  }

  /** The run that is to be next; with none, what comes later has to start anew: in the same moment, so that nothing is between. */
  #take(): Wanted | undefined {
    const wanted = this.#isStopped ? undefined : this.#wanted;
    this.#wanted = undefined;
    // The run before this one may have read something else than what the change was about.
    const isNeeded = wanted !== undefined && (wanted.cause !== "changed" || this.#hasNews());
    if (!isNeeded) this.#isRunning = false;
    return isNeeded ? wanted : undefined;
  }

  /** Something of what the last run read has changed since. */
  #hasNews(): boolean {
    if (this.#prefixNews > this.#timestamp) return true;
    return [...this.#versions.values()].some(({ start }) => start > this.#timestamp);
  }

  async #run(wanted: Wanted): Promise<void> {
    const { view, ask, pending, uniqueName, register } = this.#host;
    const moment = wanted.timestamp === 0 ? "fresh" : wanted.timestamp;
    const snapshot = new Snapshot(view, ask, moment, (keys, timestamp) => this.#read(keys, timestamp));
    const isOptimistic = this.#options.optimistic === true;
    const execution = startExecution({
      ...{ load: snapshot.load, scan: snapshot.scan, uniqueName, isReadOnly: true },
      ...(isOptimistic && { pending: (key: string) => pending.operations(key, snapshot.timestamp) }),
    });
    const info = {
      ...{ cause: wanted.cause, changes: wanted.changes },
      get timestamp() {
        return snapshot.timestamp;
      },
      get pending() {
        return isOptimistic ? pending.count(execution.versions, snapshot.timestamp) : 0;
      },
    };
    try {
      await this.#code(execution, info);
    } catch (error) {
      if (this.#isStopped) return;
      if (error instanceof RequestError && error.code === "tooOld") {
        this.#wanted = { ...wanted, timestamp: 0, cause: "refetch" };
        return;
      }
      this.fail(error);
      // A read was refused, so what the code would have read is not known: what it read before still counts.
      if (error instanceof RequestError) return this.#versions.size === 0 ? void this.stop() : undefined;
    } finally {
      execution.close();
    }
    this.#keep(execution, snapshot.timestamp);
    if (!this.#isStopped) register(this);
  }

  /** From what was pushed, else from the cache or a frontend. */
  async #read(keys: string[], timestamp: number): Promise<Version[]> {
    const { view, ask } = this.#host;
    const known = keys.map((key) => this.#versions.get(key));
    const isAt = (version: Version | undefined) =>
      version !== undefined && version.start <= timestamp && timestamp <= version.end;
    const missing = keys.filter((_key, index) => !isAt(known[index]));
    const others = missing.length === 0 ? [] : await view.read(missing, timestamp, ask);
    return known.map((version) => (isAt(version) ? version : others.shift()) as Version);
  }

  /** The read set is that of the last run; of a key that it shares with what has arrived meanwhile, the newer version counts. */
  #keep(execution: Execution, timestamp: number): void {
    const before = this.#versions;
    this.#versions = new Map(
      [...execution.versions].map(([key, read]) => {
        const known = before.get(key);
        const own = { ...read, end: Math.max(read.end, timestamp) };
        return [key, known !== undefined && known.end > own.end ? known : own];
      }),
    );
    this.#timestamp = Math.max(this.#timestamp, timestamp);
    this.#prefixes = execution.prefixes;
  }
}
