/**
 * A host for tests of rollouts: the real agent, its real files on the real disk, and processes that are only
 * modelled, so that a rollout takes milliseconds and can be cut at every step.
 *
 * Invariant: what survives the end of an agent is what survives on a real host: files, processes, the watcher
 * of guards.
 */
import { existsSync, mkdtempSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { streamPair } from "../../../src/cluster/agent/byte-stream.ts";
import { AgentClient } from "../../../src/cluster/agent/client.ts";
import { Deployment, type HostWorld } from "../../../src/cluster/agent/deployment.ts";
import { createHandlers } from "../../../src/cluster/agent/handlers.ts";
import { AGENT_PROTOCOL } from "../../../src/cluster/agent/messages.ts";
import { serveAgent } from "../../../src/cluster/agent/server.ts";
import type { HostServices, ServiceSpec, ServiceStatus } from "../../../src/cluster/services/services.ts";
import { releasePaths } from "../../../src/cluster/topology/layout.ts";
import type { Host } from "../../../src/cluster/topology/types.ts";
import { NxError } from "../../../src/core/errors.ts";
import { realClock, type Clock } from "../../../src/core/seams/clock.ts";
import { RealDisk } from "../../../src/core/seams/disk-real.ts";
import type { LinkingDisk } from "../../../src/core/seams/disk.ts";
import { lockFile } from "../../../src/native/system.ts";

/** In memory where the machine has such a place: nothing here is about what a disk takes its time for. */
export function memoryDirectory(): string {
  return existsSync("/dev/shm") ? "/dev/shm" : tmpdir();
}

/** The machine's clock, running `speed` times as fast, and able to skip time in which nothing happens. */
export class FastClock implements Clock {
  readonly #speed: number;
  #skippedMs = 0;

  constructor(speed: number) {
    this.#speed = speed;
  }

  /** To everyone it looks as if so much time had passed; timers do not fire for it. */
  skip(ms: number): void {
    this.#skippedMs += ms;
  }

  nowMs(): number {
    return Math.floor(realClock.nowMs() + this.#skippedMs);
  }

  monotonicMs(): number {
    return realClock.monotonicMs() * this.#speed + this.#skippedMs;
  }

  after(delayMs: number, callback: () => void) {
    return realClock.after(delayMs / this.#speed, callback);
  }

  every(periodMs: number, callback: () => void) {
    return realClock.every(periodMs / this.#speed, callback);
  }

  endOfTurn(callback: () => void): void {
    realClock.endOfTurn(callback);
  }
}

interface ModelProcess {
  pid: number;
  /** Directory of the release that it was started from. */
  release: string;
  /** What its configuration makes of it: `ready`, `sick` (never ready), `dead` (ends at once). */
  fate: string;
}

/** Processes of one host, by instance. */
class ModelServices implements HostServices {
  readonly kind = "supervisor";
  readonly specs = new Map<string, ServiceSpec>();
  readonly processes = new Map<string, ModelProcess>();
  readonly starts: string[] = [];
  #lastPid = 100;

  async install(specs: readonly ServiceSpec[]): Promise<void> {
    for (const name of [...this.processes.keys()]) {
      if (!specs.some(({ instance }) => instance === name)) this.processes.delete(name);
    }
    this.specs.clear();
    for (const spec of specs) this.specs.set(spec.instance, spec);
  }

  async start(instance: string): Promise<void> {
    const spec = this.specs.get(instance);
    if (spec === undefined) throw new NxError("NX_START_FAILED", `${instance} is not installed`);
    if (this.processes.has(instance)) return;
    const link = dirname(spec.command[0] as string);
    const release = join(dirname(link), readlinkSync(link));
    const config = readFileSync(join(releasePaths(release).configs, `${instance}.json`), "utf8");
    const { fate = "ready" } = JSON.parse(config) as { fate?: string };
    this.processes.set(instance, { pid: ++this.#lastPid, release, fate });
    this.starts.push(`${instance} ${basename(release)}`);
  }

  async stop(instance: string): Promise<void> {
    this.processes.delete(instance);
  }

  async kill(instances: readonly string[]): Promise<void> {
    for (const instance of instances) this.processes.delete(instance);
  }

  async status(): Promise<ServiceStatus[]> {
    return [...this.specs.keys()].map((instance): ServiceStatus => {
      const process = this.processes.get(instance);
      const isDead = process?.fate === "dead";
      const state = process === undefined || isDead ? "stopped" : "running";
      const pid = state === "running" ? process?.pid : undefined;
      return { instance, state, pid, restarts: 0, lastEnd: isDead ? "exit code 78" : undefined };
    });
  }

  async lastLines(instance: string): Promise<string[]> {
    return [`${instance} says why`];
  }

  /** `/stats` of an instance. */
  async ask(dataDir: string): Promise<string> {
    const spec = [...this.specs.values()].find((candidate) => candidate.dataDir === dataDir);
    const process = this.processes.get(spec?.instance ?? "");
    if (process === undefined || process.fate === "dead") throw new Error("nobody listens on this socket");
    const isReady = process.fate === "ready";
    return JSON.stringify({ ready: isReady, reasons: isReady ? [] : ["it is sick"], pid: process.pid });
  }
}

export class ModelHost implements Disposable {
  readonly name: string;
  readonly directory = mkdtempSync(join(memoryDirectory(), "node-x-model-"));
  readonly services = new ModelServices();
  readonly clock: Clock;
  /** What a self-test of an executable ends with. */
  selftest: { status: number | string; output: string } = { status: 0, output: "ok" };
  /** How many there were. */
  selftests = 0;
  /** Hosts that are one machine have the same. */
  machineId = "";
  readonly #watchers = new Set<Promise<void>>();
  #isGone = false;
  readonly disk: LinkingDisk;

  constructor(name: string, clock: Clock) {
    this.name = name;
    this.clock = clock;
    this.disk = withModelledProc(new RealDisk(lockFile), this.services);
  }

  get host(): Host {
    return {
      name: this.name,
      access: { kind: "local" },
      address: {},
      workingDirectory: this.directory,
      tags: [],
      hostKeys: [],
    };
  }

  get world(): HostWorld {
    return {
      disk: this.disk,
      clock: this.clock,
      run: async () => {
        this.selftests += 1;
        return this.selftest;
      },
      ask: (socket) => this.services.ask(dirname(socket)),
      facts: async () => ({
        hostname: this.name,
        machine: "x86_64",
        libc: "glibc",
        kernel: "model",
        cpuFlags: ["avx2"],
        cpuCount: 1,
        memoryBytes: 1,
        freeBytes: 1,
        user: "test",
        isRoot: false,
        nowMs: this.clock.nowMs(),
      }),
      machineId: async () => this.machineId,
      services: async () => this.services,
      startWatcher: (workingDirectory, prefix) => {
        const watch = Deployment.open(this.world, workingDirectory, prefix, { startsWatcher: false })
          .then((deployment) => deployment.watchGuards())
          .catch((error: unknown) => {
            if (!this.#isGone) throw error;
          })
          .finally(() => this.#watchers.delete(watch));
        this.#watchers.add(watch);
      },
      ownExecutable: undefined,
    };
  }

  /** A new conversation with a new agent, as ssh would bring about. */
  async connect(prefix: string): Promise<AgentClient> {
    const [near, far] = streamPair();
    void serveAgent(far, createHandlers({ world: this.world, exec: async () => ({ code: 0 }), pid: 1 }));
    const client = new AgentClient(this.name, near, () => new NxError("NX_HOST_LOST", `${this.name}: cut`));
    const question = { protocol: AGENT_PROTOCOL, workingDirectory: this.directory, prefix };
    client.machineId = (await client.call("hello", question)).result.machineId ?? "";
    return client;
  }

  /** False once every guard was disarmed or has fired. */
  get isWatched(): boolean {
    return this.#watchers.size > 0;
  }

  [Symbol.dispose](): void {
    this.#isGone = true;
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** The disk, with the entries in /proc of modelled processes. */
function withModelledProc(disk: LinkingDisk, services: ModelServices): LinkingDisk {
  const processOf = (path: string) => {
    const pid = Number(/^\/proc\/(\d+)\//.exec(path)?.[1]);
    return [...services.processes.values()].find((process) => process.pid === pid);
  };
  const missing = () => Promise.reject(Object.assign(new Error("no such process"), { code: "ENOENT" }));
  return Object.assign(Object.create(disk) as LinkingDisk, {
    readLink(path: string) {
      if (!path.startsWith("/proc/")) return disk.readLink(path);
      const process = processOf(path);
      return process === undefined ? missing() : Promise.resolve(releasePaths(process.release).executable);
    },
    open(path: string, mode: "read") {
      return path.startsWith("/proc/") ? missing() : disk.open(path, mode);
    },
    lock: (path: string) => disk.lock(path),
    list: (path: string) => disk.list(path),
    exists: (path: string) => disk.exists(path),
    syncDirectory: (path: string) => disk.syncDirectory(path),
  });
}
