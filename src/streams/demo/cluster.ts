/**
 * A stream's machines on loopback: workers and replicas as processes of their own, and what the original's scripts do to
 * them: start, kill, move, restart.
 *
 * Ports are those of the original's demo: sources 7000 and 7001, sink 5555, the initializer's control and data 12500 and
 * 12501; worker N has N3131 and N3132 at first, 3131 and 3132 after it moved; replicas 9999 on hosts 1 and 2.
 */
import { join } from "node:path";
import { adminGet } from "../../core/admin-client.ts";
import { NxError } from "../../core/errors.ts";
import type { World } from "../../core/role.ts";
import { sleep } from "../../core/seams/clock.ts";
import { removeTree } from "../../core/seams/durable-files.ts";
import { copyDirectory } from "../replica/copy-file.ts";
import { rebuildState } from "../replica/rebuild.ts";
import type { Address } from "../sender/line.ts";
import { DemoChild } from "./child.ts";
import { demoHost, type DemoHost } from "./hosts.ts";
import { portraitOf } from "./portrait.ts";

export interface DemoClusterOptions {
  world: World;
  /** Everything is in here. */
  root: string;
  /** The first three numbers of the hosts' addresses. */
  network: string;
  app: string;
  appArguments: readonly string[];
  /** As the worker's keys `sources` and `sinks`. Only the initializer has sources. */
  sources: string[];
  sinks: string[];
  checkpointMs: number;
  /** The hub that workers tell what their records take. */
  metricsHub: string | undefined;
  /** One step, for people. */
  say(text: string): void;
  onFailed(error: Error): void;
}

export interface WorkerStatus {
  checkpoint: number;
  recordsIn: number;
  recordsOut: number;
  rssBytes: number;
  /** It is connected to the leader, or has it. */
  hasLeader: boolean;
  cluster: { phase: string; epoch: number; checkpoint: number } | null;
  replicas?: { inSync: number; troubles: string[] };
}

interface Running {
  child: DemoChild;
  host: DemoHost;
}

const SOURCE_PORT = 7000;
const QUOTES_PORT = 7001;
const SINK_PORT = 5555;
const CONTROL_PORT = 12_500;
const REPLICA_PORT = 9999;
const REPLICA_HOSTS = [1, 2];
const INITIALIZER_HOST = 1;
const POLL_MS = 25;
/** For a machine under load: everything that is waited for comes in a second or two on a free one. */
const READY_MS = 120_000;
const ADMIN_MS = 5000;
const RESTORE_MS = 5000;

/** Worker 1 is the initializer. */
export function workerName(worker: number): string {
  return worker === INITIALIZER_HOST ? "initializer" : `worker${worker}`;
}

export class DemoCluster {
  readonly #options: DemoClusterOptions;
  readonly #workers = new Map<number, Running>();
  readonly #replicas = new Map<number, DemoChild>();
  #size = 0;
  #isStopped = false;

  constructor(options: DemoClusterOptions) {
    this.#options = options;
  }

  host(number: number): DemoHost {
    return demoHost(this.#options.root, this.#options.network, number);
  }

  get source(): Address {
    return { host: this.host(1).address, port: SOURCE_PORT };
  }

  get quotesSource(): Address {
    return { host: this.host(1).address, port: QUOTES_PORT };
  }

  get sink(): Address {
    return { host: this.host(1).address, port: SINK_PORT };
  }

  get #replicaAddresses(): Address[] {
    return REPLICA_HOSTS.map((number) => ({ host: this.host(number).address, port: REPLICA_PORT }));
  }

  // --- start (scripts 20 and 21) -------------------------------------------------------------------------------------

  /** Empties the directory. Throws NX_FILE_EXISTS when something else than an earlier demo is in it. */
  async prepare(): Promise<void> {
    const { disk } = this.#options.world;
    const { root } = this.#options;
    const names = (await disk.exists(root)) ? (await disk.list(root)).map(({ name }) => name) : [];
    const foreign = names.find((name) => !/^(host\d+|received(\.txt)?)$/.test(name));
    if (foreign !== undefined)
      throw new NxError("NX_FILE_EXISTS", `${root} is not a demo's directory: it holds ${foreign}`, {
        hint: "give a directory that does not exist",
      });
    await removeTree(disk, root);
    await disk.makeDirectory(root);
  }

