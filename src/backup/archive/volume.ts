/**
 * One volume of an archive: its state, its base image, its diffs, and the rules about what may run beside what.
 *
 *   Clear -> SyncReady (init-vol) -> Archived (a full copy arrived) <-> Stopped; see docs/backup.md for the whole table.
 *
 * Invariant: steady states are on disk before they are reported. What changes an image or the set of diffs runs behind a
 * temporary state or an action count that excludes what must not run beside it. A process that dies leaves the previous
 * steady state; what it had begun is removed or repeated at the next start.
 */
import { dirname, join } from "node:path";
import { NxError } from "../../core/errors.ts";
import { type Clock, sleep } from "../../core/seams/clock.ts";
import type { Disk } from "../../core/seams/disk.ts";
import { makeDurableDirectory } from "../../core/seams/durable-files.ts";
import type { Random } from "../../core/seams/random.ts";
import { chainFrom, isInside, type MetaDiff, type MetaState, newest, steady } from "../algebra/snapshot.ts";
import type { ByteSink } from "../formats/bytes.ts";
import { NO_LSID } from "../formats/units.ts";
import { Refusal } from "../server/server.ts";
import { Writer } from "../wire/serial.ts";
import {
  decodeFile,
  type FullReplication,
  readFullReplication,
  readState,
  writeFullReplication,
  writeState,
} from "../wire/values.ts";
import { BaseSumsChange } from "./base-sums.ts";
import { ColdSnapshots } from "./cold.ts";
import type { ImageBackEnd, OpenImage } from "./images/back-end.ts";
import { DiffFiles } from "../files/diff-files.ts";
import type { OpenParts } from "../files/distant-diffs.ts";
import { VolumeFiles } from "../files/volume-files.ts";

export const actions = ["Merge", "Apply", "Restore", "ReplSyncAsClient", "Resize"] as const;
export type Action = (typeof actions)[number];
export type SteadyState = "Clear" | "SyncReady" | "Archived" | "Stopped";
export type StopState = "NotStopping" | "Stopping" | "ForceStopping";

/** What refuses to begin while another action runs. */
const excludedBy: Record<Action, readonly Action[]> = {
  Restore: ["Restore", "Resize"],
  ReplSyncAsClient: ["Restore", "ReplSyncAsClient", "Apply", "Merge", "Resize"],
  Apply: ["Restore", "ReplSyncAsClient", "Apply", "Merge", "Resize"],
  Merge: ["Apply", "Merge", "Resize"],
  Resize: ["Restore", "ReplSyncAsClient", "Apply", "Resize"],
};

/** States in which points can be restored, merged and replicated. */
export const activeStates: readonly string[] = ["Archived", "HashSync", "WdiffRecv", "ReplSyncAsServer"];
const STOP_TIMEOUT_MS = 60_000;
const STOP_POLL_MS = 100;

export interface VolumeWorld {
  disk: Disk;
  random: Random;
  clock: Clock;
  images: ImageBackEnd;
  /** Of a volume whose diffs may be in a bucket only. */
  openParts?: (volume: string) => OpenParts;
}

export class ArchiveVolume {
  readonly name: string;
  readonly world: VolumeWorld;
  readonly directory: string;
  #files!: VolumeFiles;
  diffs!: DiffFiles;
  cold!: ColdSnapshots;
  #state: SteadyState = "Clear";
  #temporary: string | undefined;
  stopState: StopState = "NotStopping";
  /** Why what came last could not be stored: the disk was full. */
  trouble: string | undefined;
  base: MetaState = steady({ begin: NO_LSID, end: NO_LSID }, 0);
  uuid: Uint8Array = new Uint8Array(16);
  archiveUuid: Uint8Array = new Uint8Array(16);
  /** A full replication that is under way, or was interrupted. */
  fullReplication: FullReplication | undefined;
  /** Where other archives were when a replication from here had ended, by their names; since the start. */
  readonly replicas = new Map<string, MetaState>();
  lastSyncTime = 0;
  lastDiffTime = 0;
  progressBlocks = 0;
  readonly #running = new Map<Action, number>();
  readonly #begunAt = new Map<Action, number>();

  constructor(world: VolumeWorld, directory: string, name: string) {
    this.world = world;
    this.directory = join(directory, name);
    this.name = name;
  }

