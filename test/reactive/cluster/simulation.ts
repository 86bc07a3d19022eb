/**
 * A whole transactional store in one process and from one seed: timestamp servers, shards and frontends as they are, over
 * simulated hosts, with clients, while processes die, hosts lose power or their disks, and the network cuts and resets.
 *
 * What is checked: no anomaly that the level of a transaction forbids (checkers/elle.ts), every acknowledged increment counts
 * once, nothing stays locked, all replicas of a shard end with the same state, and whatever was asked is answered once the
 * faults have ended. The whole run is a function of its seed.
 */
import { DirectoryNode } from "../../../src/core/sim/disk-state.ts";
import { FaultCounts } from "../../../src/core/sim/faults.ts";
import { SimulationError } from "../../../src/core/sim/scheduler.ts";
import { SimCluster } from "../../../src/core/sim/world.ts";
import { type Random, seededRandom } from "../../../src/core/seams/random.ts";
import type { ReadVersion } from "../../../src/reactive/shard/query-messages.ts";
import { decodeValue } from "../../../src/reactive/shard/operations.ts";
import { ShardService, shardDefaults } from "../../../src/reactive/shard/service.ts";
import type { StateMachine } from "../../../src/reactive/replication/types.ts";
import { Timestamps } from "../../../src/reactive/tss/timestamps.ts";
import { checkTransactions } from "../checkers/elle.ts";
import {
  Client,
  type ClientWorld,
  counterKeys,
  emptyHistory,
  type LevelName,
  listKeys,
  listOf,
} from "./clients.ts";
import { Frontend, Group, type Replica } from "./processes.ts";
import { WatchingClient } from "./watchers.ts";

/** What a set of simulations has to have met. */
export const expectedFaults = [
  "process killed",
  "power loss",
  "disk wiped",
  "all killed at once",
  "frontend killed",
  "frontend killed at an answer",
  "frontend cut off",
  "primary isolated",
  "one-way cut",
  "connection reset",
  "view change",
  "journal compacted",
  "snapshot transferred",
  "orphan settled",
  "sent again under its name",
  "given up",
  "committed",
  "committed at once",
  "too late for one entry",
  "refused: prepared",
  "refused: stale",
  "refused: overwritten",
  "read from a cache",
  "read of a forgotten moment refused",
] as const;

/** Anomalies that a level may show. */
const allowed: Record<LevelName, RegExp> = {
  strict: /^$/,
  snapshot: /^G2-item/,
  readCommitted: /^(G-single|G2-item|lost update)/,
};

export interface SimulationOptions {
  /** Simulated time with faults. */
  faultyMs?: number;
  clients?: number;
  /** Clients that watch. */
  watchers?: number;
  /** Frontends are in processes of replicas, as in a `store`. */
  lodges?: boolean;
}

export interface SimulationResult {
  seed: number;
  transactions: number;
  simulatedMs: number;
  traceHash: string;
  faults: FaultCounts;
}

const settings = {
  ...shardDefaults,
  retentionMs: 200,
  outcomeRetentionMs: 60_000,
  keptOutcomeRetentionMs: 60_000,
};

class Simulation implements ClientWorld {
  readonly cluster: SimCluster;
  readonly faults = new FaultCounts();
  readonly history = emptyHistory();
  readonly frontends: Frontend[];
  isEnding = false;
  readonly #random: Random;
  readonly #tss: Group<Timestamps>;
  readonly #shards: Group<ShardService>[];
  readonly #clients: Client[];
  readonly #watchers: WatchingClient[];
  readonly #faultyMs: number;
  readonly #machines: ShardService[] = [];
  #value = 0;

