/**
 * Carries out what plan.ts says, one task at a time, beside the commands of operators.
 *
 * Invariant: a task runs behind the same exclusions and limits as the command of that name. One that fails is told to the
 * log and tried again after a pause, not at once; a crash leaves what a crash of the command leaves.
 */
import type { Log } from "../../../core/logging/log.ts";
import type { Clock, Timer } from "../../../core/seams/clock.ts";
import type { WalbServer } from "../../server/server.ts";
import { apply, type JobOptions, merge } from "../jobs.ts";
import { type ReplicationRequest, ReplicationSource, type SourceOptions } from "../replication/source.ts";
import type { Action, ArchiveVolume } from "../volume.ts";
import { type MaintenanceRules, nextTask, type Task, type VolumeSight } from "./plan.ts";

export interface Replica {
  name: string;
  request: ReplicationRequest;
}

export interface MaintenanceOptions {
  clock: Clock;
  log: Log;
  server(): WalbServer;
  volumes(): Iterable<ArchiveVolume>;
  jobs: JobOptions;
  source: SourceOptions;
  rules: MaintenanceRules;
  replicas: readonly Replica[];
  /** Between two looks. */
  intervalMs: number;
}

/** After a failure the volume is left alone for this long. */
const PAUSE_MS = 60_000;

const actionOf: Record<Exclude<Task["kind"], "letGo">, Action> = {
  apply: "Apply",
  merge: "Merge",
  replicate: "ReplSyncAsClient",
};

export class Maintenance {
  readonly #options: MaintenanceOptions;
  readonly #replicas = new Map<string, Map<string, { lastTime: number; gid: bigint | undefined }>>();
  readonly #pausedUntilMs = new Map<string, number>();
  readonly #timer: Timer;
  #running: Promise<void> | undefined;
  #done = { apply: 0, merge: 0, replicate: 0, letGo: 0, failed: 0 };

  constructor(options: MaintenanceOptions) {
    this.#options = options;
    this.#timer = options.clock.every(options.intervalMs, () => this.#look());
  }

  /** Tasks that were done since the start, by kind. */
  get figures() {
    return { ...this.#done };
  }

  #replicasOf(volume: string) {
    let replicas = this.#replicas.get(volume);
    if (replicas === undefined) this.#replicas.set(volume, (replicas = new Map()));
    return replicas;
  }

  #sightOf(volume: ArchiveVolume): VolumeSight {
    const { name, base, diffs } = volume;
    const replicas = this.#replicasOf(name);
    const [lastApply, lastMerge] = [volume.actionTime("Apply"), volume.actionTime("Merge")];
    return { name, base, diffs: diffs.all, lastApply, lastMerge, replicas };
  }

  #look(): void {
    if (this.#running !== undefined) return;
    const { clock, volumes, rules } = this.#options;
    const now = Math.floor(clock.nowMs() / 1000);
    const idle = [...volumes()].filter(
      (volume) =>
        volume.isActive &&
        volume.stopState === "NotStopping" &&
        volume.actionsRunning === 0 &&
        (this.#pausedUntilMs.get(volume.name) ?? 0) <= clock.monotonicMs(),
    );
    const task = nextTask(
      idle.map((volume) => this.#sightOf(volume)),
      rules,
      now,
    );
    if (task === undefined) return;
    const volume = idle.find(({ name }) => name === task.volume) as ArchiveVolume;
    this.#running = this.#perform(task, volume)
      .then(() => {
        this.#done[task.kind] += 1;
      })
      .catch((error: Error) => this.#failed(task, error))
      .finally(() => (this.#running = undefined));
  }

  #failed(task: Task, error: Error): void {
    const { clock, log } = this.#options;
    this.#done.failed += 1;
    this.#pausedUntilMs.set(task.volume, clock.monotonicMs() + PAUSE_MS);
    log.warn(`maintenance: ${task.kind} failed: ${error.message}`, { volume: task.volume });
  }

  async #perform(task: Task, volume: ArchiveVolume): Promise<void> {
    const { server, log } = this.#options;
    if (task.kind === "letGo") {
      for (const gid of task.gids) await volume.diffs.setMergeable(gid, true);
      log.info(`maintenance: ${task.gids.length} points may be merged away`, { volume: volume.name });
      return;
    }
    const release = server().reserveForeground("maintenance");
    let end: (() => void) | undefined;
    try {
      end = volume.begin("maintenance", actionOf[task.kind]);
      log.info(`maintenance: ${task.kind}`, { volume: volume.name });
      await this.#run(task, volume);
    } finally {
      end?.();
      release();
    }
  }

  async #run(task: Exclude<Task, { kind: "letGo" }>, volume: ArchiveVolume): Promise<void> {
    if (task.kind === "apply") return await apply(volume, task.gid, this.#options.jobs);
    if (task.kind === "merge") return await merge(volume, task.diffs);
    const { replicas, source: options, clock } = this.#options;
    const { request } = replicas.find(({ name }) => name === task.replica) as Replica;
    // Noted before it is tried: a replica that cannot be reached waits for its interval, too.
    const entry = { lastTime: Math.floor(clock.nowMs() / 1000), gid: undefined as bigint | undefined };
    this.#replicasOf(volume.name).set(task.replica, entry);
    const source = await ReplicationSource.open(volume, request, options);
    entry.gid = await source.run();
  }

  async stop(): Promise<void> {
    this.#timer.cancel();
    await this.#running;
  }
}
