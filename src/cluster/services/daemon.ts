/**
 * The supervisor of one deployment on a host without systemd: a process of its own that outlives the operator's
 * connection, keeps the deployment's instances running and is told what to do over a socket.
 *
 * Invariant: what it is asked for is in `programs.json` before it answers, so a supervisor that starts again continues
 * there. One supervisor per deployment: it holds the lock `run/supervisor.lock`. Instances stop when it dies
 * (core/kernel/supervised.ts). It ends by itself once nothing is wanted any more. Each instance has `run/<instance>.pid`
 * while it runs.
 */
import { Hono } from "hono";
import { join } from "node:path";
import type { Log } from "../../core/logging/log.ts";
import { RotatingFile } from "../../core/logging/rotating-file.ts";
import { Exit } from "../../core/errors.ts";
import type { Clock, Timer } from "../../core/seams/clock.ts";
import type { LinkingDisk } from "../../core/seams/disk.ts";
import { makeDurableDirectory, writeFileAtomically } from "../../core/seams/durable-files.ts";
import { serveHttp, type HttpServer } from "../../core/sockets/serve-http.ts";
import { Supervisor, type Ended } from "../supervisor.ts";
import type { DeploymentPaths } from "../topology/layout.ts";
import { marksOf } from "./marks.ts";
import { linkOutput, unlinkOutput } from "./output-link.ts";
import { readProgramList, writeProgramList, type ListedProgram } from "./program-list.ts";
import type { ServiceSpec, ServiceState, ServiceStatus } from "./services.ts";

export interface DaemonOptions {
  paths: DeploymentPaths;
  clock: Clock;
  disk: LinkingDisk;
  log: Log;
  /** Its own; instances get PATH, HOME, LANG and TZ of it. */
  environment: Record<string, string | undefined>;
}

const OUTPUT_BYTES_MAX = 10 * 1024 * 1024;
const OUTPUT_FILES_MAX = 3;
/** Nothing wanted for this long: it goes. */
const IDLE_MS = 2000;
const HTTP_STOP_MS = 500;
const PASSED_ON = ["PATH", "HOME", "LANG", "TZ"];
/** A wrong command line or configuration does not heal by trying again. */
const HOPELESS: readonly (number | string)[] = [Exit.usage, Exit.config];

const states: Record<ReturnType<Supervisor["stateOf"]>, ServiceState> = {
  running: "running",
  waiting: "restarting",
  down: "stopped",
};

export class Daemon {
  readonly #options: DaemonOptions;
  readonly #programs = new Map<string, ListedProgram>();
  readonly #lastEnds = new Map<string, string>();
  readonly #outputs = new Map<string, RotatingFile>();
  readonly #supervisor: Supervisor;
  #server: HttpServer | undefined;
  #lock: { release(): Promise<void> } | undefined;
  #idle: Timer | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  #pidFiles: Promise<void> = Promise.resolve();
  #finish: () => void = () => {};
  /** Resolves when it has ended. */
  readonly ended = new Promise<void>((resolve) => {
    this.#finish = resolve;
  });

