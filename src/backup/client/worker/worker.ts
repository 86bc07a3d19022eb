/**
 * `walb-worker`: maintenance of one archive from outside, over the controller's protocol, so that the archive may be ours or
 * an original. What comes next is decided by the same rules as an archive's own maintenance (archive/maintenance/plan.ts).
 *
 * Invariant: at most one task of a volume at a time, and no more tasks and replications than the configuration allows; the
 * archive refuses what must not run beside it. Nothing is kept: a worker that was killed looks at the archive again.
 */
import { NxError } from "../../../core/errors.ts";
import { type Clock, sleep } from "../../../core/seams/clock.ts";
import { chainFrom, clean, type MetaDiff, restorePoints } from "../../algebra/snapshot.ts";
import { nextTask, type Task, type VolumeSight } from "../../archive/maintenance/plan.ts";
import type { Controller } from "../controller.ts";
import { parseActions, parseDiff, parseMetaState } from "../group/texts.ts";
import type { WorkerConfig, WorkerReplica } from "./config.ts";

export interface WorkerOptions {
  clock: Clock;
  config: WorkerConfig;
  archive: Controller;
  replica(address: { host: string; port: number }): Controller;
  /** Told of each task and each failure. */
  say(text: string): void;
}

/** After a failure a volume is left alone for this long. */
const PAUSE_MS = 60_000;
const POLL_MS = 300;

type Command = Exclude<Task, { kind: "letGo" }>;

const actionOf = { apply: "Apply", merge: "Merge", replicate: "ReplSyncAsClient" } as const;

export class ArchiveWorker {
  readonly #options: WorkerOptions;
  readonly #busy = new Map<string, Command["kind"]>();
  readonly #running = new Set<Promise<void>>();
  readonly #pausedUntilMs = new Map<string, number>();
  /** When a volume was last brought to a replica, by volume and replica. */
  readonly #replicated = new Map<string, number>();

  constructor(options: WorkerOptions) {
    this.#options = options;
  }

  get #now(): number {
    return Math.floor(this.#options.clock.nowMs() / 1000);
  }

  /** Volumes on which nothing runs, as they are now. */
  async #look(): Promise<VolumeSight[]> {
    const { archive, config } = this.#options;
    const sights: VolumeSight[] = [];
    for (const line of (await archive.get("all-actions")) as string[]) {
      const [name, actions] = parseActions(line);
      const isIdle = Object.values(actions).every(({ count }) => count === 0);
      const isPaused = (this.#pausedUntilMs.get(name) ?? 0) > this.#options.clock.monotonicMs();
      if (!isIdle || isPaused || this.#busy.has(name)) continue;
      if (((await archive.get("state", name)) as string) !== "Archived") continue;
      const replicas: [string, { lastTime: number; gid: bigint | undefined }][] = [];
      for (const replica of config.replicas)
        replicas.push([
          replica.name,
          {
            lastTime: this.#replicated.get(`${name} ${replica.name}`) ?? 0,
            gid: await this.#positionOf(replica, name),
          },
        ]);
      sights.push({
        name,
        base: parseMetaState((await archive.get("base", name)) as string),
        diffs: ((await archive.get("diff", name)) as string[]).map(parseDiff),
        lastApply: actions.Apply?.timestamp ?? 0,
        lastMerge: actions.Merge?.timestamp ?? 0,
        replicas: new Map(replicas),
      });
    }
    return sights;
  }

  /** The newest point that a replica has; undefined when it has none, or does not answer. */
  async #positionOf({ address }: WorkerReplica, volume: string): Promise<bigint | undefined> {
    const lines = await this.#options
      .replica(address)
      .get("latest-snap", volume)
      .catch(() => []);
    const gid = /\tgid:(\d+)/.exec((lines as string[])[0] ?? "")?.[1];
    return gid === undefined ? undefined : BigInt(gid);
  }