  /** Reads what is there, and settles what a crash left. */
  async load(): Promise<void> {
    const { disk, random, images } = this.world;
    this.#files = await VolumeFiles.open(disk, this.directory);
    const state = await this.#files.read("state");
    if (state === undefined) return;
    const text = await decodeFile(state, (reader) => reader.text());
    if (!["SyncReady", "Archived", "Stopped"].includes(text)) throw this.#damaged("state", text);
    this.diffs = await DiffFiles.open(disk, random, this.directory, this.world.openParts?.(this.name));
    await this.reloadMetadata();
    await images.collect(this.name);
    await this.#openCold();
    this.#state = text as SteadyState;
    if (text === "SyncReady") return;
    await this.setFullReplication(undefined);
    await this.removeGarbage();
  }

  #damaged(file: string, content: string): NxError {
    return new NxError(
      "NX_DATA_CORRUPT",
      `${join(this.directory, file)} holds "${content}", which is no ${file}`,
      {
        hint: "bring it back from a backup of the directory",
      },
    );
  }

  async #openCold(): Promise<void> {
    this.cold = new ColdSnapshots(this.name, this.#files, this.world);
    const base = await this.cold.load(this.base);
    if (base !== undefined) await this.setBase(base);
  }

  async reloadMetadata(): Promise<void> {
    const base = await this.#files.read("base");
    if (base !== undefined) this.base = await decodeFile(base, readState);
    const replication = await this.#files.read("full_repl_state");
    this.fullReplication =
      replication === undefined ? undefined : await decodeFile(replication, readFullReplication);
    for (const [file, key] of [
      ["uuid", "uuid"],
      ["archive_uuid", "archiveUuid"],
    ] as const) {
      const bytes = await this.#files.read(file);
      if (bytes !== undefined && bytes.byteLength !== 16)
        throw this.#damaged(file, `${bytes.byteLength} bytes`);
      if (bytes !== undefined) this[key] = bytes;
    }
  }

  // --- states ----------------------------------------------------------------------------------------------------

  get state(): string {
    return this.#temporary ?? this.#state;
  }

  get isActive(): boolean {
    return activeStates.includes(this.state);
  }

  /** Refuses with the original's words unless the volume is in one of these states and not stopping. */
  demandState(name: string, states: readonly string[]): void {
    if (!states.includes(this.state)) throw new Refusal(`${name}:bad state:${this.state}`);
    if (this.stopState !== "NotStopping")
      throw new Refusal(`${name}:stopping:${this.name}:${this.stopState}`);
  }

  demandActive(name: string): void {
    this.demandState(name, activeStates);
  }

  demandNoAction(name: string, which: readonly Action[] = actions): void {
    const running = which.find((action) => this.actionCount(action) > 0);
    if (running !== undefined) throw new Refusal(`${name}:there are running actions:${this.name}:${running}`);
  }

  /** Runs `work` in a temporary state; the previous steady state comes back whatever happens. */
  async during<Result>(temporary: string, work: () => Promise<Result>): Promise<Result> {
    if (this.#temporary !== undefined) throw new Refusal(`bad state:${this.state}`);
    this.#temporary = temporary;
    try {
      const result = await work();
      this.trouble = undefined;
      return result;
    } catch (error) {
      if ((error as NxError).code === "NX_DISK_FULL") this.trouble = (error as Error).message;
      throw error;
    } finally {
      this.#temporary = undefined;
    }
  }

  async setState(state: Exclude<SteadyState, "Clear">): Promise<void> {
    await this.#files.write("state", new Writer().text(state).bytes);
    this.#state = state;
  }

  actionCount(action: Action): number {
    return this.#running.get(action) ?? 0;
  }

  actionTime(action: Action): number {
    return this.#begunAt.get(action) ?? 0;
  }

  get actionsRunning(): number {
    return actions.reduce((sum, action) => sum + this.actionCount(action), 0);
  }

  /** Reserves an action; the result ends it. */
  begin(name: string, action: Action): () => void {
    this.demandNoAction(name, excludedBy[action]);
    this.#running.set(action, this.actionCount(action) + 1);
    this.#begunAt.set(action, this.nowSeconds);
    return () => this.#running.set(action, this.actionCount(action) - 1);
  }

  get nowSeconds(): number {
    return Math.floor(this.world.clock.nowMs() / 1000);
  }

  /** Throws when a forced stop wants running work to end. */
  throwIfForced(): void {
    if (this.stopState === "ForceStopping")
      throw new NxError("NX_NOT_RUNNING", `${this.name}: stopped by force`);
  }

  /** Takes what `sink` takes, until a forced stop. */
  guarded(sink: ByteSink): ByteSink {
    return {
      append: (bytes) => {
        this.throwIfForced();
        return sink.append(bytes);
      },
    };
  }

  async stop(isForced: boolean): Promise<void> {
    this.demandActive("c2aStopServer");
    this.stopState = isForced ? "ForceStopping" : "Stopping";
    const { clock } = this.world;
    const deadlineMs = clock.monotonicMs() + STOP_TIMEOUT_MS;
    try {
      while (this.#temporary !== undefined || this.actionsRunning > 0) {
        if (clock.monotonicMs() > deadlineMs)
          throw new NxError("NX_NOT_READY", `${this.name} did not come to rest in time`);
        await sleep(clock, STOP_POLL_MS);
      }
      await this.setState("Stopped");
    } finally {
      this.stopState = "NotStopping";
    }
  }

  // --- metadata --------------------------------------------------------------------------------------------------

  get newest(): MetaState {
    return newest(this.base, this.diffs.all);
  }

  async setBase(base: MetaState): Promise<void> {
    await this.#files.write("base", writeState(new Writer(), base).bytes);
    this.base = base;
  }

  /** To be called before the base is written to. */
  beginBaseChange(image: OpenImage): Promise<BaseSumsChange> {
    return BaseSumsChange.begin(this.world.disk, this.directory, this.base, image);
  }

  async setUuid(uuid: Uint8Array): Promise<void> {
    await this.#files.write("uuid", uuid);
    this.uuid = uuid;
  }

  async setArchiveUuid(uuid: Uint8Array): Promise<void> {
    await this.#files.write("archive_uuid", uuid);
    this.archiveUuid = uuid;
  }

  async setFullReplication(replication: FullReplication | undefined): Promise<void> {
    if (replication === undefined) await this.#files.remove("full_repl_state");
    else await this.#files.write("full_repl_state", writeFullReplication(new Writer(), replication).bytes);
    this.fullReplication = replication;
  }

  /** Makes the volume: an empty directory with its metadata. */
  async init(): Promise<void> {
    const { disk, random } = this.world;
    await makeDurableDirectory(disk, this.directory);
    this.#files = await VolumeFiles.open(disk, this.directory);
    this.diffs = await DiffFiles.open(disk, random, this.directory, this.world.openParts?.(this.name));
    await this.#openCold();
    this.replicas.clear();
    await this.setFullReplication(undefined);
    await this.setUuid(new Uint8Array(16));
    await this.setArchiveUuid(new Uint8Array(16));
    await this.setBase(steady({ begin: NO_LSID, end: NO_LSID }, 0));
    await this.setState("SyncReady");
  }

  /** Removes images, diffs and metadata; the name is free again. The state goes first: half a volume is none. */
  async clear(): Promise<void> {
    const { disk, images } = this.world;
    await disk.remove(join(this.directory, "state"));
    await disk.syncDirectory(this.directory);
    this.#state = "Clear";
    await images.removeAll(this.name);
    for (const { name, kind } of await disk.list(this.directory))
      if (kind === "file") await disk.remove(join(this.directory, name));
    await disk.removeDirectory(this.directory);
    await disk.syncDirectory(dirname(this.directory));
  }

  /**
   * Forgets every point in time, but not the base image: another one is written over it. A crash from here on leaves a
   * volume that waits for a copy.
   */
  async forgetHistory(): Promise<void> {
    await this.setState("SyncReady");
    await this.setFullReplication(undefined);
    await this.setBase(steady({ begin: NO_LSID, end: NO_LSID }, 0));
    await this.removePoints();
  }

  /** Removes every diff and every cold snapshot: those of another history would lead on from a base that is copied now. */
  async removePoints(): Promise<void> {
    await this.diffs.remove(this.diffs.all);
    for (const gid of this.cold.all) await this.cold.remove(gid);
  }

  /** Removes diffs that are not on the chain from the base. */
  async removeGarbage(): Promise<void> {
    const chain = new Set(chainFrom(this.base.from, this.diffs.all));
    await this.diffs.remove(this.diffs.all.filter((diff) => !chain.has(diff)));
  }

  /** Removes what a diff that came by replication has made superfluous. */
  async removeContained(diff: MetaDiff): Promise<void> {
    await this.diffs.remove(this.diffs.all.filter((each) => isInside(each, diff)));
  }

  async sizeBlocks(): Promise<number> {
    const bytes = await this.world.images.baseBytes(this.name);
    return bytes === undefined ? 0 : Math.floor(bytes / 512);
  }
}
