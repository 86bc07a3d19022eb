/**
 * Reactive clients of a store in one process: frontends that watch, clients that run, acknowledge late, change their read sets and
 * move to another frontend, while transactions are committed and every message waits for its turn.
 *
 * Each client judges itself: what it believes at a run's timestamp is compared with the store's own snapshot of it.
 */
import type { Clock } from "../../../src/core/seams/clock.ts";
import { decodeServerMessage } from "../../../src/reactive/client-wire/codec.ts";
import { NOW, type Run } from "../../../src/reactive/client-wire/messages.ts";
import { Backend } from "../../../src/reactive/engines/builtin/backend.ts";
import type { Outlet, Watcher } from "../../../src/reactive/frontend/watches/watcher.ts";
import { Watching } from "../../../src/reactive/frontend/watches/watching.ts";
import { type ShardSettings, shardDefaults } from "../../../src/reactive/shard/service.ts";
import { encodeOperations, type Operation } from "../../../src/reactive/shard/operations.ts";
import { Level } from "../../../src/reactive/shard/transaction.ts";
import { type Mailroom, randomOf, shardCluster, type ShardCluster } from "../shard/shard-harness.ts";

/** A clock without a rate: whatever waits for a time waits for its turn. */
export function mailClock(mail: Mailroom): Clock {
  let nowMs = 0;
  const after = (delayMs: number, callback: () => void) => {
    let isCancelled = false;
    void mail.turn().then(() => {
      nowMs += delayMs;
      if (!isCancelled) callback();
    });
    return { cancel: () => void (isCancelled = true) };
  };
  return {
    nowMs: () => nowMs,
    monotonicMs: () => nowMs,
    after,
    every: () => ({ cancel: () => {} }),
    endOfTurn: (callback) => void after(0, callback),
  };
}

export interface ReactiveCluster {
  cluster: ShardCluster;
  frontends: { backend: Backend; watching: Watching }[];
  random(): number;
  /** Names a transaction. */
  number(): number;
  /** Timestamps of all that `write` committed. */
  written: number[];
  close(): void;
}

export interface ReactiveOptions {
  seed: number;
  shards?: number;
  frontends?: number;
  settings?: Partial<ShardSettings>;
}

export function reactiveCluster({
  seed,
  shards = 3,
  frontends = 2,
  settings,
}: ReactiveOptions): ReactiveCluster {
  const kept = { ...shardDefaults, retentionMs: 1e12, ...settings };
  const cluster = shardCluster({ shards, seed, settings: kept });
  const clock = mailClock(cluster.mail);
  const all = Array.from({ length: frontends }, () => {
    const backend = new Backend(cluster.groups, { next: cluster.next }, clock);
    return { backend, watching: new Watching(backend, clock) };
  });
  let numbers = 0;
  return {
    cluster,
    frontends: all,
    number: () => ++numbers,
    written: [],
    random: randomOf(seed + 1_000_000),
    close: () => {
      for (const { watching } of all) watching.stop();
      cluster.close();
    },
  };
}

export interface Seen {
  at: number;
  /** Versions by key, as the client believes. */
  versions: Map<string, number>;
  run: Run;
}

/** One client with one watch. */
export class ReactiveClient {
  readonly runs: Seen[] = [];
  readonly faults: string[] = [];
  progress = 0;
  isCongested = false;
  acknowledges = true;
  keys: string[];
  #watcher: Watcher | undefined;
  #frontend = 0;
  #versions = new Map<string, number>();
  #connection = 0;
  readonly #cluster: ReactiveCluster;
  readonly #delayMs: number;
  readonly #unackedMax: number;
  /** Which keys the run reads that saw these versions; absent: always the same ones. */
  readonly #readSet: ((versions: Map<string, number>) => string[]) | undefined;

  constructor(
    cluster: ReactiveCluster,
    keys: string[],
    options: {
      delayMs?: number;
      unackedMax?: number;
      readSet?: (versions: Map<string, number>) => string[];
    } = {},
  ) {
    this.#cluster = cluster;
    this.keys = keys;
    this.#delayMs = options.delayMs ?? 0;
    this.#unackedMax = options.unackedMax ?? 2;
    this.#readSet = options.readSet;
  }

  get last(): number {
    return this.runs.at(-1)?.at ?? NOW;
  }

  /** Connects to a frontend, leaving the one before, and watches from where it was. */
  async connect(frontend: number): Promise<void> {
    this.leave();
    this.#frontend = frontend;
    this.#connection += 1;
    this.#watcher = this.#watching.open(this.#outlet(this.#connection), this.#unackedMax);
    await this.#watch();
  }

