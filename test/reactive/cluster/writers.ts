/**
 * A simulated store whose clients all read and write the same key, as fast as they can: clients, frontends' conversations, timestamp
 * servers and shards as they are. What is found out is how long one writer waits, and whether every commit counts once.
 */
import { FaultCounts } from "../../../src/core/sim/faults.ts";
import { SimCluster } from "../../../src/core/sim/world.ts";
import { silentLog } from "../../../src/core/logging/log.ts";
import { AbortedError, type Client, connect, long } from "../../../src/reactive/client.ts";
import type { OpenSocket, SocketHandlers } from "../../../src/reactive/client/socket.ts";
import { GuardedStore } from "../../../src/reactive/frontend/access/guarded-store.ts";
import { Principals } from "../../../src/reactive/frontend/access/principals.ts";
import { Tables } from "../../../src/reactive/frontend/access/tables.ts";
import { Conversation } from "../../../src/reactive/frontend/clients/conversation.ts";
import { Turns } from "../../../src/reactive/frontend/clients/turns.ts";
import { Watching } from "../../../src/reactive/frontend/watches/watching.ts";
import { ShardService } from "../../../src/reactive/shard/service.ts";
import { Timestamps } from "../../../src/reactive/tss/timestamps.ts";
import { Frontend, Group } from "./processes.ts";

export interface WritersOptions {
  writers: number;
  frontends: number;
  shards?: number;
  /** Of messages between clients and frontends, one way: of each writer, in turn. */
  delaysMs: readonly number[];
  /** Keys that each of them reads and writes. */
  keysOf?(writer: number): readonly string[];
  /** Of these the process stops for ever in the middle of its turn. */
  frozen?: number;
  /** So many give up by themselves whenever it is their turn. */
  quitters?: number;
}

export interface WritersResult {
  commits: number[];
  attemptsMax: number;
  longestWaitMs: number;
  /** What a wait would be if all stood in one line. */
  lineMs: number;
  lapsed: number;
}

const RUN_MS = 4000;
const TIME_LIMIT_MS = 120_000;
const TIMEOUT_MS = 30_000;
const LIMITS = {
  requestBytesMax: 1e6,
  outboxBytesMax: 1e6,
  requestsMax: 100,
  watchesMax: 10,
  watchedKeysMax: 10,
};

/** One frontend's clients. */
class Door {
  readonly #cluster: SimCluster;
  readonly turns: Turns;
  readonly #watching: Watching;
  readonly #store: GuardedStore;
  readonly #clock;

  constructor(cluster: SimCluster, host: string, frontend: Frontend) {
    const { clock } = cluster.host(host).start().world;
    const { backend } = frontend;
    if (backend === undefined) throw new Error("the frontend is not up");
    this.#cluster = cluster;
    this.#clock = clock;
    this.turns = new Turns(clock);
    this.#watching = new Watching(backend, clock);
    this.#store = new GuardedStore(backend, new Tables([]));
  }

  stop(): void {
    this.#watching.stop();
  }

  /** A socket whose messages take as long as this, in either direction. */
  open(delayMs: number, isFrozen: () => boolean): OpenSocket {
    return (_url: string, handlers: SocketHandlers) => {
      const later = (deliver: () => void) =>
        void this.#cluster.scheduler.after(delayMs, () => {
          if (!isFrozen()) deliver();
        });
      const conversation = new Conversation(
        {
          ...{ store: this.#store, watching: this.#watching, turns: this.turns },
          ...{ principals: new Principals(undefined), clock: this.#clock, log: silentLog() },
          limits: () => LIMITS,
          figures: { welcomed: 0, denied: 0, revoked: 0, garbled: 0, failures: {} },
        },
        {
          ...{ remoteAddress: "", waitingBytes: 0 },
          send: (message) => {
            const copy = message.slice();
            later(() => handlers.onMessage(copy));
          },
          close: (_code, text) => later(() => handlers.onClose(text)),
        },
      );
      later(() => handlers.onOpen());
      return {
        send: (message) => {
          const copy = message.slice();
          later(() => conversation.receive(copy));
        },
        close: () => {
          later(() => conversation.closed());
          later(() => handlers.onClose("closed here"));
        },
      };
    };
  }
}

class Writers {
  readonly #cluster: SimCluster;
  readonly #options: WritersOptions;
  readonly #machines: ShardService[] = [];
  readonly #frontends: Frontend[];
  readonly #groups: Group<Timestamps | ShardService>[];
  readonly #random;
  readonly #result: WritersResult;
  #doors: Door[] = [];
  #isOver = false;

