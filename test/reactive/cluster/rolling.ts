/**
 * A simulated store whose processes are restarted one after the other, as `restart` does it or as a host that dies does it, while
 * writers write that are in nobody's way.
 *
 * What is found out is how long one of them has to wait: whatever a restart meets (what is under way, sessions, followers, what
 * waits for a primary), all of it is asked for again, and none of it is left until a timeout gives it up.
 */
import { SimulationError } from "../../../src/core/sim/scheduler.ts";
import { FaultCounts } from "../../../src/core/sim/faults.ts";
import { SimCluster } from "../../../src/core/sim/world.ts";
import { encodeOperations } from "../../../src/reactive/shard/operations.ts";
import { ShardService } from "../../../src/reactive/shard/service.ts";
import { Level } from "../../../src/reactive/shard/transaction.ts";
import { Timestamps } from "../../../src/reactive/tss/timestamps.ts";
import { Frontend, Group, type Replica } from "./processes.ts";

export interface RollingOptions {
  /** How long a message takes, on average: more than a few milliseconds stand for hosts that have no time. */
  delayMeanMs: number;
  isGraceful: boolean;
}

export interface RollingResult {
  commits: number;
  longestWaitMs: number;
  /** Commits and questions that were given up. */
  errors: number;
}

const WRITERS = 2;
const WRITE_PAUSE_MS = 20;
const DOWN_MS = 300;
/** Between a restart and the next: long enough to take part again, so that a quorum is there all the time. */
const UP_MS = 500;
/** Of what a frontend asks: as its configuration has it. */
const TIMEOUT_MS = 30_000;
const TIME_LIMIT_MS = 600_000;

const bytesOf = (text: string) => new Uint8Array(Buffer.from(text));
const put = encodeOperations([{ kind: "put", value: { type: "bytes", bytes: bytesOf("written") } }]);
const add = encodeOperations([{ kind: "add", amount: 1n }]);

class RollingRestart {
  readonly #cluster: SimCluster;
  readonly #groups: Group<Timestamps | ShardService>[];
  readonly #frontends: Frontend[];
  readonly #machines: ShardService[] = [];
  readonly #options: RollingOptions;
  readonly #result: RollingResult = { commits: 0, longestWaitMs: 0, errors: 0 };
  #isOver = false;

  constructor(seed: number, options: RollingOptions) {
    const { delayMeanMs } = options;
    this.#options = options;
    this.#cluster = new SimCluster(seed, { net: { delayMeanMs } });
    const hosts = (net: number, count: number) =>
      Array.from({ length: count }, (_, index) => `10.0.${net}.${index + 1}`);
    const faults = new FaultCounts();
    const tss = new Group(this.#cluster, faults, "tss", hosts(0, 3), () => new Timestamps());
    const shards = [0, 1].map(
      (shard) =>
        new Group(this.#cluster, faults, `shard${shard}`, hosts(1 + shard, 3), () => this.#newShard()),
    );
    this.#groups = [tss, ...shards] as Group<Timestamps | ShardService>[];
    const addresses = shards.map((shard) => shard.addresses);
    this.#frontends = hosts(100, 2).map(
      (host) => new Frontend(this.#cluster.host(host), tss.addresses, addresses, true, TIMEOUT_MS),
    );
  }

  #newShard(): ShardService {
    const service = new ShardService();
    this.#machines.push(service);
    return service;
  }

  run(): RollingResult {
    try {
      this.#cluster.scheduler.run(() => this.#live(), { timeLimitMs: TIME_LIMIT_MS });
    } finally {
      for (const machine of this.#machines) machine.close();
    }
    return this.#result;
  }

  async #live(): Promise<void> {
    for (const group of this.#groups) {
      await group.prepareDisks();
      for (const replica of group.replicas) replica.start();
    }
    for (const frontend of this.#frontends) frontend.start();
    const writing = Array.from({ length: WRITERS }, (_, writer) => this.#write(writer));
    for (const each of writing) this.#cluster.scheduler.background(each);
    await this.#until(() => this.#result.commits >= WRITERS);
    this.#result.longestWaitMs = 0;
    for (const { replicas } of this.#groups) for (const replica of replicas) await this.#restart(replica);
    this.#isOver = true;
    await Promise.all(writing);
    for (const frontend of this.#frontends) frontend.stop();
  }

  async #restart(replica: Replica<Timestamps | ShardService>): Promise<void> {
    if (this.#options.isGraceful) await replica.leave();
    else replica.kill();
    await this.#pause(DOWN_MS);
    replica.start();
    await this.#until(() => replica.node?.notReady().length === 0);
    await this.#pause(UP_MS);
  }

  /** Keys on both shards that nobody else has, and a counter that all have. */
  async #write(writer: number): Promise<void> {
    const { scheduler } = this.#cluster;
    const frontend = this.#frontends[writer % this.#frontends.length] as Frontend;
    const accesses = [
      ...Array.from({ length: 6 }, (_, key) => ({
        key: bytesOf(`${writer}/${key}`),
        reads: [],
        operations: put,
      })),
      { key: bytesOf("all"), reads: [], operations: add },
    ];
    for (let number = 1; !this.#isOver; number++) {
      const startMs = scheduler.timeMs;
      const id = { client: writer + 1, number };
      const whole = { id, floor: number, level: Level.strict, snapshot: 0, accesses };
      const outcome = await frontend.ask((backend) => backend.commit(whole)).catch(() => undefined);
      if (outcome === undefined) this.#result.errors += 1;
      else if (outcome !== "gone" && outcome.kind === "committed") this.#result.commits += 1;
      this.#result.longestWaitMs = Math.max(this.#result.longestWaitMs, scheduler.timeMs - startMs);
      await this.#pause(WRITE_PAUSE_MS);
    }
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => void this.#cluster.scheduler.after(delayMs, resolve));
  }

  async #until(isTrue: () => boolean): Promise<void> {
    while (!isTrue()) await this.#pause(20);
  }
}

/** Throws SimulationError where somebody waited for longer, or in vain. */
export function restartInTurn(seed: number, waitMsMax: number, options: RollingOptions): RollingResult {
  const result = new RollingRestart(seed, options).run();
  if (result.errors > 0 || result.longestWaitMs > waitMsMax)
    throw new SimulationError(
      `rolling restart, seed ${seed}: more than ${waitMsMax} ms: ${JSON.stringify(result)}`,
    );
  return result;
}
