/**
 * The processes of a transactional store over simulated hosts, networks and disks: replicas of timestamp servers and shards as
 * their roles open them, and frontends with everything but their listeners.
 *
 * Invariant: a host's disk outlives its processes; what a frontend knows dies with it.
 */
import { NxError } from "../../../src/core/errors.ts";
import { silentLog } from "../../../src/core/logging/log.ts";
import { createMetrics } from "../../../src/core/metrics.ts";
import type { RoleContext, World } from "../../../src/core/role.ts";
import type { FaultCounts } from "../../../src/core/sim/faults.ts";
import { SimulationError } from "../../../src/core/sim/scheduler.ts";
import type { RunningProcess, SimCluster, SimHost } from "../../../src/core/sim/world.ts";
import { type GroupConfig, openGroupNode, openGroupPort } from "../../../src/reactive/group-role.ts";
import { Backend } from "../../../src/reactive/engines/builtin/backend.ts";
import type { Outlet, Watcher } from "../../../src/reactive/frontend/watches/watcher.ts";
import { Watching } from "../../../src/reactive/frontend/watches/watching.ts";
import { Settler } from "../../../src/reactive/engines/builtin/settler.ts";
import { GroupClient } from "../../../src/reactive/replication/group-client.ts";
import type { GroupNode } from "../../../src/reactive/replication/group-node.ts";
import type { StateMachine } from "../../../src/reactive/replication/types.ts";
import { shardConfig } from "../../../src/reactive/shard/config.ts";
import { TimestampClient } from "../../../src/reactive/tss/client.ts";
import { unhurried } from "../unhurried.ts";

const PORT = 12345;
/** 2026-01-01T00:00:00Z */
const DATE_MS = 1_767_225_600_000;
const JOURNAL_BYTES_MIN = 6000;
/** Of what a frontend asks: short, so that faults meet it. */
const TIMEOUT_MS = 1500;
const FILES = { segmentBytesMin: 8192, readChunkBytes: 65_536 };

export type Address = { host: string; port: number };

/** One replica of a group on a host of its own. */
export class Replica<Machine extends StateMachine> {
  readonly host: SimHost;
  readonly name: string;
  machine: Machine | undefined;
  node: GroupNode | undefined;
  /** A frontend in its process, which begins and ends with it. */
  lodger: { moveIn(world: World, node: GroupNode): void; die(): void } | undefined;
  /** Its disk was lost and it has not come back since. */
  isWiped = false;
  readonly index: number;
  readonly #group: Group<Machine>;
  #process: RunningProcess | undefined;

  constructor(group: Group<Machine>, index: number, host: SimHost) {
    this.#group = group;
    this.index = index;
    this.host = host;
    this.name = `${group.name}.${index}`;
  }

  get isUp(): boolean {
    return this.#process?.isAlive === true;
  }

  start(): void {
    const { cluster, name, addresses, newMachine } = this.#group;
    // The lease's margin is 10 %: clocks within 4 % of true time are inside it.
    const driftPpm = this.#group.random.integer(80_000) - 40_000;
    // Its date may be wrong by weeks, and is another one with each start.
    const process = this.host.start({ driftPpm, wallStartMs: DATE_MS + driftPpm * 50_000 });
    const machine = newMachine();
    this.#process = process;
    this.machine = machine;
    const config = shardConfig.parse({
      role: "shard",
      instance: this.name,
      dataDir: "/data",
      replicas: addresses.map(({ host, port }) => `${host}:${port}`),
      replica: this.index,
      host: this.host.address,
      port: PORT,
    });
    const context: RoleContext<GroupConfig> = {
      ...process.world,
      clock: unhurried(process.world.clock, this.#group.random),
      instance: this.name,
      // Below what operators may say, so that short lives meet snapshots.
      config: { ...config, journalBytesMin: JOURNAL_BYTES_MIN },
      dataDir: "/data",
      log: silentLog(),
      metrics: createMetrics(this.name, "shard"),
      tls: undefined,
      progress: () => {},
      announcePort: () => {},
      fatal: (error) => this.#onFatal(process, error),
    };
    const port = openGroupPort(context);
    const opening = openGroupNode(context, "shard", { machine, group: name, port, files: FILES });
    const task = opening.then(
      (node) => {
        if (!process.isAlive) return;
        this.node = node;
        this.lodger?.moveIn(process.world, node);
      },
      (error: Error) => this.#onFatal(process, error),
    );
    cluster.scheduler.background(task);
  }

  /** A failed disk ends the process; all else is a defect. */
  #onFatal(process: RunningProcess, error: Error): void {
    if (!process.isAlive) return;
    if (error instanceof NxError && error.code === "NX_DISK_FAILED") this.kill();
    else
      this.#group.cluster.scheduler.background(
        Promise.reject(new SimulationError(`${this.name}: ${error.stack}`)),
      );
  }

  kill(): void {
    this.host.killProcess();
    this.#down();
  }

  /** Ends as a role does that is told to: another one is primary first. */
  async leave(): Promise<void> {
    await this.node?.drain();
    await this.node?.stop();
    this.kill();
  }

  losePower(): void {
    this.host.losePower({ names: "any", isTearing: true });
    this.#down();
  }

  #down(): void {
    this.#group.count(this);
    this.host.disk.failLater(undefined);
    this.#process = undefined;
    this.node = undefined;
    this.machine = undefined;
    this.lodger?.die();
  }
}

