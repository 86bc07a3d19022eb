/**
 * One running instance of a role: its directory, logs, metrics, admin endpoint and state.
 *
 * Library mode: no signals, no process exit; tests and simulations start any number of these in one process.
 * `process-mode.ts` puts one of them into a process of its own.
 *
 * Invariant: starting → ready → draining → stopped, never backwards. Whatever was opened is closed in reverse
 * order, also when starting fails half-way. Not ready is visible before the first listener closes.
 */
import { join } from "node:path";
import { Hono } from "hono";
import type { z } from "zod";
import { adminApp, withToken, type InstanceState } from "./admin.ts";
import type { Timer } from "./clock.ts";
import { makeDurableDirectory, writeFileAtomically } from "./durable-files.ts";
import { buildInfo } from "./build-info.ts";
import { assertReloadable, type ConfigChange } from "./config/reload.ts";
import { shownValues, type LoadedConfig } from "./config/load.ts";
import { originText } from "./config/origin.ts";
import { NxError } from "./errors.ts";
import { createLog, type Log, type LogLevel, type LogOutput } from "./log.ts";
import { addProcessMetrics, createMetrics, readProcessFigures } from "./metrics.ts";
import type { Role, RunningRole, Stats, World } from "./role.ts";
import { readSecret } from "./secret-file.ts";
import { serveHttp, SOCKET_PATH_BYTES_MAX } from "./serve-http.ts";
import { loadTls, type TlsFiles } from "./tls.ts";

/** The keys that every role has (config/schema.ts), as far as an instance itself reads them. */
export interface CommonConfig {
  adminPort?: number;
  adminHost: string;
  adminTokenFile?: string;
  tls?: TlsFiles;
  log: { level: LogLevel };
  shutdownTimeoutMs: number;
}

export interface InstanceOptions {
  world: World;
  logOutput: LogOutput;
  /** Told when the role cannot go on (a failed sync, say). */
  onFatal(error: Error): void;
  /** Told of what starting does and of the state. */
  onStatus?(text: string): void;
}

type Closer = { what: string; close(): void | Promise<void> };