  constructor(
    seed: number,
    { faultyMs = 1500, clients = 5, watchers = 0, lodges = false }: SimulationOptions,
  ) {
    const dice = seededRandom(seed ^ 0x5eed);
    const delayMeanMs = [0.3, 1, 4][dice.integer(3)] as number;
    const latencyMeanMs = [0.3, 1, 4][dice.integer(3)] as number;
    this.cluster = new SimCluster(seed, { net: { delayMeanMs }, disk: { latencyMeanMs, sectorBytes: 8192 } });
    this.#random = this.cluster.scheduler.fork();
    this.#faultyMs = faultyMs;
    const sizes = { tss: dice.integer(3) === 0 ? 3 : 1, shard: dice.integer(2) === 0 ? 3 : 1 };
    const hosts = (net: number, count: number) =>
      Array.from({ length: count }, (_, index) => `10.0.${net}.${index + 1}`);
    const { cluster, faults } = this;
    this.#tss = new Group(cluster, faults, "tss", hosts(0, sizes.tss), () => new Timestamps());
    this.#shards = Array.from(
      { length: 1 + dice.integer(3) },
      (_, shard) =>
        new Group(cluster, faults, `shard${shard}`, hosts(1 + shard, sizes.shard), () => this.#newShard()),
    );
    const shardAddresses = this.#shards.map(({ addresses }) => addresses);
    // One in the process of a timestamp server, one in that of a shard.
    const homes = lodges
      ? [this.#tss, this.#shards[0]].map((group) => group?.replicas.at(-1) as Replica<StateMachine>)
      : hosts(100, 2).map((host) => cluster.host(host));
    this.frontends = homes.map(
      (home) => new Frontend(home, this.#tss.addresses, shardAddresses, watchers > 0),
    );
    this.#clients = Array.from({ length: clients }, (_, index) => new Client(this, index + 1));
    this.#watchers = Array.from({ length: watchers }, (_, index) => new WatchingClient(this, index + 1));
  }

  get scheduler() {
    return this.cluster.scheduler;
  }

  nextValue(): number {
    return ++this.#value;
  }

  #newShard(): ShardService {
    // Every other one does in steps what has two keys or more: replicas must not differ by that.
    const stepAccesses = this.#machines.length % 2 === 0 ? 1 : shardDefaults.stepAccesses;
    const service = new ShardService({ ...settings, stepAccesses });
    this.#machines.push(service);
    return service;
  }

  get #groups(): Group<Timestamps | ShardService>[] {
    return [this.#tss, ...this.#shards] as Group<Timestamps | ShardService>[];
  }

  run(): void {
    try {
      this.scheduler.run(() => this.#live(), { timeLimitMs: this.#faultyMs + 40_000 });
    } finally {
      for (const machine of this.#machines) machine.close();
    }
    for (const group of this.#groups) for (const replica of group.replicas) group.count(replica);
    this.faults.count("committed at once", sumOf(this.#machines, "atOnce"));
    this.faults.count("too late for one entry", sumOf(this.#machines, "late"));
    this.faults.count(
      "orphan settled",
      this.frontends.reduce((sum, { settled }) => sum + settled, 0),
    );
    this.faults.add(this.cluster.faults());
  }

  async #live(): Promise<void> {
    for (const group of this.#groups) {
      await group.prepareDisks();
      for (const replica of group.replicas) replica.start();
    }
    for (const frontend of this.frontends) frontend.start();
    const clients = this.#clients.map((client) => client.run());
    for (const client of clients) this.scheduler.background(client);
    const watching = this.#watchers.map((watcher) => watcher.run());
    for (const watcher of watching) this.scheduler.background(watcher);
    this.scheduler.after(400 + this.#random.integer(300), () => this.#strike());
    await this.#pause(this.#faultyMs);
    this.#heal();
    await this.#pause(300);
    this.isEnding = true;
    await Promise.all(clients);
    await this.#rest();
    await this.#converge();
    await this.#check();
    for (const frontend of this.frontends) frontend.stop();
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => void this.scheduler.after(delayMs, resolve));
  }

  // --- faults ----------------------------------------------------------------------------------------------------

  #strike(): void {
    if (this.scheduler.timeMs >= this.#faultyMs) return;
    const dice = this.#random.integer(100);
    const group = this.#groups[this.#random.integer(this.#groups.length)] as Group<Timestamps | ShardService>;
    if (dice < 12) this.#stop(this.#victim(group), "process killed");
    else if (dice < 22) this.#stop(this.#victim(group), "power loss");
    else if (dice < 27) this.#wipe(group);
    else if (dice < 30) this.#killAll();
    else if (dice < 40) this.#killFrontend();
    else if (dice < 56) this.#killFrontendAtAnswer();
    else if (dice < 70) this.#isolatePrimary(group);
    else if (dice < 78) this.#cutFrontend(group);
    else if (dice < 90) this.cluster.network.heal();
    else if (this.cluster.network.resetOne()) this.faults.count("connection reset");
    this.#restartSome();
    this.scheduler.after(20 + this.#random.integer(200), () => this.#strike());
  }

  #restartSome(): void {
    for (const { replicas } of this.#groups)
      for (const replica of replicas) if (!replica.isUp && this.#random.integer(2) === 0) replica.start();
    for (const frontend of this.frontends)
      if (!frontend.isUp && this.#random.integer(2) === 0) frontend.start();
  }

  /** The primary as often as all others together. */
  #victim(group: Group<Timestamps | ShardService>): Replica<Timestamps | ShardService> | undefined {
    if (this.#random.integer(2) === 0) return group.primary;
    const up = group.replicas.filter(({ isUp }) => isUp);
    return up[this.#random.integer(Math.max(1, up.length))];
  }

  #stop(replica: Replica<Timestamps | ShardService> | undefined, how: "process killed" | "power loss"): void {
    if (replica === undefined) return;
    this.faults.count(how);
    if (how === "process killed") replica.kill();
    else replica.losePower();
  }

  /** A minority's disk, once the group was founded. */
  #wipe(group: Group<Timestamps | ShardService>): void {
    const { primary, replicas } = group;
    for (const each of replicas) if (each.node?.driver.status.phase === "normal") each.isWiped = false;
    if (replicas.length < 3 || primary === undefined || replicas.some(({ isWiped }) => isWiped)) return;
    if (replicas.some(({ node }) => node?.driver.status.phase === "blank")) return;
    const victim = this.#victim(group);
    if (victim === undefined) return;
    victim.losePower();
    victim.host.disk.restore(new DirectoryNode());
    victim.isWiped = true;
    this.faults.count("disk wiped");
    this.scheduler.background(
      victim.host.disk.makeDirectory("/data").then(() => victim.host.disk.syncDirectory("/")),
    );
  }

  #killAll(): void {
    this.faults.count("all killed at once");
    for (const { replicas } of this.#groups)
      for (const replica of replicas.filter(({ isUp }) => isUp)) replica.losePower();
    for (const frontend of this.frontends) frontend.kill();
  }

  #killFrontend(): void {
    const frontend = this.frontends[this.#random.integer(this.frontends.length)] as Frontend;
    if (!frontend.isUp) return;
    this.faults.count("frontend killed");
    frontend.kill();
  }

  /** In the midst of what it does: when it has the next answer of a shard, or the one behind it, and so on. */
  #killFrontendAtAnswer(): void {
    const frontend = this.frontends[this.#random.integer(this.frontends.length)] as Frontend;
    frontend.killAtAnswer(1 + this.#random.integer(6), () =>
      this.faults.count("frontend killed at an answer"),
    );
  }

  #isolatePrimary({ primary, replicas }: Group<Timestamps | ShardService>): void {
    if (primary === undefined || replicas.length < 3) return;
    this.faults.count("primary isolated");
    const isOneWay = this.#random.integer(3) === 0;
    if (isOneWay) this.faults.count("one-way cut");
    for (const { host } of replicas) {
      if (host === primary.host) continue;
      this.cluster.network.cut(primary.host.address, host.address);
      if (!isOneWay) this.cluster.network.cut(host.address, primary.host.address);
    }
  }

  #cutFrontend({ replicas }: Group<Timestamps | ShardService>): void {
    const frontend = this.frontends[this.#random.integer(this.frontends.length)] as Frontend;
    this.faults.count("frontend cut off");
    for (const { host } of replicas) {
      this.cluster.network.cut(frontend.host.address, host.address);
      this.cluster.network.cut(host.address, frontend.host.address);
    }
  }

  #heal(): void {
    this.scheduler.trace("all faults end");
    this.cluster.network.heal();
    for (const { replicas } of this.#groups)
      for (const replica of replicas) if (!replica.isUp) replica.start();
    for (const frontend of this.frontends) {
      frontend.killAtAnswer(Number.POSITIVE_INFINITY, () => {});
      if (!frontend.isUp) frontend.start();
    }
  }

  // --- the end ---------------------------------------------------------------------------------------------------

  /** Until replicas agree and frontends have settled what others left. */
  async #rest(): Promise<void> {
    for (let waitedMs = 0; waitedMs < 30_000; waitedMs += 100) {
      const services = this.#shards.flatMap(({ replicas }) => replicas.map(({ machine }) => machine));
      const isFree = services.every(
        (service) => service?.state.prepared.size === 0 && service.state.outcomes.unfinished().length === 0,
      );
      if (isFree && this.#groups.every(({ isSettled }) => isSettled)) return;
      await this.#pause(100);
    }
    const left = this.#shards.map(({ name, replicas }) => `${name}: ${JSON.stringify(replicas.map(({ node, machine }) => ({ ...machine?.stats, ...node?.driver.status })))}`); // prettier-ignore
    throw new SimulationError(`no rest 30 s after the faults: ${left.join("; ")}`);
  }

  /** Every watcher's last run shows the last state, and none of its runs was wrong. */
  async #converge(): Promise<void> {
    if (this.#watchers.length === 0) return;
    const keys = listKeys("strict");
    const wanted = await (this.frontends[0] as Frontend).ask((backend) =>
      backend.read(
        keys.map((key) => new Uint8Array(Buffer.from(key))),
        undefined,
      ),
    );
    if (wanted === "gone") throw new SimulationError("the frontend is gone");
    const final = new Map(keys.map((key, index) => [key, listOf(wanted.versions[index] as ReadVersion)]));
    const isCurrent = ({ view }: WatchingClient) =>
      [...view].every(([key, list]) => list.join() === final.get(key)?.join());
    for (let waitedMs = 0; !this.#watchers.every(isCurrent); waitedMs += 20) {
      if (waitedMs > 5000) throw new SimulationError("a watcher does not see the last state");
      await this.#pause(20);
    }
    for (const watcher of this.#watchers) watcher.stop();
    const faults = this.#watchers.flatMap((watcher) => watcher.faults);
    if (faults.length > 0) throw new SimulationError(faults.slice(0, 3).join("; "));
  }

  async #check(): Promise<void> {
    const [frontend] = this.frontends as [Frontend];
    const listed = levels.flatMap(listKeys);
    const keys = [...listed, ...counterKeys].map((key) => new Uint8Array(Buffer.from(key)));
    const final = await frontend.ask((backend) => backend.read(keys, undefined));
    if (final === "gone") throw new SimulationError("the frontend is gone");
    this.#checkLists();
    this.#checkAppends(
      new Map(listed.map((key, index) => [key, listOf(final.versions[index] as ReadVersion)])),
    );
    this.#checkCounters(
      final.versions.slice(-counterKeys.length).map(({ type, value }) => decodeValue(type, value)),
    );
    // What frontends did behind their answers has reached everybody again.
    await this.#rest();
    for (const { name, replicas } of this.#shards) {
      const states = new Set(replicas.map(({ machine }) => fingerprint(machine as ShardService, keys)));
      if (states.size !== 1)
        throw new SimulationError(`replicas of ${name} differ: ${[...states].join(" | ")}`);
    }
  }

  #checkLists(): void {
    for (const level of levels) {
      const anomalies = checkTransactions(this.history.transactions[level], { isStrict: level === "strict" });
      const wrong = anomalies.filter(({ kind }) => !allowed[level].test(kind));
      for (const { kind } of anomalies) this.faults.count(`${level} shows ${kind}`);
      if (wrong.length === 0) continue;
      throw new SimulationError(
        `${level}: ${wrong
          .slice(0, 3)
          .map(({ kind, text }) => `${kind}: ${text}`)
          .join("\n")}`,
      );
    }
  }

  /** What was acknowledged is there, once; what was not is not. */
  #checkAppends(lists: Map<string, number[]>): void {
    const expected = new Map([...lists.keys()].map((key) => [key, new Set<number>()]));
    const possible = new Set<number>();
    for (const { steps, outcome } of Object.values(this.history.transactions).flat())
      for (const step of steps) {
        if (!("append" in step) || outcome === "aborted") continue;
        if (outcome === "committed") expected.get(step.key)?.add(step.append);
        else possible.add(step.append);
      }
    for (const [key, list] of lists) {
      const wanted = expected.get(key) as Set<number>;
      const isKnown = (value: number) => wanted.has(value) || possible.has(value);
      const wrong = list.filter((value, at) => !isKnown(value) || list.indexOf(value) !== at);
      const lost = [...wanted].filter((value) => !list.includes(value));
      if (wrong.length + lost.length > 0)
        throw new SimulationError(`${key}: ${lost} lost, ${wrong} twice or from nowhere, of ${list}`);
    }
  }

  #checkCounters(values: ReturnType<typeof decodeValue>[]): void {
    for (const [index, key] of counterKeys.entries()) {
      const value = values[index];
      const count = value?.type === "counter" ? value.count : 0n;
      const expected = this.history.counts.get(key) ?? 0n;
      if (count !== expected)
        throw new SimulationError(`${key} counts ${count}, ${expected} increments were acknowledged`);
    }
  }
}

const sumOf = (machines: ShardService[], figure: "atOnce" | "late") =>
  machines.reduce((sum, { figures }) => sum + figures[figure], 0);

const levels: LevelName[] = ["strict", "snapshot", "readCommitted"];

/** Everything that replicas must have in common. */
function fingerprint({ state, versions }: ShardService, keys: Uint8Array[]): string {
  const { position, largest, horizon } = state;
  const values = keys.map((key) => {
    const view = versions.read(key, Number.MAX_SAFE_INTEGER);
    return `${view?.start}:${Buffer.from(view?.value ?? []).toString("base64")}`;
  });
  return JSON.stringify({ position, largest, horizon, values });
}

/** Runs one seed; throws with the seed when the store breaks a promise. */
export function runSimulation(seed: number, options: SimulationOptions = {}): SimulationResult {
  const simulation = new Simulation(seed, options);
  try {
    simulation.run();
  } catch (error) {
    throw new SimulationError(`store simulation, seed ${seed}: ${(error as Error).message}`, {
      cause: error,
    });
  }
  const { scheduler, history, faults } = simulation;
  return {
    seed,
    transactions: Object.values(history.transactions).reduce((sum, { length }) => sum + length, 0),
    simulatedMs: Math.round(scheduler.timeMs),
    traceHash: scheduler.traceHash,
    faults,
  };
}