/** The replicas of one shard, or of the timestamp server. */
export class Group<Machine extends StateMachine> {
  readonly cluster: SimCluster;
  readonly name: string;
  readonly addresses: Address[];
  readonly replicas: Replica<Machine>[];
  readonly newMachine: () => Machine;
  readonly random;
  readonly #faults: FaultCounts;
  #viewMax = 0;

  constructor(
    cluster: SimCluster,
    faults: FaultCounts,
    name: string,
    hosts: string[],
    newMachine: () => Machine,
  ) {
    this.cluster = cluster;
    this.name = name;
    this.#faults = faults;
    this.random = cluster.scheduler.fork();
    this.addresses = hosts.map((host) => ({ host, port: PORT }));
    this.newMachine = newMachine;
    this.replicas = hosts.map((host, index) => new Replica(this, index, cluster.host(host)));
  }

  async prepareDisks(): Promise<void> {
    for (const { host } of this.replicas) {
      await host.disk.makeDirectory("/data");
      await host.disk.syncDirectory("/");
    }
  }

  /** Of the highest view. */
  get primary(): Replica<Machine> | undefined {
    const primaries = this.replicas.filter(({ node }) => node?.driver.status.isPrimary === true);
    return primaries.sort((a, b) => (b.node?.driver.status.view ?? 0) - (a.node?.driver.status.view ?? 0))[0];
  }

  /** Everything that was ordered is applied everywhere. */
  get isSettled(): boolean {
    const statuses = this.replicas.map(({ node }) => node?.driver.status);
    const commits = new Set(statuses.map((status) => status?.commit));
    return (
      commits.size === 1 &&
      statuses.every((status) => status?.phase === "normal" && status.op === status.commit) &&
      this.replicas.every(({ node }) => node?.driver.hasApplied)
    );
  }

  /** Adds what this life of a replica did to the figures. */
  count({ node }: Replica<Machine>): void {
    if (node === undefined) return;
    const { view } = node.driver.status;
    if (view > this.#viewMax && this.replicas.length > 1)
      this.#faults.count("view change", view - this.#viewMax);
    this.#viewMax = Math.max(this.#viewMax, view);
    this.#faults.count("snapshot transferred", node.driver.figures.snapshotsFetched);
    this.#faults.count("journal compacted", node.driver.figures.compactions);
  }
}

/**
 * A frontend without its listeners: clients of a simulation call it directly, and lose it when it dies. With a landlord it is in the
 * process of that replica.
 */
export class Frontend {
  readonly host: SimHost;
  readonly #shards: Address[][];
  readonly #timestamps: Address[];
  #life:
    | {
        backend: Backend;
        settler: Settler;
        groups: GroupClient[];
        watching: Watching | undefined;
        isOver: Promise<void>;
        end(): void;
      }
    | undefined;
  settled = 0;
  /** It dies when so many commands more were answered. */
  #answersLeft = Number.POSITIVE_INFINITY;
  #onAnswered = () => {};

  /** Whether it follows shards, for clients that watch. */
  readonly #isWatched: boolean;
  readonly #landlord: Replica<StateMachine> | undefined;
  readonly #timeoutMs: number;

