/**
 * One running instance of a role: its directory, logs, metrics, admin endpoint and state.
 *
 * Library mode: no signals, no process exit; tests and simulations start any number of these in one process.
 * `process-mode.ts` puts one of them into a process of its own.
 *
 * Invariant: starting → ready → draining → stopped, never backwards. Whatever was opened is closed in reverse
 * order, also when starting fails half-way; a stop that comes while it starts waits for the start, so that a role that
 * serves is always told to stop. Not ready is visible before the first listener closes.
 */
import { join } from "node:path";
import type { Hono } from "hono";
import type { z } from "zod";
import { adminApp, type InstanceState, rolePages } from "./admin.ts";
import type { Timer } from "../seams/clock.ts";
import { makeDurableDirectory, writeFileAtomically } from "../seams/durable-files.ts";
import { buildInfo } from "../build-info.ts";
import { assertReloadable, type ConfigChange } from "../config/reload.ts";
import { shownValues, type LoadedConfig } from "../config/load.ts";
import { originText } from "../config/origin.ts";
import { errnoOf, NxError } from "../errors.ts";
import { isLoopback } from "../config/schema.ts";
import { createLog, logLevels, type Log, type LogLevel, type LogOutput } from "../logging/log.ts";
import { addProcessMetrics, createMetrics, type Metrics } from "../metrics.ts";
import type { TlsMaterial } from "../seams/net.ts";
import { ProcessMeter } from "./process-meter.ts";
import type { Role, RoleContext, RunningRole, Stats, World } from "../role.ts";
import { readSecret } from "../secret-file.ts";
import { SOCKET_PATH_BYTES_MAX } from "../seams/socket-file.ts";
import { serveHttp } from "../sockets/serve-http.ts";
import { loadTls, type TlsFiles } from "../sockets/tls.ts";

/** The keys that every role has (config/schema.ts), as far as an instance itself reads them. */
export interface CommonConfig {
  adminPort?: number;
  adminHost: string;
  adminTokenFile?: string;
  pidFile?: string;
  tls?: TlsFiles;
  log: { level: LogLevel };
  shutdownTimeoutMs: number;
}

export interface InstanceOptions {
  world: World;
  logOutput: LogOutput;
  /** Told when the role cannot go on (a failed sync, say): whoever runs the instance must not let it continue. */
  onFatal(error: Error): void;
  /** Told when the role has done what it was started for. */
  onDone?(): void;
  /** Told of what starting does and of the state. */
  onStatus?(text: string): void;
  /** What the role may ask about its cluster (RoleContext.clusterMembers). */
  clusterMembers?: RoleContext<unknown>["clusterMembers"];
  /** As RoleContext.isFresh. */
  isFresh?: boolean;
  /** As RoleContext.logFiles. */
  logFiles?: RoleContext<unknown>["logFiles"];
}

type Closer = { what: string; close(): void | Promise<void> };

const HTTP_STOP_MS = 1000;
/** Pause between two attempts to write ports.json on a full disk. */
const PORTS_RETRY_MS = 5000;

export class Instance {
  readonly name: string;
  readonly log: Log;
  readonly ports: Record<string, number> = {};
  state: InstanceState = "starting";
  #role: Role;
  #loaded: LoadedConfig;
  #options: InstanceOptions;
  #running: RunningRole<z.output<z.ZodObject>> | undefined;
  #pages: Hono | undefined;
  #progress = "starting";
  #closers: Closer[] = [];
  #starting: Promise<void>;
  #startedAtMs: number;
  #serves = false;
  #isStopping = false;
  #draining: Promise<void> | undefined;
  #stopping: Promise<boolean> | undefined;
  #reloading: Promise<unknown> = Promise.resolve();
  #meter: ProcessMeter;
  #portsTimer: Timer | undefined;

  private constructor(role: Role, loaded: LoadedConfig, options: InstanceOptions) {
    this.#role = role;
    this.#loaded = loaded;
    this.#options = options;
    this.name = loaded.instance;
    this.log = createLog(options.world.clock, role.name, options.logOutput);
    this.#startedAtMs = options.world.clock.monotonicMs();
    this.#meter = new ProcessMeter(options.world.clock);
    this.#closers.push({ what: "process meter", close: () => this.#meter.close() });
    this.#starting = this.#startOrClose();
  }

