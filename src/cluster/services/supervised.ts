/**
 * Services of a host without systemd: the caller's side of the deployment's supervisor (daemon.ts).
 *
 * The supervisor is started when something is to be started, and found again by its socket afterwards. `kill` asks it
 * first, so that it restarts nothing, but relies on nobody: whatever process still carries the deployment's mark
 * (marks.ts) is killed, and a supervisor that does not answer is killed with it.
 */
import { join } from "node:path";
import { adminGet, adminPost } from "../../core/admin-client.ts";
import { NxError } from "../../core/errors.ts";
import { processOf, signalProcess, untilGone } from "../../core/processes.ts";
import { sleep, type Clock } from "../../core/seams/clock.ts";
import type { LinkingDisk } from "../../core/seams/disk.ts";
import { makeDurableDirectory } from "../../core/seams/durable-files.ts";
import type { DeploymentPaths } from "../topology/layout.ts";
import { lockSoon } from "../lock/host-lock.ts";
import { socketOf } from "./daemon.ts";
import { processesOf } from "./marks.ts";
import { unlinkOutput } from "./output-link.ts";
import { readProgramList, readText, writeProgramList } from "./program-list.ts";
import type { HostServices, ServiceSpec, ServiceStatus } from "./services.ts";

export interface SupervisedOptions {
  paths: DeploymentPaths;
  clock: Clock;
  disk: LinkingDisk;
  /** The words that run a supervisor of this deployment, without its root. */
  supervisorCommand: string[];
  environment: Record<string, string | undefined>;
}

const ANSWER_MS = 5000;
const KILL_ANSWER_MS = 1000;
const START_MS = 10_000;
const POLL_MS = 20;
const GONE_MS = 5000;
/** Beyond an instance's own stop timeout. */
const STOP_SLACK_MS = 5000;
const TAIL_BYTES_MAX = 1024 * 1024;

export class SupervisedServices implements HostServices {
  readonly kind = "supervisor";
  readonly #options: SupervisedOptions;
  #turn: Promise<void> = Promise.resolve();

  constructor(options: SupervisedOptions) {
    this.#options = options;
  }

  async install(specs: readonly ServiceSpec[]): Promise<void> {
    await this.#alone(() => this.#install(specs));
  }