  constructor(
    home: SimHost | Replica<StateMachine>,
    timestamps: Address[],
    shards: Address[][],
    isWatched = false,
    timeoutMs = TIMEOUT_MS,
  ) {
    this.#isWatched = isWatched;
    this.#timeoutMs = timeoutMs;
    this.#landlord = home instanceof Replica ? home : undefined;
    this.host = home instanceof Replica ? home.host : home;
    this.#timestamps = timestamps;
    this.#shards = shards;
    if (this.#landlord !== undefined)
      this.#landlord.lodger = { moveIn: (world, node) => this.#begin(world, node), die: () => this.#die() };
  }

  start(): void {
    if (this.#landlord === undefined) this.#begin(this.host.start().world, undefined);
    else if (!this.#landlord.isUp) this.#landlord.start();
  }

  #begin(world: World, node: GroupNode | undefined): void {
    const here =
      this.#landlord === undefined || node === undefined
        ? undefined
        : { index: this.#landlord.index, replica: node };
    const client = (group: string, replicas: Address[]) =>
      new GroupClient({
        world,
        group,
        replicas,
        timeoutMs: this.#timeoutMs,
        ...(here !== undefined && group === node?.group && { here }),
      });
    const shards = this.#shards.map((addresses, shard) => client(`shard${shard}`, addresses));
    const tss = client("tss", this.#timestamps);
    for (const shard of shards) {
      const command = shard.command.bind(shard);
      shard.command = async (body) => {
        const reply = await command(body);
        return this.#diesOfIt() ? new Promise<never>(() => undefined) : reply;
      };
    }
    const backend = new Backend(shards, new TimestampClient(tss), world.clock);
    const settler = new Settler(backend, world.clock, silentLog(), 400);
    const { promise: isOver, resolve: end } = Promise.withResolvers<void>();
    const watching = this.#isWatched ? new Watching(backend, world.clock) : undefined;
    // As its role does.
    if (watching !== undefined)
      world.clock.every(400, () => {
        const polled = backend.nextTimestamp().then((issued) => watching.poll(issued));
        polled.catch(() => undefined);
      });
    this.#life = { backend, settler, groups: [tss, ...shards], watching, isOver, end };
  }

  /** A client's watches; undefined when the frontend is dead. */
  openWatcher(outlet: Outlet, unackedMax: number): { watcher: Watcher; isOver: Promise<void> } | undefined {
    const life = this.#life;
    const watcher = life?.watching?.open(outlet, unackedMax);
    return life === undefined || watcher === undefined ? undefined : { watcher, isOver: life.isOver };
  }

  /** The client left it. One that died has forgotten it. */
  closeWatcher(watcher: Watcher): void {
    this.#life?.watching?.close(watcher);
  }

  get isUp(): boolean {
    return this.#life !== undefined;
  }

  get backend(): Backend | undefined {
    return this.#life?.backend;
  }

  /** What `call` resolves with; "gone" when the frontend dies meanwhile, or is dead. */
  async ask<Answer>(call: (backend: Backend) => Promise<Answer>): Promise<Answer | "gone"> {
    const life = this.#life;
    if (life === undefined) return "gone";
    return Promise.race([call(life.backend), life.isOver.then(() => "gone" as const)]);
  }

  /** It dies with a shard's answer in its hands. */
  killAtAnswer(answers: number, onKilled: () => void): void {
    this.#answersLeft = answers;
    this.#onAnswered = onKilled;
  }

  #diesOfIt(): boolean {
    if (--this.#answersLeft > 0 || this.#life === undefined) return false;
    this.#onAnswered();
    this.kill();
    return true;
  }

  kill(): void {
    this.#answersLeft = Number.POSITIVE_INFINITY;
    if (this.#life === undefined) return;
    if (this.#landlord !== undefined) {
      this.#landlord.kill();
      return;
    }
    this.host.killProcess();
    this.#die();
  }

  #die(): void {
    if (this.#life === undefined) return;
    this.#answersLeft = Number.POSITIVE_INFINITY;
    this.settled += this.#life.settler.settled;
    this.#life.end();
    this.#life = undefined;
  }

  stop(): void {
    if (this.#life === undefined) return;
    this.settled += this.#life.settler.settled;
    this.#life.settler.stop();
    this.#life.watching?.stop();
    for (const group of this.#life.groups) group.close();
    this.#life = undefined;
  }
}
