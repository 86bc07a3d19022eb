/**
 * A whole group in one process: the real driver, replica, journal and superblocks on simulated disks, clocks and wires,
 * with clients that retry, while processes die, hosts lose power or their disks, links lose, repeat, reorder and cut.
 *
 * What is checked: no two replicas ever apply different entries at one op; every acknowledged append is there, once, and
 * all reads fit into one order with real time (test/reactive/checkers); after all faults have ended everything
 * that is asked is answered and all replicas hold the same state. The whole run is a function of its seed.
 */
import { silentLog } from "../../../src/core/logging/log.ts";
import type { Clock } from "../../../src/core/seams/clock.ts";
import type { Random } from "../../../src/core/seams/random.ts";
import { Bus } from "../../../src/core/sim/bus.ts";
import { DirectoryNode } from "../../../src/core/sim/disk-state.ts";
import { SimDisk } from "../../../src/core/sim/disk.ts";
import { FaultCounts } from "../../../src/core/sim/faults.ts";
import { SimProcess } from "../../../src/core/sim/process.ts";
import { Scheduler, SimulationError } from "../../../src/core/sim/scheduler.ts";
import { crc32c } from "../../../src/native/crc32c.ts";
import { NxError } from "../../../src/core/errors.ts";
import {
  readCommand,
  readQuery,
  readResult,
  ResultStatus,
  writeCommand,
  writeQuery,
  writeResult,
  type Result,
} from "../../../src/reactive/replication/client-codec.ts";
import { ReplicaDriver } from "../../../src/reactive/replication/driver.ts";
import { replicaDefaults } from "../../../src/reactive/replication/settings.ts";
import type { Batch } from "../../../src/reactive/replication/types.ts";
import { ByteReader, ByteWriter } from "../../../src/reactive/wire/bytes.ts";
import { checkLists, type ListOperation } from "../checkers/append-lists.ts";
import { unhurried } from "../unhurried.ts";
import { decodeList, encodeCommand, ListMachine } from "./list-machine.ts";

/** Kinds of faults that a set of simulations has to have met. */
export const expectedFaults = [
  "power loss",
  "process killed",
  "disk wiped",
  "all killed at once",
  "unsynced change lost",
  "unsynced change kept",
  "message lost",
  "message repeated",
  "message overtook another",
  "message cut off",
  "link clogged",
  "partition",
  "one-way partition",
  "primary isolated",
  "sync failed with EIO",
  "disk full",
  "view change",
  "recovered as a new incarnation",
  "snapshot transferred",
  "journal compacted",
  "primary resigned",
  "request answered from the session table",
] as const;

interface Wire {
  kind: "peer" | "command" | "query" | "result";
  bytes: Uint8Array;
}

export interface SimulationOptions {
  replicas?: number;
  /** Simulated time with faults. */
  faultyMs?: number;
  clients?: number;
  /** The only fault: the last replica is in the midst of an entry for seconds, and cut off until the others have forgotten what follows. */
  isStuck?: boolean;
}

export interface SimulationResult {
  seed: number;
  operations: number;
  acknowledged: number;
  views: number;
  incarnations: number;
  simulatedMs: number;
  traceHash: string;
  faults: FaultCounts;
}

const KEYS = 3;
/** How long a replica is in the midst of an entry that is stuck. */
const STUCK_MS = 3000;
const CUT_FROM_MS = 700;
const CUT_TO_MS = 2200;
const NEVER = Number.POSITIVE_INFINITY;

/** One host: its disk outlives its processes. */
class Node {
  readonly name: string;
  readonly disk: SimDisk;
  machine = new ListMachine();
  driver: ReplicaDriver | undefined;
  process: SimProcess | undefined;
  /** Its disk was lost and it has not come back since. */
  isWiped = false;
  readonly #simulation: Simulation;
  readonly #index: number;

  constructor(simulation: Simulation, index: number) {
    this.#simulation = simulation;
    this.#index = index;
    this.name = `r${index}`;
    this.disk = new SimDisk(simulation.scheduler, {
      latencyMeanMs: [0.1, 1, 8][simulation.random.integer(3)] as number,
    });
  }