  get #watching(): Watching {
    return (this.#cluster.frontends[this.#frontend] as { watching: Watching }).watching;
  }

  leave(): void {
    if (this.#watcher !== undefined) this.#watching.close(this.#watcher);
    this.#watcher = undefined;
    this.#connection += 1;
  }

  acknowledge(): void {
    this.#watcher?.acknowledge(this.last);
  }

  relieve(): void {
    this.isCongested = false;
    this.#watcher?.pump();
  }

  async #watch(): Promise<void> {
    const watcher = this.#watcher;
    const keys = this.keys.map((key) => Buffer.from(key));
    await watcher?.watch(1, { keys, prefixes: [] }, this.last, this.#delayMs);
    watcher?.pump();
  }

  /** Messages arrive in the order in which they were sent, or, when the connection is gone, not at all. */
  #outlet(connection: number): Outlet {
    const client = this;
    const underWay: Uint8Array[] = [];
    return {
      get isCongested() {
        return client.isCongested;
      },
      send: (message) => {
        underWay.push(message.slice());
        void this.#cluster.cluster.mail.turn().then(() => {
          const oldest = underWay.shift() as Uint8Array;
          if (connection === this.#connection) this.#receive(oldest);
        });
      },
    };
  }

  #receive(message: Uint8Array): void {
    const decoded = decodeServerMessage(message);
    if (decoded.type === "progress") this.progress = Math.max(this.progress, decoded.at);
    if (decoded.type !== "runs") return;
    for (const run of decoded.runs) this.#run(decoded.at, run);
    if (this.acknowledges) void this.#cluster.cluster.mail.turn().then(() => this.acknowledge());
  }

  #run(at: number, run: Run): void {
    if (at <= this.last) this.faults.push(`a run at ${at} follows one at ${this.last}`);
    if (run.cause === "changed" && run.values.length === 0)
      this.faults.push(`a run at ${at} without a change`);
    for (const { key, start } of run.values) this.#versions.set(Buffer.from(key).toString(), start);
    const versions = new Map(this.keys.map((key) => [key, this.#versions.get(key) ?? 0]));
    this.runs.push({ at, versions, run });
    const next = this.#readSet?.(versions);
    if (next === undefined || next.join() === this.keys.join()) return;
    this.keys = next;
    void this.#reread(at);
  }

  /** The closure read other keys, as of its own timestamp. */
  async #reread(at: number): Promise<void> {
    const { backend } = this.#cluster.frontends[this.#frontend] as { backend: Backend };
    const keys = this.keys.map((key) => Buffer.from(key));
    const { versions } = await backend.read(keys, at);
    if (at !== this.last) return;
    for (const [place, { start }] of versions.entries())
      this.#versions.set(this.keys[place] as string, start);
    const seen = this.runs.at(-1) as Seen;
    seen.versions = new Map(this.keys.map((key) => [key, this.#versions.get(key) ?? 0]));
    await this.#watch();
  }

  /** Compares every run with the store's snapshot of its timestamp. */
  async check(): Promise<string[]> {
    for (const { at, versions } of this.runs) {
      const truth = await this.#cluster.cluster.read([...versions.keys()], at);
      for (const [key, version] of versions) {
        const start = truth.get(key)?.start;
        if (start !== version) this.faults.push(`at ${at} it saw ${key}@${version}, the store has @${start}`);
      }
    }
    return this.faults;
  }
}

/** Commits blind writes of some keys through a frontend; the timestamp, or undefined when it was refused. */
export async function write(
  { frontends, number, written }: ReactiveCluster,
  frontend: number,
  keys: readonly string[],
  operation: Operation = { kind: "put", value: { type: "bytes", bytes: Buffer.from("x") } },
  level: Level = Level.strict,
): Promise<number | undefined> {
  const { backend } = frontends[frontend] as { backend: Backend };
  const result = await backend.coordinator.commit({
    id: { client: 77, number: number() },
    floor: 0,
    level,
    snapshot: level === Level.snapshot ? await backend.nextTimestamp() : 0,
    accesses: keys.map((key) => ({
      key: Buffer.from(key),
      reads: [],
      operations: encodeOperations([operation]),
    })),
  });
  if (result.kind !== "committed") return undefined;
  written.push(result.timestamp);
  return result.timestamp;
}

/** Resolves when nothing goes on behind answers and what was on its way has arrived. */
export async function settled({ cluster: { mail }, frontends }: ReactiveCluster): Promise<void> {
  await Promise.all(frontends.map(({ backend }) => backend.coordinator.idle()));
  for (let turn = 0; turn < 300; turn++) await mail.turn();
}
