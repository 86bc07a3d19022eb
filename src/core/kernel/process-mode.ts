/**
 * An instance in a process of its own: signals, service manager, log files, the live console line, exit code.
 *
 * Invariant: the process ends with the exit code of what ended it, after last words if that was a failure, and after a
 * failure nothing else runs any more. It is crash-only: `kill -9` at any moment is a supported way to stop, the
 * role's log takes care of what was acknowledged.
 */
import { resolve } from "node:path";
import { realClock } from "../seams/clock.ts";
import type { LoadedConfig } from "../config/load.ts";
import { buildInfo } from "../build-info.ts";
import { originText } from "../config/origin.ts";
import { changeText } from "../config/reload.ts";
import {
  consoleMode,
  consoleTarget,
  drawLiveLine,
  endLiveLine,
  standardError,
  type ConsoleMode,
  type Terminal,
} from "./console-line.ts";
import { Exit, NxError } from "../errors.ts";
import { keepHelpersBack } from "./helper-threads.ts";
import { Instance, type InstanceOptions } from "./instance.ts";
import { writeLastWords } from "./last-words.ts";
import {
  createLog,
  formatText,
  logOutput,
  logTimestamp,
  type Log,
  type LogLevel,
  type LogOutput,
} from "../logging/log.ts";
import type { Role, World } from "../role.ts";
import { RotatingFile } from "../logging/rotating-file.ts";
import { connectServiceManager, type ServiceManager } from "./service-manager.ts";
import { listenToSignals } from "./signals.ts";
import { watchSupervisor } from "./supervised.ts";
import { StatsLog } from "../logging/stats-log.ts";
import { realWorld } from "../seams/world-real.ts";

export interface RunOptions {
  /** Reads the configuration again, from the same sources. */
  reloadConfig(): Promise<LoadedConfig>;
  environment: Record<string, string | undefined>;
  clusterMembers?: InstanceOptions["clusterMembers"];
  isFresh?: boolean;
}

const STATUS_PERIOD_MS = 500;

interface LogKeys {
  level: LogLevel;
  file: string;
  statsFile: string;
  versionFile: string | null;
  statsPeriodMs: number;
  fileBytesMax: number;
  filesMax: number;
  console: ConsoleMode | "auto";
}

/** Runs a role until it has stopped; resolves with the exit code. Throws NxError when it cannot start. */
export async function runRole(role: Role, loaded: LoadedConfig, options: RunOptions): Promise<number> {
  const run = new Run(role, loaded, options);
  try {
    return await run.untilEnd();
  } finally {
    run.close();
  }
}