  get isUp(): boolean {
    return this.process !== undefined;
  }

  start(): void {
    const { scheduler, random, bus, faults } = this.#simulation;
    // The lease's margin is 10 %: clocks within 4 % of true time are inside it.
    const process = new SimProcess(scheduler, this.disk, { driftPpm: random.integer(80_000) - 40_000 });
    this.process = process;
    const machine = new ListMachine();
    this.machine = machine;
    machine.onApply = (batch) => this.#simulation.onApply(this.name, batch);
    machine.onReplaced = () => this.#simulation.faults.count("half an entry replaced");
    const settings = {
      ...replicaDefaults,
      replica: this.#index,
      replicas: this.#simulation.replicas,
      retainEntriesMax: 20,
      pipelineMax: 1 + random.integer(8),
      entryBytesMax: 200,
      transferBytesMax: 400,
    };
    const log = {
      ...silentLog(),
      info: (text: string) => this.#simulation.onNote(this.name, text),
      warn: (text: string) => this.#simulation.onNote(this.name, text),
    };
    const opening = ReplicaDriver.open({
      world: { clock: this.#clockOf(process), random: scheduler.fork(), disk: process.disk },
      crc32c,
      log: log as never,
      directory: "/data/replica",
      settings,
      machine,
      send: (to, bytes) => bus.send(this.name, `r${to}`, { kind: "peer", bytes }),
      journalBytesMin: 3000,
      files: { segmentBytesMin: 4096, readChunkBytes: 65_536 },
      onFatal: (error) => this.#onFatal(process, error),
    });
    const task = opening.then(
      (driver) => {
        if (this.process !== process) return;
        this.driver = driver;
        bus.attach(this.name, (from, wire) => this.#receive(driver, from, wire));
      },
      (error: Error) => this.#onFatal(process, error),
    );
    scheduler.background(task);
    faults.count("process started");
  }

  #clockOf({ clock }: SimProcess): Clock {
    const { random, isStuckAt } = this.#simulation;
    const usual = unhurried(clock, random);
    if (!isStuckAt(this.#index)) return usual;
    return {
      ...usual,
      endOfTurn: (callback) => void clock.after(isStuckAt(this.#index) ? STUCK_MS : 0, callback),
    };
  }

  /** A failed disk ends the process, and so does a full one where nothing can be postponed; all else is a defect. */
  #onFatal(process: SimProcess, error: Error): void {
    if (this.process !== process) return;
    if (error instanceof NxError && (error.code === "NX_DISK_FAILED" || error.code === "NX_DISK_FULL")) {
      this.#simulation.scheduler.trace(`${this.name} stops: ${error.message}`);
      this.kill();
    } else this.#simulation.fail(`${this.name} stopped: ${error.stack}`);
  }

  #receive(driver: ReplicaDriver, from: string, { kind, bytes }: Wire): void {
    if (kind === "peer") return driver.receive(bytes, Number(from.slice(1)));
    const reply = (result: Omit<Result, "view">) => {
      const writer = new ByteWriter();
      writeResult(writer, { ...result, view: driver.status.view });
      this.#simulation.bus.send(this.name, from, { kind: "result", bytes: writer.done() });
    };
    const nothing = new Uint8Array(0);
    if (kind === "command") {
      const request = readCommand(bytes);
      const { session, number } = request;
      if (driver.service.sessions.lookUp(request) !== undefined) {
        this.#simulation.faults.count("request answered from the session table");
      }
      const refuse = () => reply({ session, number, status: ResultStatus.notPrimary, body: nothing });
      const isTaken = driver.submit(request, (outcome) => {
        if (outcome === undefined) refuse();
        else reply(outcome);
      });
      if (!isTaken) refuse();
    } else if (kind === "query") {
      const { number, body } = readQuery(bytes);
      const answer = driver.query(body).then((list) => {
        const status = list === undefined ? ResultStatus.notPrimary : ResultStatus.ok;
        reply({ session: 0, number, status, body: list ?? nothing });
      });
      this.#simulation.scheduler.background(answer);
    }
  }

  kill(): void {
    if (this.process === undefined) return;
    this.process.kill();
    this.#down();
  }

  losePower(): void {
    this.process?.exit();
    const names = this.#simulation.random.integer(2) === 0 ? "ordered" : "any";
    this.disk.crash({ names, isTearing: true });
    this.#down();
  }

  loseDisk(): void {
    this.process?.exit();
    this.disk.restore(new DirectoryNode());
    this.isWiped = true;
    this.#simulation.faults.count("disk wiped");
    this.#down();
  }

  /** Adds what this life of the replica did to the figures. */
  count(): void {
    const { faults } = this.#simulation;
    faults.count("snapshot transferred", this.driver?.figures.snapshotsFetched ?? 0);
    faults.count("journal compacted", this.driver?.figures.compactions ?? 0);
  }

  freeDisk(): void {
    this.disk.capacityBytes = NEVER;
  }

  #down(): void {
    this.#simulation.bus.detach(this.name);
    this.count();
    this.disk.failLater(undefined);
    this.process = undefined;
    this.driver = undefined;
  }
}

/** Sends requests one after the other, a few at once, and repeats each until it is answered. */
class Client {
  readonly name: string;
  readonly #simulation: Simulation;
  readonly #random: Random;
  #session = 0;
  #next = 1;
  #target: number;
  /** By number; commands and queries use one series. */
  readonly #open = new Map<number, { operation: ListOperation; kind: "command" | "query" }>();
  #registrationCoin = 0;
  isDone = false;

  constructor(simulation: Simulation, index: number) {
    this.#simulation = simulation;
    this.name = `c${index}`;
    this.#random = simulation.scheduler.fork();
    this.#target = this.#random.integer(simulation.replicas);
    simulation.bus.attach(this.name, (_from, { bytes }) => this.#receive(readResult(bytes)));
    this.#tick();
  }

  get waiting(): number {
    return this.#open.size;
  }

  #tick(): void {
    const { scheduler } = this.#simulation;
    if (this.#session === 0) this.#register();
    else {
      for (const number of this.#open.keys()) this.#send(number);
      if (this.#random.integer(this.#simulation.calm) === 0) this.#beginMore();
    }
    // Nobody answered for this long: perhaps somebody else does.
    if (this.#random.integer(4) === 0) this.#target = this.#random.integer(this.#simulation.replicas);
    scheduler.after(20 + this.#random.integer(100), () => this.#tick());
  }

  #register(): void {
    this.#registrationCoin = 1 + this.#random.integer(2 ** 40);
    const writer = new ByteWriter();
    writeCommand(writer, { session: 0, number: this.#registrationCoin, floor: 0, body: new Uint8Array(0) });
    this.#transmit("command", writer.done());
  }

  #beginMore(): void {
    if (this.#open.size < 3 && !this.isDone) this.#begin();
  }

  #begin(): void {
    const number = this.#next++;
    const dice = this.#random.integer(10);
    const value = dice < 5 ? this.#simulation.nextValue++ : 0;
    const kind = dice < 7 ? "command" : "query";
    const operation: ListOperation = {
      client: this.name,
      key: this.#random.integer(KEYS),
      value,
      invokedAt: this.#simulation.scheduler.timeMs,
      returnedAt: NEVER,
      list: undefined,
    };
    this.#simulation.history.push(operation);
    this.#open.set(number, { operation, kind });
    this.#send(number);
  }

  #send(number: number): void {
    const open = this.#open.get(number);
    if (open === undefined) return;
    const body = encodeCommand(open.operation);
    const writer = new ByteWriter();
    if (open.kind === "query") writeQuery(writer, { number, body });
    else {
      const commands = [...this.#open].filter(([, { kind }]) => kind === "command").map(([each]) => each);
      writeCommand(writer, { session: this.#session, number, floor: Math.min(...commands), body });
    }
    this.#transmit(open.kind, writer.done());
  }

  #transmit(kind: Wire["kind"], bytes: Uint8Array): void {
    this.#simulation.bus.send(this.name, `r${this.#target}`, { kind, bytes });
  }

  #receive({ session, number, status, view, body }: Result): void {
    if (status === ResultStatus.notPrimary) {
      this.#target = view % this.#simulation.replicas;
      return;
    }
    if (number === this.#registrationCoin && this.#session === 0 && session === 0) {
      this.#session = new ByteReader(body).u64();
      return;
    }
    const open = this.#open.get(number);
    if (open === undefined || (open.kind === "query") !== (session === 0)) return;
    if (status !== ResultStatus.ok) this.#simulation.fail(`${this.name} got status ${status} for ${number}`);
    open.operation.returnedAt = this.#simulation.scheduler.timeMs;
    open.operation.list = decodeList(body);
    this.#open.delete(number);
    if (this.#random.integer(2 * this.#simulation.calm) === 0) this.#beginMore();
  }
}

class Simulation {
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly bus: Bus<Wire>;
  readonly faults = new FaultCounts();
  readonly replicas: number;
  readonly history: ListOperation[] = [];
  nextValue = 1;
  /** Clients begin something at one of so many occasions: with few requests, views outlast entries. */
  readonly calm: number;
  readonly #seed: number;
  readonly #nodes: Node[];
  readonly #clients: Client[];
  readonly #faultyMs: number;
  readonly #isStuck: boolean;
  /** What the group has committed at each op, from whoever applied it first. */
  readonly #ledger = new Map<number, string>();
  readonly #views = new Set<number>();
  #incarnations = 0;
  #isQuiet = false;

  constructor(seed: number, options: SimulationOptions, keepTrace: boolean) {
    this.#seed = seed;
    this.scheduler = new Scheduler(seed, { keepTrace });
    this.random = this.scheduler.fork();
    this.replicas = options.replicas ?? (this.random.integer(3) === 0 ? 5 : 3);
    this.calm = [1, 1, 12][this.random.integer(3)] as number;
    this.#faultyMs = options.faultyMs ?? 4500;
    this.#isStuck = options.isStuck === true;
    this.bus = new Bus<Wire>(this.scheduler, { delayMeanMs: [0.5, 2, 10][this.random.integer(3)] as number });
    this.#nodes = Array.from({ length: this.replicas }, (_, index) => new Node(this, index));
    this.#clients = Array.from({ length: options.clients ?? 4 }, (_, index) => new Client(this, index));
  }

  fail(text: string): void {
    this.scheduler.background(Promise.reject(new SimulationError(text)));
  }

  onNote(name: string, text: string): void {
    this.scheduler.trace(`${name}: ${text}`);
    const view = /^primary of view (\d+)/.exec(text)?.[1];
    if (view !== undefined) {
      if (Number(view) > 0 && !this.#views.has(Number(view))) this.faults.count("view change");
      this.#views.add(Number(view));
    }
    if (text.startsWith("recovered up to")) {
      this.#incarnations++;
      this.faults.count("recovered as a new incarnation");
      const node = this.#nodes.find((candidate) => candidate.name === name);
      if (node !== undefined) node.isWiped = false;
    }
  }

  onApply(name: string, batch: Batch): void {
    const text = batch.commands.map(({ session, number, body }) => `${session}.${number}.${Buffer.from(body).toString("hex")}`).join(); // prettier-ignore
    const known = this.#ledger.get(batch.op);
    if (known === undefined) this.#ledger.set(batch.op, text);
    else if (known !== text) {
      this.fail(`${name} applied entry ${batch.op} as [${text}], another replica as [${known}]`);
    }
  }

  run(): SimulationResult {
    const limits = { timeLimitMs: this.#faultyMs + 60_000 };
    this.scheduler.run(() => this.#live(), limits);
    const { faults } = this;
    faults.add(this.bus.faults);
    for (const node of this.#nodes) {
      node.count();
      faults.add(node.disk.faults);
    }
    return {
      seed: this.#seed,
      operations: this.history.length,
      acknowledged: this.history.filter(({ list }) => list !== undefined).length,
      views: this.#views.size,
      incarnations: this.#incarnations,
      simulatedMs: Math.round(this.scheduler.timeMs),
      traceHash: this.scheduler.traceHash,
      faults,
    };
  }

  async #live(): Promise<void> {
    for (const { disk } of this.#nodes) {
      await disk.makeDirectory("/data");
      await disk.syncDirectory("/");
    }
    for (const node of this.#nodes) node.start();
    if (this.#isStuck) this.#cutOffTheLast();
    else this.scheduler.after(600, () => this.#strike());
    await this.#pause(this.#faultyMs);
    await this.#heal();
    this.#check();
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => void this.scheduler.after(delayMs, resolve));
  }

  // --- faults ----------------------------------------------------------------------------------------------------

  readonly isStuckAt = (index: number) =>
    this.#isStuck && index === this.replicas - 1 && this.scheduler.timeMs < this.#faultyMs;

  #cutOffTheLast(): void {
    const { name } = this.#nodes.at(-1) as Node;
    this.scheduler.after(CUT_FROM_MS, () => {
      for (const other of this.#nodes) this.bus.cut(other.name, name);
    });
    this.scheduler.after(CUT_TO_MS, () => this.bus.heal());
  }

  #strike(): void {
    if (this.#isQuiet) return;
    const dice = this.random.integer(100);
    if (dice < 12) this.#anyNode()?.kill();
    else if (dice < 22) this.#anyNode()?.losePower();
    else if (dice < 27) this.#wipeOne();
    else if (dice < 30) this.#killAll();
    else if (dice < 38) this.#partition();
    else if (dice < 56) this.#isolatePrimary();
    else if (dice < 66) this.bus.heal();
    else if (dice < 74) this.#disturbLinks();
    else if (dice < 79) this.bus.configure({ loss: 0, duplication: 0, clog: 0 });
    else if (dice < 83) this.#breakDisk();
    else if (dice < 86) this.#resign();
    else if (dice < 90) this.#fillDisk();
    for (const node of this.#nodes) if (!node.isUp && this.random.integer(3) === 0) node.start();
    this.scheduler.after(50 + this.random.integer(350), () => this.#strike());
  }

  #anyNode(): Node | undefined {
    const up = this.#nodes.filter(({ isUp }) => isUp);
    // The primary is hit as often as all others together.
    const primary = this.#primary();
    if (primary !== undefined && this.random.integer(2) === 0) return primary;
    return up[this.random.integer(Math.max(1, up.length))];
  }

  /** Only as many disks as the group can do without. */
  #wipeOne(): void {
    const wiped = this.#nodes.filter(({ isWiped }) => isWiped).length;
    const isFormed = this.#nodes.every(({ driver, isWiped }) => isWiped || driver?.status.phase !== "blank");
    if (wiped >= (this.replicas - 1) >> 1 || !isFormed || this.#ledger.size === 0) return;
    this.#anyNode()?.loseDisk();
  }

  #killAll(): void {
    this.faults.count("all killed at once");
    for (const node of this.#nodes) {
      if (this.random.integer(2) === 0) node.kill();
      else node.losePower();
    }
  }

  #partition(): void {
    this.bus.heal();
    const mode = (["size", "coin", "single"] as const)[this.random.integer(3)] as "size";
    this.bus.partition({ mode, isSymmetric: this.random.integer(3) > 0 });
  }

  /** Cuts the primary from some of the other replicas, one way or both; clients still reach it. */
  #isolatePrimary(): void {
    const primary = this.#primary();
    if (primary === undefined) return;
    this.faults.count("primary isolated");
    const isOneWay = this.random.integer(3) === 0;
    const isWhole = this.random.integer(2) === 0;
    for (const { name } of this.#nodes) {
      if (name === primary.name || (!isWhole && this.random.integer(2) === 0)) continue;
      this.bus.cut(primary.name, name);
      if (!isOneWay) this.bus.cut(name, primary.name);
    }
  }

  #primary(): Node | undefined {
    const primaries = this.#nodes.filter(({ driver }) => driver?.status.isPrimary === true);
    return primaries.sort((a, b) => (b.driver?.status.view ?? 0) - (a.driver?.status.view ?? 0))[0];
  }

  #disturbLinks(): void {
    const rate = () => (this.random.integer(2) === 0 ? 0 : this.random.float() * 0.2);
    this.bus.configure({ loss: rate(), duplication: rate(), clog: rate() / 20 });
  }

  #breakDisk(): void {
    this.#anyNode()?.disk.failLater({
      nth: 1 + this.random.integer(6),
      isSticky: false,
      errno: "EIO",
      operations: ["sync"],
    });
  }

  /** A disk runs full for a while, then somebody makes room. */
  #fillDisk(): void {
    const node = this.#anyNode();
    if (node === undefined) return;
    node.disk.capacityBytes = node.disk.usedBytes() + this.random.integer(6000);
    this.scheduler.after(100 + this.random.integer(1500), () => node.freeDisk());
  }

  #resign(): void {
    const primary = this.#primary();
    if (primary === undefined) return;
    this.faults.count("primary resigned");
    primary.driver?.resign();
  }

  // --- the end ---------------------------------------------------------------------------------------------------

  /** All faults end; everything that was begun has to finish. */
  async #heal(): Promise<void> {
    this.#isQuiet = true;
    this.scheduler.trace("all faults end");
    this.bus.heal();
    this.bus.configure({ loss: 0, duplication: 0, clog: 0 });
    for (const node of this.#nodes) node.disk.failLater(undefined);
    for (const node of this.#nodes) node.freeDisk();
    for (const client of this.#clients) client.isDone = true;
    for (let waitedMs = 0; !this.#isSettled; waitedMs += 100) {
      // Also those that a fault from before ends only now.
      for (const node of this.#nodes) if (!node.isUp) node.start();
      if (waitedMs > 30_000) throw new SimulationError(`no rest 30 s after the faults: ${this.#describe()}`);
      await this.#pause(100);
    }
  }

  get #isSettled(): boolean {
    const statuses = this.#nodes.map(({ driver }) => driver?.status);
    const commits = new Set(statuses.map((status) => status?.commit));
    const isNormal = statuses.every((status) => status?.phase === "normal" && status.op === status.commit);
    const hasApplied = this.#nodes.every(({ driver }) => driver?.hasApplied);
    return (
      isNormal && commits.size === 1 && hasApplied && this.#clients.every(({ waiting }) => waiting === 0)
    );
  }

  #describe(): string {
    const nodes = this.#nodes.map(({ name, driver }) => `${name} ${JSON.stringify(driver?.status)}`);
    return [...nodes, ...this.#clients.map(({ name, waiting }) => `${name} waits for ${waiting}`)].join("; ");
  }

  #check(): void {
    const [first, ...others] = this.#nodes as [Node, ...Node[]];
    for (const other of others) {
      if (other.machine.fingerprint !== first.machine.fingerprint) {
        throw new SimulationError(`${other.name} and ${first.name} hold different states`);
      }
    }
    const problems = checkLists(this.history, first.machine.lists);
    if (problems.length > 0) throw new SimulationError(problems.slice(0, 3).join("\n"));
  }
}

/** Runs one seed; throws with the seed when the group breaks a promise. */
export function runSimulation(
  seed: number,
  options: SimulationOptions = {},
  keepTrace = false,
): SimulationResult {
  const simulation = new Simulation(seed, options, keepTrace);
  try {
    return simulation.run();
  } catch (error) {
    if (keepTrace) console.log(simulation.scheduler.lines.join("\n"));
    throw new SimulationError(`replication simulation, seed ${seed}: ${(error as Error).message}`, {
      cause: error,
    });
  }
}
