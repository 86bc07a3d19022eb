/**
 * A whole cluster in one process from one seed: workers on simulated hosts, senders that are acknowledged, output files,
 * faults of network and disks counted.
 *
 * Everything is the real code over simulated seams. What is looked at in the end is what a reader would find: the
 * committed parts of the output files, joined.
 */
import { Scheduler } from "../../../src/core/sim/scheduler.ts";
import { SimCluster, type SimClusterOptions } from "../../../src/core/sim/world.ts";
import { silentLog } from "../../../src/core/logging/log.ts";
import type { Disk } from "../../../src/core/seams/disk.ts";
import type { World } from "../../../src/core/role.ts";
import type { App } from "../../../src/streams/api/contract.ts";
import { planOf } from "../../../src/streams/plan/plan.ts";
import { Worker, type WorkerSettings } from "../../../src/streams/worker/worker.ts";
import { ByteReader } from "../../../src/streams/wire/bytes.ts";
import { AckedSender, type SendTo } from "./sim-sender.ts";

export const CONTROL_PORT = 12500;
export const SOURCE_PORT = 7000;

export interface WorkerSpec {
  name: string;
  host: string;
  settings?: Partial<WorkerSettings>;
}

export interface OddWorker {
  app?: App;
  args?: readonly string[];
  secret?: string;
  dataDir?: string;
  sinks?: string[];
}

export interface RunningWorker {
  spec: WorkerSpec;
  worker: Worker | undefined;
  world: World;
  fatal: Error | undefined;
  hasLeft: boolean;
}

export interface StreamClusterOptions extends SimClusterOptions {
  app: App;
  args?: readonly string[];
  /** Each on a port of its own, from SOURCE_PORT up. */
  sources?: readonly string[];
  sink?: string;
  /** All workers have the sources, not only the initializer. */
  doAllListen?: boolean;
  size: number;
  checkpointMs?: number;
}

const INITIALIZER = { name: "initializer", host: "10.0.0.1" };

export class StreamCluster {
  readonly sim: SimCluster;
  readonly workers = new Map<string, RunningWorker>();
  readonly senders: AckedSender[] = [];
  readonly #options: StreamClusterOptions;

  constructor(seed: number, options: StreamClusterOptions) {
    this.#options = options;
    this.sim = new SimCluster(seed, options);
  }

  get scheduler(): Scheduler {
    return this.sim.scheduler;
  }

  get leader(): Worker {
    return this.workers.get("initializer")?.worker as Worker;
  }

  #settings({ name, host, settings }: WorkerSpec): WorkerSettings {
    const { size, checkpointMs = 100, sources = ["Detector"], sink = "windows", doAllListen } = this.#options;
    const isInitializer = name === INITIALIZER.name;
    return {
      ...{ name, host, size, checkpointMs, joining: 0, controlPort: CONTROL_PORT, dataPort: 12501 },
      join: isInitializer ? undefined : `${INITIALIZER.host}:${CONTROL_PORT}`,
      sources:
        isInitializer || doAllListen === true
          ? sources.map((name, index) => `${name}=acked://${host}:${SOURCE_PORT + index}?credits=50`)
          : [],
      sinks: [`${sink}=file:/data/${name}/out`],
      compaction: { logBytesMin: 20_000, growthPercent: 100 },
      onStepError: "fail",
      deadLetters: { bytesMax: 1 << 20 },
      nats: { servers: [] },
      ...settings,
    };
  }

  /** Starts a worker; its failure is kept, not thrown. `odd`: what is different from what the cluster expects. */
  async start(spec: WorkerSpec, odd: OddWorker = {}): Promise<RunningWorker> {
    const { world } = this.sim.host(spec.host).start();
    const running: RunningWorker = { spec, worker: undefined, world, fatal: undefined, hasLeft: false };
    this.workers.set(spec.name, running);
    const { app, args } = { ...this.#options, ...odd };
    const { secret = "sesame", dataDir = `/data/${spec.name}`, sinks } = odd;
    try {
      running.worker = await Worker.start({
        ...{ world, log: silentLog(), dataDir, directory: "/", secret },
        plan: planOf(app, { ...(args !== undefined && { args }), now: () => world.clock.nowMs() }),
        settings: { ...this.#settings(spec), ...(sinks !== undefined && { sinks }) },
        ...{ tls: undefined, peerTls: undefined, connectionsMax: 100, mirror: undefined },
        announcePort: () => {},
        progress: () => {},
        onFatal: (error) => {
          running.fatal ??= error;
        },
        onGoodbye: () => {
          running.hasLeft = true;
        },
        onStop: () => {
          running.hasLeft = true;
        },
      });
    } catch (error) {
      running.fatal = error as Error;
    }
    return running;
  }

  /** Starts the initializer and `size - 1` further workers, and waits until they run. */
  async startAll(settings: Partial<WorkerSettings> = {}): Promise<void> {
    await this.start({ ...INITIALIZER, settings });
    for (let number = 2; number <= this.#options.size; number++) {
      await this.start({ ...workerSpec(number), settings });
    }
    await this.until("the cluster runs", () => this.isRunning());
  }

  isRunning(): boolean {
    return [...this.workers.values()].every(
      ({ worker, hasLeft }) => hasLeft || worker?.runtime?.isRunning === true,
    );
  }

  kill(name: string): void {
    const { spec } = this.workers.get(name) as RunningWorker;
    this.sim.host(spec.host).killProcess();
  }

  losePower(name: string): void {
    const { spec } = this.workers.get(name) as RunningWorker;
    this.sim.host(spec.host).losePower({ names: "any", isTearing: true });
  }

  restart(name: string): Promise<RunningWorker> {
    return this.start((this.workers.get(name) as RunningWorker).spec);
  }

  /** The dead worker's directory goes to another host as it is, and the worker is started there. */
  async move(name: string, host: string): Promise<RunningWorker> {
    const { spec } = this.workers.get(name) as RunningWorker;
    const from = this.sim.host(spec.host).disk;
    const to = this.sim.host(host).disk;
    await copyDirectory(from, to, `/data/${name}`);
    return this.start({ ...spec, host });
  }

  /** A sender of 1..count for each key, on a host of its own. */
  send(keys: readonly string[], count: number, address = INITIALIZER.host): AckedSender {
    return this.sendTo({ address, port: SOURCE_PORT }, keys, count);
  }

  /** The same with records of any kind. */
  sendTo(to: Partial<SendTo>, keys: readonly string[], count: number): AckedSender {
    const { world } = this.sim.host(`10.0.1.${this.senders.length + 1}`).start();
    const sender = new AckedSender(
      world,
      { address: INITIALIZER.host, port: SOURCE_PORT, ...to },
      keys,
      count,
    );
    this.senders.push(sender);
    return sender;
  }

  async until(what: string, holds: () => boolean, limitMs = 40_000): Promise<void> {
    const start = this.scheduler.timeMs;
    while (!holds()) {
      const failed = [...this.workers.values()].find(({ fatal }) => fatal !== undefined);
      if (failed !== undefined) throw failed.fatal;
      if (this.scheduler.timeMs - start > limitMs) {
        const states = [...this.workers.values()].map(({ spec, worker }) => ({
          name: spec.name,
          runtime: worker?.runtime?.stats,
          cluster: worker?.leader?.status,
          checkpoint: worker?.stateLog?.committed.id,
        }));
        throw new Error(`gave up waiting for ${what}: ${JSON.stringify(states)}`);
      }
      await this.pause(5);
    }
  }

  pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.scheduler.after(ms, resolve);
    });
  }

  /** Waits until every sender has everything acknowledged. */
  async untilAcked(): Promise<void> {
    await this.until("the last acknowledgement", () => this.senders.every(({ isDone }) => isDone));
    // The files' notes of what is committed come right behind the acknowledgement.
    await this.pause(200);
  }

  /** The committed output of every host that ever had a worker of this name, in order. */
  async output(): Promise<Map<string, string[]>> {
    const result = new Map<string, string[]>();
    for (const { spec } of this.workers.values()) {
      // The host's disk, which outlives its processes.
      const { disk } = this.sim.host(spec.host);
      result.set(spec.name, await committedRecords({ disk }, `/data/${spec.name}/out`));
    }
    return result;
  }
}