class Run {
  readonly #role: Role;
  readonly #loaded: LoadedConfig;
  readonly #options: RunOptions;
  readonly #keys: LogKeys;
  readonly #terminal: Terminal;
  readonly #mode: ConsoleMode;
  readonly #logOutput: LogOutput;
  readonly #log: Log;
  readonly #world: World;
  readonly #manager: ServiceManager;
  readonly #files: RotatingFile[] = [];
  readonly #closers: (() => void)[] = [];
  #instance: Instance | undefined;
  #isStopping = false;
  #status = "starting";
  #statusAtMs = Number.NEGATIVE_INFINITY;
  #finish: (code: number) => void = () => {};
  readonly #finished = new Promise<number>((resolve) => {
    this.#finish = resolve;
  });

  constructor(role: Role, loaded: LoadedConfig, options: RunOptions) {
    this.#role = role;
    this.#loaded = loaded;
    this.#options = options;
    this.#keys = loaded.config.log as LogKeys;
    this.#terminal = standardError();
    this.#mode = consoleMode(this.#keys.console, this.#terminal, options.environment);
    const target = consoleTarget(this.#mode, this.#terminal);
    this.#logOutput = logOutput(this.#keys.level, target === undefined ? [] : [target]);
    this.#log = createLog(realClock, role.name, this.#logOutput);
    this.#manager = connectServiceManager(options.environment, realClock);
    this.#world = realWorld((error, remote) =>
      this.#log.error("a connection was closed by a defect of ours", {
        remote,
        reason: error.message,
        stack: error.stack,
      }),
    );
  }

  async untilEnd(): Promise<number> {
    this.#listen();
    await this.#openLogFiles();
    try {
      const code = await Promise.race([this.#start(), this.#finished]);
      return code ?? (await this.#finished);
    } catch (error) {
      if (!(error instanceof NxError)) this.#die(error);
      throw error;
    }
  }

  #listen(): void {
    const unlisten = listenToSignals({
      stop: (signal) => void this.#stop(signal),
      force: (signal) => {
        this.#log.warn(`${signal} again: ended without waiting for the shutdown`);
        process.exit(Exit.failed);
      },
      reopen: () => this.#files.forEach((file) => file.reopen()),
      reload: () => void this.#reload(),
      crash: (error) => this.#die(error),
    });
    const unwatch = watchSupervisor(
      this.#options.environment,
      () => void this.#stop("the supervisor is gone"),
    );
    const helpers = keepHelpersBack(realClock, this.#log);
    this.#closers.push(
      unlisten,
      unwatch,
      () => this.#manager.close(),
      () => helpers.cancel(),
    );
  }

  async #openLogFiles(): Promise<void> {
    const { dataDir } = this.#loaded;
    const { file, statsFile, versionFile, fileBytesMax: bytesMax, filesMax } = this.#keys;
    for (const name of [file, statsFile, ...(versionFile === null ? [] : [versionFile])]) {
      const opened = new RotatingFile(resolve(dataDir, name), { bytesMax, filesMax });
      this.#files.push(opened);
      this.#closers.push(() => opened.close());
    }
    const { version, commit, bun } = buildInfo;
    this.#files[2]?.write(`${logTimestamp(realClock.nowMs())} node-x ${version} commit ${commit} bun ${bun}`);
    this.#logOutput.targets.push({ sink: this.#files[0] as RotatingFile, format: formatText });
    for (const { level, origin, text } of this.#loaded.notices)
      this.#log[level](`${originText(origin)}: ${text}`);
  }

  /** Resolves with nothing once the instance serves. */
  async #start(): Promise<undefined> {
    if (this.#mode === "line") {
      const line = () => this.#instance?.consoleLine() ?? `  ${this.#loaded.instance}: ${this.#status}`;
      const liveLine = drawLiveLine(realClock, this.#terminal, line);
      this.#closers.push(() => liveLine.cancel());
    }
    const { clusterMembers, isFresh = false } = this.#options;
    const instance = Instance.begin(this.#role, this.#loaded, {
      ...(clusterMembers !== undefined && { clusterMembers }),
      isFresh,
      logFiles: this.#files,
      world: this.#world,
      logOutput: this.#logOutput,
      onFatal: (error) => this.#die(error),
      onDone: () => void this.#stop("the work is done"),
      onStatus: (text) => this.#tellStatus(text),
    });
    this.#instance = instance;
    await instance.started;
    if (this.#isStopping) return;
    this.#manager.ready(`${this.#loaded.instance} is ready`);
    const statsLog = new StatsLog({
      clock: realClock,
      sink: this.#files[1] as RotatingFile,
      periodMs: this.#keys.statsPeriodMs,
      logOutput: this.#logOutput,
      roleLine: () => instance.statsLine(),
    });
    this.#closers.push(() => statsLog.close());
  }

  get #isStarting(): boolean {
    return this.#instance === undefined || this.#instance.state === "starting";
  }

  /** Starting may tell its progress very often: the service manager hears of it twice a second. */
  #tellStatus(text: string): void {
    this.#status = text;
    const nowMs = realClock.monotonicMs();
    if (this.#isStarting && nowMs - this.#statusAtMs < STATUS_PERIOD_MS) return;
    this.#statusAtMs = nowMs;
    this.#manager.status(text, this.#isStarting);
  }

  async #stop(reason: string): Promise<void> {
    this.#log.info(`${reason}: stopping`);
    this.#manager.stopping();
    this.#isStopping = true;
    // Nothing was promised to anyone yet, and what is on disk survives any end: a long start need not be waited for.
    if (this.#instance?.serves !== true) return this.#finish(Exit.ok);
    if (this.#mode === "line") endLiveLine(this.#terminal, "Shutting down.");
    try {
      this.#finish((await this.#instance.stop()) ? Exit.ok : Exit.failed);
    } catch (error) {
      this.#die(error);
    }
  }

  async #reload(): Promise<void> {
    const instance = this.#instance;
    if (instance === undefined || instance.state !== "ready") return;
    this.#manager.reloading();
    try {
      const changes = await instance.reload(await this.#options.reloadConfig());
      if (changes.length === 0) this.#log.info("configuration read again, nothing changed");
      for (const change of changes) this.#log.info(`applied ${changeText(change)}`);
    } catch (error) {
      this.#log.error(`reload refused, nothing was applied: ${(error as Error).message}`, {
        code: (error as NxError).code,
      });
    }
    this.#manager.ready(`${this.#loaded.instance} is ready`);
  }

  /** Last words, then the end: nothing may run after a failure that nobody handled. */
  #die(error: unknown): never {
    const code = writeLastWords(error, this.#log, this.#loaded.dataDir, realClock.nowMs());
    this.#manager.stopping();
    process.exit(code);
  }

  close(): void {
    for (const close of this.#closers.toReversed()) close();
  }
}