  /** Removes everything that the demo has written. */
  async clear(): Promise<void> {
    await removeTree(this.#options.world.disk, this.#options.root);
  }

  /** Replicas, then the initializer, then the other workers; resolves when all are ready. */
  async start(size: number): Promise<void> {
    const { say } = this.#options;
    this.#size = size;
    say(`start replicas on hosts ${REPLICA_HOSTS.join(" and ")}`);
    for (const number of REPLICA_HOSTS) await this.startReplica(number);
    for (let worker = 1; worker <= size; worker++) {
      say(`start ${workerName(worker)} on host ${worker}`);
      await this.#launch(worker, this.host(worker), firstPorts(worker));
    }
    await this.untilReady();
  }

  async startReplica(number: number): Promise<void> {
    const host = this.host(number);
    const words = await this.#configure(host, "replica", `replica${number}`, {
      host: host.address,
      port: REPLICA_PORT,
      dataDir: join(host.directory, "replica"),
    });
    this.#assertRunning();
    this.#replicas.set(number, new DemoChild(`replica ${number}`, words, this.#options.onFailed));
  }

  /** `kill -9` of the replica on this host. */
  async killReplica(number: number): Promise<void> {
    this.#options.say(`kill -9 the replica on host ${number}`);
    await this.#replicas.get(number)?.end("SIGKILL");
  }

  /** Steps that go on after the end of a demo must not leave processes behind. */
  #assertRunning(): void {
    if (this.#isStopped) throw new NxError("NX_USAGE", "the demo has ended");
  }

  /** Writes a configuration and gives the words that run it. */
  async #configure(
    host: DemoHost,
    role: string,
    name: string,
    values: Record<string, unknown>,
  ): Promise<string[]> {
    const { disk } = this.#options.world;
    await disk.makeDirectory(host.directory);
    const path = join(host.directory, `demo.${name}.json`);
    const file = await disk.open(path, "create");
    const text = new TextEncoder().encode(
      `${JSON.stringify({ role, instance: `demo.${name}`, ...values }, null, 2)}\n`,
    );
    try {
      await file.truncate(0);
      await file.write(text, 0);
    } finally {
      await file.close();
    }
    return ["run", role, "--config", path];
  }

  async #launch(worker: number, host: DemoHost, ports: { control: number; data: number }): Promise<void> {
    const { app, appArguments, sources, sinks, checkpointMs, metricsHub, onFailed } = this.#options;
    const name = workerName(worker);
    const isInitializer = worker === INITIALIZER_HOST;
    const words = await this.#configure(host, "worker", name, {
      ...{ app, appArguments, name, sinks, checkpointMs, ...(metricsHub !== undefined && { metricsHub }) },
      ...(isInitializer
        ? { sources, size: this.#size }
        : { join: `${this.host(INITIALIZER_HOST).address}:${CONTROL_PORT}` }),
      host: host.address,
      controlPort: ports.control,
      dataPort: ports.data,
      replicas: this.#replicaAddresses.map(({ host: address, port }) => `${address}:${port}`),
      dataDir: this.#dataDir(worker, host),
    });
    this.#assertRunning();
    this.#workers.set(worker, {
      child: new DemoChild(`${name} on host ${host.number}`, words, onFailed),
      host,
    });
  }

  #dataDir(worker: number, host: DemoHost): string {
    return join(host.directory, workerName(worker));
  }

  // --- kill, move, restart (scripts 40, 50, 60 and 62) -----------------------------------------------------------------

  /** `kill -9`. */
  async kill(worker: number): Promise<void> {
    const { child, host } = this.#running(worker);
    this.#options.say(`kill -9 ${workerName(worker)} on host ${host.number} (pid ${child.pid})`);
    await child.end("SIGKILL");
  }

  /**
   * Rebuilds a killed worker's state on another host from the replicas. `isLost`: the directory it had is removed first,
   * as if its machine were gone; otherwise it stays and must never be used again.
   */
  async move(worker: number, to: number, isLost: boolean): Promise<void> {
    const { say, world, app } = this.#options;
    const running = this.#running(worker);
    const target = this.host(to);
    say(`move ${workerName(worker)} from host ${running.host.number} to host ${to}`);
    if (isLost) await removeTree(world.disk, this.#dataDir(worker, running.host));
    const dataDir = this.#dataDir(worker, target);
    // What an earlier life left there is older than the copy.
    await removeTree(world.disk, dataDir);
    const found = await rebuildState({
      world,
      dataDir,
      addresses: this.#replicaAddresses,
      directory: copyDirectory(app, workerName(worker)),
      timeoutMs: RESTORE_MS,
      onProblem: (text) => say(`  ${text}`),
    });
    say(`  restored checkpoint ${Math.max(found.committed, found.prepared)} from ${found.address.host}`);
    running.host = target;
  }

  /** Starts a killed worker again where its state is, and waits until the cluster runs. */
  async restart(worker: number, ports: "same" | "moved"): Promise<void> {
    const { host } = this.#running(worker);
    const { world, say } = this.#options;
    const startMs = world.clock.monotonicMs();
    say(`restart ${workerName(worker)} on host ${host.number}`);
    await this.#launch(worker, host, ports === "same" ? firstPorts(worker) : MOVED_PORTS);
    await this.untilReady();
    say(`  ready after ${((world.clock.monotonicMs() - startMs) / 1000).toFixed(1)} s`);
  }

  /** Starts killed workers again where they were, in this order, and waits until the cluster runs. */
  async launchAgain(workers: readonly number[]): Promise<void> {
    for (const worker of workers) await this.#launch(worker, this.#running(worker).host, firstPorts(worker));
    await this.untilReady();
  }

  #running(worker: number): Running {
    const running = this.#workers.get(worker);
    if (running === undefined) throw new NxError("NX_USAGE", `there is no ${workerName(worker)}`);
    return running;
  }

  // --- what they say ---------------------------------------------------------------------------------------------------

  async status(worker: number): Promise<WorkerStatus | undefined> {
    const { host } = this.#running(worker);
    const socket = join(this.#dataDir(worker, host), "admin.sock");
    try {
      const { body } = await adminGet(socket, "/stats", ADMIN_MS);
      const { worker: told, process } = JSON.parse(body) as {
        worker: WorkerStatus;
        process: { rssBytes: number };
      };
      return { ...told, rssBytes: process.rssBytes };
    } catch {
      return undefined;
    }
  }

  async #isReady(worker: number): Promise<boolean> {
    const { child, host } = this.#running(worker);
    try {
      const socket = join(this.#dataDir(worker, host), "admin.sock");
      const { body } = await adminGet(socket, "/stats", ADMIN_MS);
      const { pid, ready } = JSON.parse(body) as { pid: number; ready: boolean };
      return ready && pid === child.pid;
    } catch {
      return false;
    }
  }

  async untilReady(): Promise<void> {
    for (const worker of this.#workers.keys())
      await this.until(`${workerName(worker)} to be ready`, () => this.#isReady(worker));
  }

  /** Waits until a checkpoint is committed that began after this call: it holds everything that came out so far. */
  async untilCheckpoint(): Promise<number> {
    const before = (await this.status(INITIALIZER_HOST))?.cluster?.checkpoint ?? 0;
    let committed = before;
    await this.until("a checkpoint", async () => {
      committed = (await this.status(INITIALIZER_HOST))?.cluster?.checkpoint ?? committed;
      // The next one may have begun before the call.
      return committed >= before + 2;
    });
    this.#options.say(`checkpoint ${committed} holds it all`);
    return committed;
  }

  /** Throws NX_TIMEOUT after `timeoutMs`. */
  async until(what: string, isSo: () => Promise<boolean> | boolean, timeoutMs = READY_MS): Promise<void> {
    const { clock } = this.#options.world;
    const deadlineMs = clock.monotonicMs() + timeoutMs;
    while (!(await isSo())) {
      if (clock.monotonicMs() > deadlineMs)
        throw new NxError("NX_TIMEOUT", `waited ${timeoutMs / 1000} s for ${what}`, {
          hint: `the logs are in ${this.#options.root}/host*/*/log/root.log`,
        });
      await sleep(clock, POLL_MS);
    }
  }

  /** What each worker says of itself, and the end of its log: for whoever asks why nothing goes on. */
  async portrait(): Promise<string> {
    const { disk } = this.#options.world;
    const portraits = [...this.#workers].map(([worker, { child, host }]) =>
      portraitOf(disk, child, this.#dataDir(worker, host)),
    );
    return (await Promise.all(portraits)).join("\n");
  }

  /** Kills every process; none is started afterwards. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    const children = [...this.#workers.values()]
      .map(({ child }) => child)
      .concat([...this.#replicas.values()]);
    await Promise.all(children.filter(({ isRunning }) => isRunning).map((child) => child.end("SIGKILL")));
  }
}

const MOVED_PORTS = { control: 3131, data: 3132 };

function firstPorts(worker: number): { control: number; data: number } {
  if (worker === INITIALIZER_HOST) return { control: CONTROL_PORT, data: CONTROL_PORT + 1 };
  return { control: worker * 10_000 + 3131, data: worker * 10_000 + 3132 };
}