  /** Starts an instance. Throws NxError when it cannot; everything opened so far is closed again. */
  static async start(role: Role, loaded: LoadedConfig, options: InstanceOptions): Promise<Instance> {
    const instance = Instance.begin(role, loaded, options);
    await instance.started;
    return instance;
  }

  /** As `start`, for who wants to stop it meanwhile. */
  static begin(role: Role, loaded: LoadedConfig, options: InstanceOptions): Instance {
    return new Instance(role, loaded, options);
  }

  /** Settles when the start has ended; rejects as `start` does. */
  get started(): Promise<void> {
    return this.#starting;
  }

  /** Whether the role runs or a listener of it is up already: from then on it may have promised something to someone. */
  get serves(): boolean {
    return this.#serves;
  }

  async #startOrClose(): Promise<void> {
    try {
      await this.#start();
    } catch (error) {
      this.log.error(`start failed: ${(error as Error).message}`, { code: (error as NxError).code });
      await this.#closeAll();
      throw error;
    }
  }

  /** The keys that every role has; the schema made sure of them. */
  get #config(): CommonConfig {
    return this.#loaded.config as unknown as CommonConfig;
  }

  async #start(): Promise<void> {
    const { world, clusterMembers, isFresh = false, logFiles } = this.#options;
    const { dataDir } = this.#loaded;
    const config = this.#config;
    await this.#takeDataDirectory();
    await this.#takePidFile();
    this.log.info(`starting ${this.name}`, { version: buildInfo.version, commit: buildInfo.commit, dataDir });

    const tls = loadTls(config.tls, world.clock.nowMs());
    const metrics = this.#createMetrics();
    this.#serveAdmin(metrics, tls);

    this.#running = await this.#role.start({
      ...world,
      instance: this.name,
      config: config as never,
      dataDir,
      log: this.log,
      metrics,
      tls,
      isFresh,
      ...(clusterMembers !== undefined && { clusterMembers }),
      ...(logFiles !== undefined && { logFiles }),
      iniFileOf: (key) => this.#loaded.iniFileOf(key),
      progress: (text) => {
        this.#progress = text;
        this.#options.onStatus?.(text);
      },
      announcePort: (key, port) => {
        this.#serves = true;
        this.ports[key] = port;
        this.log.info(`listening`, { key, port });
      },
      done: () => this.#options.onDone?.(),
      fatal: (error) => this.#options.onFatal(error),
    });
    this.#serves = true;
    this.#closers.push({ what: "role", close: () => this.#stopRole(metrics) });
    const { admin } = this.#running;
    if (admin !== undefined) this.#pages = rolePages((pages) => admin.call(this.#running, pages));
    this.#closers.push({ what: "writing of ports.json", close: () => this.#portsTimer?.cancel() });
    await this.#writePorts();
    if (this.#isStopping) return;
    this.state = "ready";
    this.log.info("ready", this.ports);
    this.#options.onStatus?.("ready");
  }

  /** The admin endpoint outlives the role: it must not ask a role that has let go of its memory. */
  async #stopRole(metrics: Metrics): Promise<void> {
    try {
      await this.#running?.stop();
    } finally {
      this.#running = undefined;
      metrics.clear();
    }
  }

  /** Makes the directory and locks it. What a predecessor left of its ports goes, so that nobody trusts it. */
  async #takeDataDirectory(): Promise<void> {
    const { disk } = this.#options.world;
    const { dataDir } = this.#loaded;
    try {
      await makeDurableDirectory(disk, dataDir);
      const lock = await disk.lock(join(dataDir, "lock"));
      this.#closers.push({ what: "lock", close: () => lock.release() });
      const portsFile = join(dataDir, "ports.json");
      if (await disk.exists(portsFile)) await disk.remove(portsFile);
    } catch (error) {
      const isOfDisk =
        error instanceof NxError ? error.code.startsWith("NX_DISK_") : errnoOf(error) !== undefined;
      if (!isOfDisk) throw error;
      throw new NxError(
        "NX_DATA_DIR_UNUSABLE",
        `${dataDir} cannot be used as data directory: ${(error as Error).message}`,
        {
          hint: "let this user create and write it, or choose another dataDir",
          cause: error,
        },
      );
    }
  }

  /** Locks the pid file as the original programs lock theirs, so that neither starts beside the other. */
  async #takePidFile(): Promise<void> {
    const { pidFile } = this.#config;
    if (pidFile === undefined) return;
    const lock = await this.#options.world.disk.lock(pidFile, true);
    this.#closers.push({ what: "pid file", close: () => lock.release() });
  }

  #createMetrics(): Metrics {
    const metrics = createMetrics(this.name, this.#role.name);
    const { logOutput } = this.#options;
    addProcessMetrics(metrics, this.#meter);
    metrics.gauge("node_x_ready", "1 when the instance is ready.", () =>
      this.reasons().length === 0 ? 1 : 0,
    );
    metrics.gauge("node_x_uptime_seconds", "Seconds since the start.", () => this.uptimeSeconds);
    for (const level of logLevels) {
      metrics.counterFrom(
        "node_x_log_lines_total",
        "Lines written to the log.",
        () => logOutput.counts[level],
        { level },
      );
    }
    return metrics;
  }

  /** Writes ports.json. On a full disk the instance runs without it, and tries again until there is space. */
  async #writePorts(): Promise<void> {
    const { disk, clock } = this.#options.world;
    try {
      await writeFileAtomically(
        disk,
        join(this.#loaded.dataDir, "ports.json"),
        `${JSON.stringify(this.ports)}\n`,
      );
    } catch (error) {
      if ((error as NxError).code !== "NX_DISK_FULL") throw error;
      this.log.warn(`ports.json is not written: ${(error as Error).message}`);
      this.#portsTimer = clock.after(PORTS_RETRY_MS, () => {
        this.#writePorts().catch((failure: Error) =>
          this.log.error(`ports.json is not written: ${failure.message}`),
        );
      });
    }
  }

  #serveAdmin(metrics: Metrics, tls: TlsMaterial | undefined): void {
    const { dataDir } = this.#loaded;
    const config = this.#config;
    const { clock } = this.#options.world;
    const view = {
      state: () => this.state,
      reasons: () => this.reasons(),
      stats: () => this.stats(),
      config: () => this.#shownConfig(),
      metrics,
      drain: () => this.drain(),
    };
    // The role's own pages exist only once it runs.
    const pages = () => this.#pages;
    const socketPath = join(dataDir, "admin.sock");
    if (Buffer.byteLength(socketPath) > SOCKET_PATH_BYTES_MAX) {
      throw new NxError(
        "NX_DATA_DIR_UNUSABLE",
        `the path of the admin socket is longer than ${SOCKET_PATH_BYTES_MAX} bytes: ${socketPath}`,
        {
          hint: "choose a shorter dataDir",
        },
      );
    }
    const log = this.log.child("admin");
    const onSocket = serveHttp(adminApp(view, { pages }), { socketPath }, clock, log);
    this.#closers.push({ what: "admin socket", close: () => onSocket.stop(HTTP_STOP_MS) });
    if (config.adminPort === undefined) return;
    const token =
      config.adminTokenFile === undefined ? undefined : readSecret("adminTokenFile", config.adminTokenFile);
    if (!isLoopback(config.adminHost) && (token === undefined || tls === undefined)) {
      throw new NxError(
        "NX_CONFIG_INVALID",
        `adminHost ${config.adminHost} is not loopback: it needs adminTokenFile and tls`,
      );
    }
    const address = { host: config.adminHost, port: config.adminPort, ...(tls !== undefined && { tls }) };
    const onPort = serveHttp(
      adminApp(view, { pages, isOnPort: true, ...(token !== undefined && { token }) }),
      address,
      clock,
      log,
    );
    this.ports.adminPort = onPort.port;
    this.log.info(`listening`, { key: "adminPort", port: onPort.port });
    this.#closers.push({ what: "admin port", close: () => onPort.stop(HTTP_STOP_MS) });
  }

  /** Why the instance is not ready; empty when it is. */
  reasons(): string[] {
    if (this.#isStopping) return ["shutting down"];
    if (this.state === "starting") return [this.#progress];
    if (this.state !== "ready") return ["draining"];
    return this.#running?.notReady() ?? [];
  }

  get uptimeSeconds(): number {
    return (this.#options.world.clock.monotonicMs() - this.#startedAtMs) / 1000;
  }

  stats(): Stats {
    const reasons = this.reasons();
    return {
      instance: this.name,
      role: this.#role.name,
      version: buildInfo.version,
      commit: buildInfo.commit,
      pid: process.pid,
      state: this.state,
      ready: reasons.length === 0,
      reasons,
      uptimeSeconds: Math.floor(this.uptimeSeconds),
      ports: { ...this.ports },
      process: { ...this.#meter.read() },
      keyFigure: this.#running?.keyFigure() ?? "",
      throughput: this.#running?.throughput?.() ?? null,
      [this.#role.name]: this.#running?.stats() ?? {},
    };
  }

  /** The live line on a terminal. */
  consoleLine(): string {
    return (
      this.#running?.consoleLine?.() ?? `  ${this.name}: ${this.#running?.keyFigure() ?? this.#progress}`
    );
  }

  /** The role's part of a line in stats.log. */
  statsLine(): string {
    return this.#running?.statsLine?.() ?? "";
  }

  #shownConfig(): unknown {
    return shownValues(this.#loaded).map(({ key, value, origin }) => ({
      key,
      value: /password|secret|token/i.test(key) && !key.endsWith("File") ? "(redacted)" : value,
      origin: originText(origin),
    }));
  }

  /**
   * Applies a newly loaded configuration, whole or not at all; several calls are applied one after the other. Throws
   * NX_CONFIG_NOT_RELOADABLE with the differences, or what the role failed with after the old configuration was put back.
   */
  reload(next: LoadedConfig): Promise<ConfigChange[]> {
    const done = this.#reloading.then(() => this.#reload(next));
    this.#reloading = done.catch(() => {});
    return done;
  }

  async #reload(next: LoadedConfig): Promise<ConfigChange[]> {
    const old = this.#loaded;
    const changes = assertReloadable(old, next, this.#role.reloadable);
    try {
      await this.#running?.reload?.(next.config as never);
    } catch (error) {
      await this.#running?.reload?.(old.config as never);
      throw error;
    }
    this.#loaded = next;
    this.#options.logOutput.level = this.#config.log.level;
    return changes;
  }

  /**
   * Refuses new work and finishes what was begun, once. The instance goes on answering who asks how it is, and is not
   * ready; only a new start ends that.
   */
  drain(): Promise<void> {
    this.#draining ??= this.#drain();
    return this.#draining;
  }

  async #drain(): Promise<void> {
    // A start that failed has closed everything already, and its caller knows.
    if (this.state === "starting") await this.#starting.catch(() => {});
    this.state = "draining";
    if (!this.#isStopping) {
      this.log.info("draining");
      this.#options.onStatus?.("draining");
    }
    try {
      await this.#running?.drain?.();
    } catch (error) {
      this.log.error(`draining failed: ${(error as Error).message}`);
    }
  }

  /**
   * Drains, then closes everything in reverse order, once a start that is under way has ended. Resolves with false when the
   * deadline cut it short.
   */
  stop(): Promise<boolean> {
    this.#isStopping = true;
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<boolean> {
    const { clock } = this.#options.world;
    this.log.info("shutting down");
    this.#options.onStatus?.("shutting down");
    const deadlineMs = this.#config.shutdownTimeoutMs;
    const steps = async () => {
      await this.drain();
      await this.#closeAll();
      return true;
    };
    let timer: Timer | undefined;
    const deadline = new Promise<boolean>((resolve) => {
      timer = clock.after(deadlineMs, () => resolve(false));
    });
    const isInTime = await Promise.race([steps(), deadline]);
    timer?.cancel();
    if (!isInTime) this.log.warn(`shutdown took longer than ${deadlineMs} ms and was cut short`);
    this.state = "stopped";
    this.log.info("stopped");
    return isInTime;
  }

  async #closeAll(): Promise<void> {
    for (let closer = this.#closers.pop(); closer !== undefined; closer = this.#closers.pop()) {
      try {
        await closer.close();
      } catch (error) {
        this.log.error(`closing the ${closer.what} failed: ${(error as Error).message}`);
      }
    }
  }
}