  constructor(seed: number, options: WritersOptions) {
    this.#options = options;
    this.#cluster = new SimCluster(seed, { net: { delayMeanMs: 0.3 } });
    this.#random = this.#cluster.scheduler.fork();
    this.#result = {
      commits: Array.from({ length: options.writers }, () => 0),
      ...{ attemptsMax: 0, longestWaitMs: 0, lineMs: 0, lapsed: 0 },
    };
    const faults = new FaultCounts();
    const tss = new Group(this.#cluster, faults, "tss", ["10.0.0.1"], () => new Timestamps());
    const shards = Array.from({ length: options.shards ?? 1 }, (_, shard) => {
      const newShard = () => {
        const service = new ShardService();
        this.#machines.push(service);
        return service;
      };
      return new Group(this.#cluster, faults, `shard${shard}`, [`10.0.${1 + shard}.1`], newShard);
    });
    this.#groups = [tss, ...shards] as Group<Timestamps | ShardService>[];
    const addresses = shards.map((shard) => shard.addresses);
    this.#frontends = Array.from(
      { length: options.frontends },
      (_, index) =>
        new Frontend(
          this.#cluster.host(`10.0.100.${index + 1}`),
          tss.addresses,
          addresses,
          false,
          TIMEOUT_MS,
        ),
    );
  }

  run(): WritersResult {
    try {
      this.#cluster.scheduler.run(() => this.#live(), { timeLimitMs: TIME_LIMIT_MS });
    } finally {
      for (const machine of this.#machines) machine.close();
    }
    return this.#result;
  }

  async #live(): Promise<void> {
    const { writers } = this.#options;
    for (const group of this.#groups) {
      await group.prepareDisks();
      for (const replica of group.replicas) replica.start();
    }
    for (const frontend of this.#frontends) frontend.start();
    this.#doors = this.#frontends.map(
      (frontend, index) => new Door(this.#cluster, `10.0.200.${index + 1}`, frontend),
    );
    const writing = Array.from({ length: writers }, (_, writer) => this.#write(writer));
    for (const each of writing) this.#cluster.scheduler.background(each);
    await new Promise<void>((resolve) => void this.#cluster.scheduler.after(RUN_MS, resolve));
    this.#isOver = true;
    await Promise.all(writing.slice(this.#options.frozen ?? 0));
    await this.#assertAllCount();
    const all = this.#result.commits.reduce((sum, count) => sum + count, 0);
    this.#result.lineMs = (RUN_MS * writers) / all;
    this.#result.lapsed = this.#doors.reduce((sum, { turns }) => sum + turns.figures.lapsed, 0);
    for (const door of this.#doors) door.stop();
    for (const frontend of this.#frontends) frontend.stop();
  }

  #connect(writer: number, isFrozen?: () => boolean): Promise<Client> {
    const { delaysMs } = this.#options;
    const door = this.#doors[writer % this.#doors.length] as Door;
    const { clock } = this.#cluster
      .host(`10.1.${isFrozen === undefined ? 1 : 0}.${writer + 1}`)
      .start().world;
    const open = door.open(delaysMs[writer % delaysMs.length] as number, isFrozen ?? (() => false));
    return connect({ frontends: ["http://frontend:1"], seams: { open, clock, random: this.#random } });
  }

  async #write(writer: number): Promise<void> {
    const { keysOf = () => ["contended"], frozen = 0, quitters = 0 } = this.#options;
    let isFrozen = false;
    const client = await this.#connect(writer, () => isFrozen);
    const values = keysOf(writer).map((key) => long(key));
    const { scheduler } = this.#cluster;
    while (!this.#isOver) {
      const startMs = scheduler.timeMs;
      let attempts = 0;
      const writing = client.execute(
        async (transaction) => {
          attempts += 1;
          // With its turn in its hands, unless it was the fastest at once.
          if (writer < frozen && attempts > 1) {
            isFrozen = true;
            await new Promise(() => undefined);
          }
          if (writer < quitters && attempts > 1) transaction.abort();
          for (const value of values) value.set(transaction, (await value.value(transaction)) + 1n);
        },
        { retries: Number.POSITIVE_INFINITY },
      );
      const hasGivenUp = await writing.then(
        () => false,
        (error: unknown) => {
          if (error instanceof AbortedError && error.reason === "byUser") return true;
          throw error;
        },
      );
      const result = this.#result;
      if (!hasGivenUp) result.commits[writer] = (result.commits[writer] ?? 0) + 1;
      result.attemptsMax = Math.max(result.attemptsMax, attempts);
      result.longestWaitMs = Math.max(result.longestWaitMs, scheduler.timeMs - startMs);
    }
    await client.close();
  }

  async #assertAllCount(): Promise<void> {
    const { writers, keysOf = () => ["contended"] } = this.#options;
    const wanted = new Map<string, bigint>();
    for (let writer = 0; writer < writers; writer++)
      for (const key of keysOf(writer))
        wanted.set(key, (wanted.get(key) ?? 0n) + BigInt(this.#result.commits[writer] ?? 0));
    const client = await this.#connect(0);
    for (const [key, count] of wanted) {
      const found = await client.readOnly((transaction) => long(key).value(transaction));
      if (found !== count) throw new Error(`${key} is ${found}, ${count} increments were acknowledged`);
    }
    await client.close();
  }
}

export function manyWriters(seed: number, options: WritersOptions): WritersResult {
  return new Writers(seed, options).run();
}