const HTTP_STOP_MS = 1000;

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
  #startedAtMs: number;
  #stopping: Promise<void> | undefined;

  private constructor(role: Role, loaded: LoadedConfig, options: InstanceOptions) {
    this.#role = role;
    this.#loaded = loaded;
    this.#options = options;
    this.name = loaded.instance;
    this.log = createLog(options.world.clock, role.name, options.logOutput);
    this.#startedAtMs = options.world.clock.nowMs();
  }

  /** Starts an instance. Throws NxError when it cannot; everything opened so far is closed again. */
  static async start(role: Role, loaded: LoadedConfig, options: InstanceOptions): Promise<Instance> {
    const instance = new Instance(role, loaded, options);
    try {
      await instance.#start();
    } catch (error) {
      instance.log.error(`start failed: ${(error as Error).message}`, { code: (error as NxError).code });
      await instance.#closeAll();
      throw error;
    }
    return instance;
  }

  /** The keys that every role has; the schema made sure of them. */
  get #config(): CommonConfig {
    return this.#loaded.config as unknown as CommonConfig;
  }

  async #start(): Promise<void> {
    const { world } = this.#options;
    const { dataDir } = this.#loaded;
    const config = this.#config;
    await makeDurableDirectory(world.disk, dataDir);
    const lock = await world.disk.lock(join(dataDir, "lock"));
    this.#closers.push({ what: "lock", close: () => lock.release() });
    this.log.info(`starting ${this.name}`, { version: buildInfo.version, commit: buildInfo.commit, dataDir });

    const tls = loadTls(config.tls, world.clock.nowMs());
    const metrics = createMetrics(this.name, this.#role.name);
    addProcessMetrics(metrics);
    metrics.gauge("node_x_ready", "1 when the instance is ready.", () => (this.reasons().length === 0 ? 1 : 0));
    this.#serveAdmin(metrics, tls);

    this.#running = await this.#role.start({
      ...world,
      instance: this.name,
      config: config as never,
      dataDir,
      log: this.log,
      metrics,
      tls,
      progress: (text) => {
        this.#progress = text;
        this.#options.onStatus?.(text);
      },
      announcePort: (key, port) => {
        this.ports[key] = port;
        this.log.info(`listening`, { key, port });
      },
      fatal: (error) => this.#options.onFatal(error),
    });
    this.#closers.push({ what: "role", close: () => this.#running?.stop() });
    if (this.#running.admin !== undefined) {
      this.#pages = new Hono();
      this.#running.admin(this.#pages);
    }
    await writeFileAtomically(world.disk, join(dataDir, "ports.json"), `${JSON.stringify(this.ports)}\n`);
    this.state = "ready";
    this.log.info("ready", this.ports);
    this.#options.onStatus?.("ready");
  }

  #serveAdmin(metrics: ReturnType<typeof createMetrics>, tls: ReturnType<typeof loadTls>): void {
    const { dataDir } = this.#loaded;
    const config = this.#config;
    const { clock } = this.#options.world;
    const view = {
      state: () => this.state,
      reasons: () => this.reasons(),
      stats: () => this.stats(),
      config: () => this.#shownConfig(),
      metrics,
    };
    // The role's own pages exist only once it runs; until then they answer like unknown ones.
    const app = adminApp(view, (request) => this.#pages?.fetch(request));
    const socketPath = join(dataDir, "admin.sock");
    if (Buffer.byteLength(socketPath) > SOCKET_PATH_BYTES_MAX) {
      throw new NxError("NX_DATA_DIR_UNUSABLE", `the path of the admin socket is longer than ${SOCKET_PATH_BYTES_MAX} bytes: ${socketPath}`, {
        hint: "choose a shorter dataDir",
      });
    }
    const onSocket = serveHttp(app, { socketPath }, clock);
    this.#closers.push({ what: "admin socket", close: () => onSocket.stop(HTTP_STOP_MS) });
    if (config.adminPort === undefined) return;
    const token = config.adminTokenFile === undefined ? undefined : readSecret("adminTokenFile", config.adminTokenFile);
    const guarded = token === undefined ? app : withToken(app, token);
    const address = { host: config.adminHost, port: config.adminPort, ...(tls !== undefined && { tls }) };
    const onPort = serveHttp(guarded, address, clock);
    this.ports.adminPort = onPort.port;
    this.#closers.push({ what: "admin port", close: () => onPort.stop(HTTP_STOP_MS) });
  }

  /** Why the instance is not ready; empty when it is. */
  reasons(): string[] {
    if (this.state === "starting") return [this.#progress];
    if (this.state !== "ready") return ["shutting down"];
    return this.#running?.notReady() ?? [];
  }

  stats(): Stats {
    const reasons = this.reasons();
    const { clock } = this.#options.world;
    return {
      instance: this.name,
      role: this.#role.name,
      version: buildInfo.version,
      commit: buildInfo.commit,
      pid: process.pid,
      state: this.state,
      ready: reasons.length === 0,
      reasons,
      uptimeSeconds: Math.floor((clock.nowMs() - this.#startedAtMs) / 1000),
      ports: { ...this.ports },
      process: { ...readProcessFigures() },
      keyFigure: this.#running?.keyFigure() ?? "",
      [this.#role.name]: this.#running?.stats() ?? {},
    };
  }

  consoleLine(): string | undefined {
    return this.#running?.consoleLine?.();
  }

  statsLine(): string | undefined {
    return this.#running?.statsLine?.();
  }

  #shownConfig(): unknown {
    return shownValues(this.#loaded).map(({ key, value, origin }) => ({
      key,
      value: /password|secret|token/i.test(key) && !key.endsWith("File") ? "(redacted)" : value,
      origin: originText(origin),
    }));
  }

  /** Applies a newly loaded configuration, whole or not at all. Throws NX_CONFIG_NOT_RELOADABLE with the differences. */
  async reload(next: LoadedConfig): Promise<ConfigChange[]> {
    const changes = assertReloadable(this.#loaded, next, this.#role.reloadable);
    await this.#running?.reload?.(next.config as never);
    this.#loaded = next;
    this.#options.logOutput.level = this.#config.log.level;
    return changes;
  }

  /** Drains, then closes everything in reverse order. Resolves also when the deadline cut it short. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    const { clock } = this.#options.world;
    this.state = "draining";
    this.log.info("shutting down");
    this.#options.onStatus?.("shutting down");
    const deadlineMs = this.#config.shutdownTimeoutMs;
    const steps = async () => {
      await this.#running?.drain?.();
      await this.#closeAll();
      return false;
    };
    let timer: Timer | undefined;
    const deadline = new Promise<boolean>((resolve) => {
      timer = clock.after(deadlineMs, () => resolve(true));
    });
    const isLate = await Promise.race([steps(), deadline]);
    timer?.cancel();
    if (isLate) this.log.warn(`shutdown took longer than ${deadlineMs} ms and was cut short`);
    this.state = "stopped";
    this.log.info("stopped");
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