  /** Begins what is due, as far as there is room; returns what was begun. `isDry`: only says it. */
  async step(isDry = false): Promise<Command[]> {
    const { config, say } = this.#options;
    let sights = this.#running.size < config.tasksMax ? await this.#look() : [];
    const begun: Command[] = [];
    while (this.#running.size + (isDry ? begun.length : 0) < config.tasksMax) {
      const replications = [...this.#busy.values()].filter((kind) => kind === "replicate").length;
      const replicas = replications < config.replicationsMax ? config.rules.replicas : [];
      const task = nextTask(sights, { ...config.rules, replicas }, this.#now);
      if (task === undefined || task.kind === "letGo") break;
      const sight = sights.find(({ name }) => name === task.volume) as VolumeSight;
      sights = sights.filter((each) => each !== sight);
      begun.push(task);
      const words = this.#wordsOf(task, sight);
      say(`${task.kind} ${words.join(" ")}`);
      if (!isDry) this.#perform(task, words);
    }
    return begun;
  }

  /** The words of the command that does it. */
  #wordsOf(task: Command, sight: VolumeSight): string[] {
    if (task.kind === "apply") return [task.volume, String(task.gid)];
    if (task.kind === "merge") {
      const [first, last] = [task.diffs[0], task.diffs.at(-1)] as [MetaDiff, MetaDiff];
      return [task.volume, String(first.from.begin), "gid", String(last.to.begin)];
    }
    const replica = this.#options.config.replicas.find(({ name }) => name === task.replica) as WorkerReplica;
    const { host, port } = replica.address;
    const gid = targetOf(sight, sight.replicas.get(replica.name)?.gid, replica.sendBytesMax);
    return [task.volume, "gid", String(gid), `${host}:${port}`, ...replica.words];
  }

  #perform(task: Command, words: readonly string[]): void {
    const { archive, say } = this.#options;
    const { volume, kind } = task;
    this.#busy.set(volume, kind);
    // Noted before it is tried: a replica that cannot be reached waits for its interval, too.
    if (kind === "replicate") this.#replicated.set(`${volume} ${task.replica}`, this.#now);
    const work = async () => {
      await archive.command(kind, words, "accept");
      while ((await archive.get("num-action", volume, actionOf[kind])) !== 0n)
        await sleep(this.#options.clock, POLL_MS);
    };
    const running = work()
      .catch((error: Error) => {
        this.#pausedUntilMs.set(volume, this.#options.clock.monotonicMs() + PAUSE_MS);
        say(`${kind} of ${volume} failed: ${error.message}`);
      })
      .finally(() => {
        this.#busy.delete(volume);
        this.#running.delete(running);
      });
    this.#running.add(running);
  }

  /** Looks again and again until `isOver`; what was begun is waited for. */
  async run(isOver: () => boolean): Promise<void> {
    const { clock, config, say } = this.#options;
    let isSilent = false;
    while (!isOver()) {
      try {
        await this.step();
        isSilent = false;
      } catch (error) {
        if (!(error instanceof NxError)) throw error;
        if (!isSilent) say(`the archive does not answer: ${error.message}`);
        isSilent = true;
      }
      await sleep(clock, config.intervalMs);
    }
    await this.settled();
  }

  async settled(): Promise<void> {
    await Promise.all(this.#running);
  }
}

/** The point up to which one step brings a replica: the newest, or the last one within the bytes, but one at least. */
function targetOf({ name, base, diffs }: VolumeSight, at: bigint | undefined, bytesMax: number): bigint {
  const points = restorePoints(base, diffs).filter(({ gid }) => at === undefined || gid > at);
  const last = points.at(-1);
  if (last === undefined) return at ?? base.to.begin;
  if (bytesMax === 0 || at === undefined) return last.gid;
  const within = points.filter(({ gid }) => {
    const chain = chainFrom(clean(at), diffs, gid);
    return chain.reduce((sum, { dataBytes }) => sum + dataBytes, 0) <= bytesMax;
  });
  return (within.at(-1) ?? (points[0] as (typeof points)[number])).gid;
}