  private constructor(options: DaemonOptions) {
    this.#options = options;
    this.#supervisor = new Supervisor({
      clock: options.clock,
      workingDirectory: options.paths.root,
      environment: {},
      onLine: (name, line) => this.#outputs.get(name)?.write(line),
      onEnded: (ended) => this.#onEnded(ended),
      onStarted: (name, pid) => this.#onStarted(name, pid),
    });
  }

  /** Takes the deployment and starts what is wanted. Throws NX_DATA_DIR_LOCKED when another supervisor has it. */
  static async start(options: DaemonOptions): Promise<Daemon> {
    const daemon = new Daemon(options);
    const { paths, disk, clock, log } = options;
    await makeDurableDirectory(disk, paths.run);
    await makeDurableDirectory(disk, paths.log);
    daemon.#lock = await disk.lock(join(paths.run, "supervisor.lock"));
    for (const program of await readProgramList(disk, paths))
      daemon.#programs.set(program.spec.instance, program);
    const address = { socketPath: socketOf(paths) };
    daemon.#server = serveHttp(daemon.#app(), address, clock, log.child("supervisor"));
    for (const { spec, isWanted } of daemon.#programs.values()) if (isWanted) await daemon.#run(spec);
    daemon.#considerIdle();
    log.info("supervising", { root: paths.root, programs: daemon.#programs.size });
    return daemon;
  }

  /** One change after the other, so that a list on disk is never older than what runs. */
  #change<Result>(work: () => Promise<Result>): Promise<Result> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => {});
    return done.finally(() => this.#considerIdle());
  }

  #app(): Hono {
    const app = new Hono();
    app.get("/status", (context) => context.json({ pid: process.pid, instances: this.#status() }));
    app.post("/install", async (context) => {
      const specs = (await context.req.json()) as ServiceSpec[];
      await this.#change(() => this.#install(specs));
      return context.json({});
    });
    app.post("/start", async (context) => {
      const { instance } = (await context.req.json()) as { instance: string };
      const isKnown = await this.#change(() => this.#start(instance));
      return isKnown ? context.json({}) : context.json({ unknown: instance }, 404);
    });
    // Both answer at once: the caller watches /status, so that a long shutdown holds up nobody.
    app.post("/stop", async (context) => {
      const { instance } = (await context.req.json()) as { instance: string };
      await this.#unwant([instance]);
      const timeoutMs = this.#programs.get(instance)?.spec.stopTimeoutMs ?? 0;
      void this.#supervisor.stopOne(instance, timeoutMs).then(() => this.#onDown(instance));
      return context.json({});
    });
    app.post("/kill", async (context) => {
      const { instances } = (await context.req.json()) as { instances: string[] };
      for (const instance of instances)
        void this.#supervisor.killOne(instance).then(() => this.#onDown(instance));
      await this.#unwant(instances);
      return context.json({});
    });
    return app;
  }

  #status(): ServiceStatus[] {
    return [...this.#programs.keys()].map((instance) => ({
      instance,
      state: states[this.#supervisor.stateOf(instance)],
      pid: this.#supervisor.pidOf(instance),
      restarts: this.#supervisor.restartsOf(instance),
      lastEnd: this.#lastEnds.get(instance),
    }));
  }

  async #install(specs: readonly ServiceSpec[]): Promise<void> {
    const names = new Set(specs.map(({ instance }) => instance));
    for (const [instance, { spec }] of [...this.#programs].filter(([name]) => !names.has(name))) {
      await this.#supervisor.stopOne(instance, spec.stopTimeoutMs);
      await this.#onDown(instance);
      await unlinkOutput(this.#options.disk, spec);
      this.#programs.delete(instance);
    }
    for (const spec of specs) {
      const isWanted = this.#programs.get(spec.instance)?.isWanted ?? false;
      this.#programs.set(spec.instance, { spec, isWanted });
    }
    await this.#save();
  }

  async #start(instance: string): Promise<boolean> {
    const program = this.#programs.get(instance);
    if (program === undefined) return false;
    program.isWanted = true;
    await this.#save();
    await this.#run(program.spec);
    return true;
  }

  async #unwant(instances: readonly string[]): Promise<void> {
    await this.#change(async () => {
      for (const instance of instances) {
        const program = this.#programs.get(instance);
        if (program !== undefined) program.isWanted = false;
      }
      await this.#save();
    });
  }

  async #run(spec: ServiceSpec): Promise<void> {
    const { instance, command, workingDirectory } = spec;
    // Waiting for its restart: somebody who asks does not want to wait.
    if (this.#supervisor.stateOf(instance) === "waiting") await this.#supervisor.killOne(instance);
    if (this.#supervisor.stateOf(instance) === "running") return;
    await this.#openOutput(spec);
    const { environment } = this.#options;
    const passed = Object.fromEntries(PASSED_ON.map((name) => [name, environment[name]]));
    const marks = marksOf(this.#options.paths.root, instance);
    try {
      this.#supervisor.start({
        name: instance,
        command,
        workingDirectory,
        environment: { ...passed, ...spec.environment, ...marks },
      });
    } catch (error) {
      this.#lastEnds.set(instance, (error as Error).message);
      this.#outputs.get(instance)?.write(`cannot be started: ${(error as Error).message}`);
      this.#options.log.error(`${instance} cannot be started: ${(error as Error).message}`);
    }
    await this.#pidFiles;
  }

  async #openOutput(spec: ServiceSpec): Promise<void> {
    const { instance, outputFile } = spec;
    this.#outputs.get(instance)?.close();
    const limits = { bytesMax: OUTPUT_BYTES_MAX, filesMax: OUTPUT_FILES_MAX };
    this.#outputs.set(instance, new RotatingFile(outputFile, limits));
    const { disk, log } = this.#options;
    await linkOutput(disk, spec).catch((error: Error) =>
      log.warn(`no link to ${outputFile}: ${error.message}`),
    );
  }

  #onStarted(name: string, pid: number): void {
    const { disk, paths } = this.#options;
    void this.#onPidFile(name, () => writeFileAtomically(disk, pidFile(paths, name), `${pid}\n`));
  }

  async #onDown(name: string): Promise<void> {
    const { disk, paths } = this.#options;
    await this.#onPidFile(name, async () => {
      if (await disk.exists(pidFile(paths, name))) await disk.remove(pidFile(paths, name));
    });
    this.#considerIdle();
  }

  /** One after the other, so that the last word about an instance is the last in its file. */
  #onPidFile(name: string, work: () => Promise<void>): Promise<void> {
    this.#pidFiles = this.#pidFiles
      .then(work)
      .catch((error: Error) => this.#options.log.warn(`the pid file of ${name}: ${error.message}`));
    return this.#pidFiles;
  }

  #onEnded({ name, status, restartInMs }: Ended): boolean {
    const how = typeof status === "number" ? `exit code ${status}` : status;
    this.#lastEnds.set(name, how);
    const isHopeless = HOPELESS.includes(status);
    const next = isHopeless ? "it is not restarted" : `restarting in ${restartInMs / 1000} s`;
    this.#outputs.get(name)?.write(`[supervisor] ended by ${how}; ${next}`);
    this.#options.log.warn(`${name} ended by ${how}; ${next}`);
    if (isHopeless) void this.#unwant([name]).then(() => this.#onDown(name));
    return !isHopeless;
  }

  #save(): Promise<void> {
    const { disk, paths } = this.#options;
    return writeProgramList(disk, paths, [...this.#programs.values()]);
  }

  #considerIdle(): void {
    this.#idle?.cancel();
    this.#idle = this.#options.clock.after(IDLE_MS, () => {
      if (![...this.#programs.values()].some(({ isWanted }) => isWanted) && !this.#isBusy()) void this.stop();
    });
  }

  #isBusy(): boolean {
    const isBusy = [...this.#programs.keys()].some((name) => this.#supervisor.stateOf(name) !== "down");
    if (isBusy) this.#considerIdle();
    return isBusy;
  }

  /** Stops all instances, the last started first, and ends. What was wanted stays wanted. */
  async stop(): Promise<void> {
    this.#idle?.cancel();
    try {
      await this.#supervisor.stop();
      for (const name of this.#programs.keys()) await this.#onDown(name);
      this.#idle?.cancel();
      await this.#server?.stop(HTTP_STOP_MS);
      for (const output of this.#outputs.values()) output.close();
      await this.#lock?.release();
    } catch (error) {
      // Its directory may have been removed under it: then there is nothing left to put in order.
      this.#options.log.error(`the end was not orderly: ${(error as Error).message}`);
    } finally {
      this.#idle?.cancel();
      this.#finish();
    }
  }
}

export function socketOf(paths: DeploymentPaths): string {
  return join(paths.run, "supervisor.sock");
}

export function pidFile(paths: DeploymentPaths, instance: string): string {
  return join(paths.run, `${instance}.pid`);
}