  /** One change after the other, of whatever process: whether there is a supervisor must not change in between. */
  #alone(work: () => Promise<void>): Promise<void> {
    const done = this.#turn.then(async () => {
      const { disk, paths, clock } = this.#options;
      await makeDurableDirectory(disk, paths.run);
      const lock = await lockSoon(disk, clock, join(paths.run, "change.lock"));
      try {
        await work();
      } finally {
        await lock.release();
      }
    });
    this.#turn = done.catch(() => undefined);
    return done;
  }

  async #install(specs: readonly ServiceSpec[]): Promise<void> {
    if (await this.#isRunning()) {
      try {
        return await this.#post("/install", specs);
      } catch (error) {
        // It had nothing to do and went just then.
        if ((error as NxError).code !== "NX_NOT_RUNNING") throw error;
      }
    }
    const { disk, paths } = this.#options;
    const before = await readProgramList(disk, paths).catch(() => []);
    const known = new Map(before.map(({ spec, isWanted }) => [spec.instance, isWanted]));
    const names = new Set(specs.map(({ instance }) => instance));
    const leaving = before.filter(({ spec }) => !names.has(spec.instance));
    // What is forgotten may still run, left over by a supervisor that is gone.
    await this.#killProcesses(leaving.map(({ spec }) => spec.instance));
    for (const { spec } of leaving) await unlinkOutput(disk, spec);
    const list = specs.map((spec) => ({ spec, isWanted: known.get(spec.instance) ?? false }));
    await writeProgramList(disk, paths, list);
  }

  async start(instance: string): Promise<void> {
    await this.#alone(async () => {
      await this.#ensureSupervisor();
      await this.#post("/start", { instance });
    });
  }

  async stop(instance: string): Promise<void> {
    if (!(await this.#isRunning())) return await this.#killProcesses([instance]);
    await this.#post("/stop", { instance });
    const { disk, paths, clock } = this.#options;
    const spec = (await readProgramList(disk, paths)).find((each) => each.spec.instance === instance)?.spec;
    const deadlineMs = clock.monotonicMs() + (spec?.stopTimeoutMs ?? 0) + STOP_SLACK_MS;
    while (clock.monotonicMs() < deadlineMs) {
      const state = (await this.status()).find((status) => status.instance === instance)?.state;
      if (state === undefined || state === "stopped") return;
      await sleep(clock, POLL_MS);
    }
    await this.#killProcesses([instance]);
  }

  async kill(instances: readonly string[]): Promise<void> {
    const { paths } = this.#options;
    const isTold = await adminPost(socketOf(paths), "/kill", { instances }, KILL_ANSWER_MS).then(
      ({ status }) => status === 200,
      () => false,
    );
    if (!isTold) {
      await this.#killSupervisor();
      await this.#unwant(instances);
    }
    await this.#killProcesses(instances);
  }

  async status(): Promise<ServiceStatus[]> {
    const { paths, disk } = this.#options;
    try {
      const { body } = await adminGet(socketOf(paths), "/status", ANSWER_MS);
      return (JSON.parse(body) as { instances: ServiceStatus[] }).instances;
    } catch (error) {
      if ((error as NxError).code !== "NX_NOT_RUNNING") throw error;
    }
    // No supervisor: the list says what there is, the marks what runs, also where the list is lost.
    const running = new Map(processesOf(paths.root).map(({ instance, pid }) => [instance, pid]));
    const list = await readProgramList(disk, paths).catch(() => []);
    const instances = new Set([...list.map(({ spec }) => spec.instance), ...running.keys()]);
    return [...instances].map((instance) => ({
      instance,
      state: running.has(instance) ? "running" : "stopped",
      pid: running.get(instance),
      restarts: 0,
      lastEnd: undefined,
    }));
  }

  async lastLines(instance: string, lines: number): Promise<string[]> {
    const { disk, paths } = this.#options;
    const spec = (await readProgramList(disk, paths)).find((each) => each.spec.instance === instance)?.spec;
    if (spec === undefined || !(await disk.exists(spec.outputFile))) return [];
    const text = await readText(disk, spec.outputFile, TAIL_BYTES_MAX);
    return text.replace(/\n$/, "").split("\n").slice(-lines);
  }

  async #isRunning(): Promise<boolean> {
    return await adminGet(socketOf(this.#options.paths), "/status", ANSWER_MS).then(
      () => true,
      () => false,
    );
  }

  async #ensureSupervisor(): Promise<void> {
    if (await this.#isRunning()) return;
    const { paths, clock, supervisorCommand, environment, disk } = this.#options;
    await makeDurableDirectory(disk, paths.run);
    const child = Bun.spawn([...supervisorCommand, paths.root], {
      cwd: paths.root,
      env: environment,
      stdin: "ignore",
      stdout: "ignore",
      stderr: "ignore",
      detached: true,
    });
    child.unref();
    const deadlineMs = clock.monotonicMs() + START_MS;
    while (!(await this.#isRunning())) {
      if (clock.monotonicMs() > deadlineMs || (child.exitCode !== null && !(await this.#isRunning())))
        throw new NxError("NX_START_FAILED", `the supervisor of ${paths.root} did not start`, {
          hint: `its own log ${join(paths.log, "supervisor.log")} says why`,
        });
      await sleep(clock, POLL_MS);
    }
  }

  async #post(path: string, value: unknown): Promise<void> {
    const { status, body } = await adminPost(socketOf(this.#options.paths), path, value, ANSWER_MS + GONE_MS);
    if (status === 200) return;
    throw new NxError(
      "NX_START_FAILED",
      `the supervisor of ${this.#options.paths.root} refused: ${body.trim()}`,
      {
        hint: "deploy the prefix again",
      },
    );
  }

  /** By its lock file, whose pid is only believed while the process has the deployment's root on its command line. */
  async #killSupervisor(): Promise<void> {
    const { paths, disk, clock } = this.#options;
    const lock = join(paths.run, "supervisor.lock");
    if (!(await disk.exists(lock))) return;
    const pid = Number.parseInt(await readText(disk, lock, 64), 10);
    const identity = Number.isInteger(pid) ? processOf(pid) : undefined;
    if (identity === undefined || !(await this.#isLocked(lock))) return;
    if (signalProcess(identity, "SIGKILL")) await untilGone(clock, identity, GONE_MS);
  }

  /** The kernel's word: nobody else can hold it but the supervisor. */
  async #isLocked(path: string): Promise<boolean> {
    try {
      await (await this.#options.disk.lock(path)).release();
      return false;
    } catch (error) {
      return (error as NxError).code === "NX_DATA_DIR_LOCKED";
    }
  }

  async #unwant(instances: readonly string[]): Promise<void> {
    const { disk, paths } = this.#options;
    const list = await readProgramList(disk, paths).catch(() => []);
    if (list.length === 0) return;
    for (const program of list) if (instances.includes(program.spec.instance)) program.isWanted = false;
    await writeProgramList(disk, paths, list);
  }

  async #killProcesses(instances: readonly string[]): Promise<void> {
    const { paths, clock } = this.#options;
    const deadlineMs = clock.monotonicMs() + GONE_MS;
    for (;;) {
      const left = processesOf(paths.root).filter(({ instance }) => instances.includes(instance));
      if (left.length === 0) return;
      for (const identity of left) signalProcess(identity, "SIGKILL");
      await Promise.all(left.map((identity) => untilGone(clock, identity, GONE_MS)));
      if (clock.monotonicMs() < deadlineMs) continue;
      const names = left.map(({ instance, pid }) => `${instance} (pid ${pid})`).join(", ");
      throw new NxError("NX_START_FAILED", `${names} did not end on SIGKILL`, {
        hint: "the process waits in the kernel, for a disk or a network file system perhaps",
      });
    }
  }
}