export const workerSpec = (number: number): WorkerSpec => ({
  name: `worker${number}`,
  host: `10.0.0.${number}`,
});

async function copyDirectory(from: Disk, to: Disk, path: string): Promise<void> {
  await to.makeDirectory(path);
  for (const { name, kind } of await from.list(path)) {
    if (kind === "directory") await copyDirectory(from, to, `${path}/${name}`);
    else {
      const bytes = await readAll({ disk: from }, `${path}/${name}`);
      const file = await to.open(`${path}/${name}`, "create");
      await file.write(bytes, 0);
      await file.sync();
      await file.close();
    }
  }
  await to.syncDirectory(path);
}

async function readAll(world: Pick<World, "disk">, path: string): Promise<Uint8Array> {
  const file = await world.disk.open(path, "read");
  const bytes = new Uint8Array(await file.size());
  await file.read(bytes, 0);
  await file.close();
  return bytes;
}

async function committedRecords(world: Pick<World, "disk">, path: string): Promise<string[]> {
  if (!(await world.disk.exists(`${path}.committed`))) return [];
  const committed = Number(Buffer.from(await readAll(world, `${path}.committed`)).toString());
  return recordsOf((await readAll(world, path)).subarray(0, committed));
}

/** The records of a run of frames, a character for each byte. */
export function recordsOf(bytes: Uint8Array): string[] {
  const reader = new ByteReader(bytes);
  const records: string[] = [];
  while (reader.remaining > 0) records.push(Buffer.from(reader.bytes()).toString("latin1"));
  return records;
}

/** What is wrong with the output of a detector that got 1..count for each key; undefined: nothing. */
export function violation(
  output: ReadonlyMap<string, readonly string[]>,
  keys: readonly string[],
  count: number,
): string | undefined {
  const values = new Map<string, number[]>(keys.map((key) => [key, []]));
  for (const [worker, records] of output) {
    const newest = new Map<string, number>();
    for (const record of records) {
      const [, key = "", list = ""] = /^\(([^.]+)\.[^,]*,\[([\d,]+)\]\)$/.exec(record) ?? [];
      const window = list.split(",").map(Number);
      const last = window.at(-1) as number;
      const isSteady = window.every(
        (value, index) => value === Math.max(0, last - (window.length - 1 - index)),
      );
      if (!isSteady) return `${worker} has the window ${record}`;
      const seen = values.get(key);
      if (seen === undefined) return `${worker} has the unknown key of ${record}`;
      if (last <= (newest.get(key) ?? 0)) return `${worker} has ${record} behind ${newest.get(key)}`;
      newest.set(key, last);
      seen.push(last);
    }
  }
  for (const [key, seen] of values) {
    const sorted = seen.toSorted((a, b) => a - b);
    const wrong = Array.from({ length: Math.max(count, sorted.length) }, (_, index) => index + 1).find(
      (value, index) => sorted[index] !== value,
    );
    if (wrong !== undefined) return `${key}: ${sorted.length} values, and ${wrong} is missing or there twice`;
  }
  return undefined;
}
