/**
 * The state log of a worker: its checkpoints on disk, each as what changed since the one before.
 *
 * A checkpoint is *prepared* when its changes are durable here (and on enough replicas), and *committed* when the leader
 * found it prepared everywhere. Until then the worker can go back to the one before.
 *
 * Invariant: `prepare` resolves only when nothing of that checkpoint can be lost any more. A crash leaves the newest
 * committed checkpoint, and perhaps the prepared one behind it; which of them counts is the leader's word.
 * The log is rewritten as a snapshot when it has outgrown the last one; checkpoints go on meanwhile.
 */
import { LogFile, type LogState } from "../../core/append-log/log-file.ts";
import type { FrameSource } from "../../core/append-log/scan.ts";
import { NxError } from "../../core/errors.ts";
import type { Log } from "../../core/logging/log.ts";
import type { World } from "../../core/role.ts";
import { crc32c } from "../../native/crc32c.ts";
import type { StateStore } from "../state/store.ts";
import { ByteReader, ByteWriter } from "../wire/bytes.ts";
import { type Checkpoint, type CheckpointMeta, checkpointZero, Contents } from "./contents.ts";
import { STATE_LOG_FORMAT, type StateRecord, writeStateRecord } from "./records.ts";

/** A second place for the log's bytes. */
export interface Mirror {
  append(bytes: Uint8Array): void;
  /** Resolves when everything appended so far is safe there. */
  flush(): Promise<void>;
  /** The log begins anew with these bytes. */
  restart(chunks: Iterable<Uint8Array>): void;
  /** What keeps it from being whole, each a sentence. */
  readonly troubles?: readonly string[];
}

export interface StateLogOptions {
  world: World;
  log: Log;
  directory: string;
  stores: readonly StateStore[];
  compaction: { logBytesMin: number; growthPercent: number };
  mirror: Mirror | undefined;
  onFatal(error: Error): void;
  progress(text: string): void;
}

/** Records are handed to the log in pieces of about this size. */
const APPEND_BYTES = 1 << 20;

export class StateLog {
  readonly #options: StateLogOptions;
  readonly #contents: Contents;
  readonly #writer = new ByteWriter(4096);
  #file!: LogFile;
  #prepared: Checkpoint | undefined;
  #committed: Checkpoint;
  #compacting: Promise<void> | undefined;
  #lastBytes = 0;
  #trouble: string | undefined;

  private constructor(options: StateLogOptions) {
    this.#options = options;
    this.#contents = new Contents(options.stores);
    this.#committed = this.#contents.committed;
  }

  /** Brings the stores to what is on disk. Throws NX_DATA_CORRUPT, NX_DATA_VERSION, NX_DISK_FAILED. */
  static async open(options: StateLogOptions): Promise<StateLog> {
    const stateLog = new StateLog(options);
    await stateLog.#open();
    return stateLog;
  }

  async #open(): Promise<void> {
    const { world, directory, progress, onFatal, log } = this.#options;
    const replay = (payload: Uint8Array, source: FrameSource) => {
      this.#read(payload, source);
      progress(`replaying ${source.path}: ${this.#contents.entries} states so far`);
    };
    this.#file = await LogFile.open(
      {
        ...world,
        crc32c,
        directory,
        payloadFormat: STATE_LOG_FORMAT,
        listener: {
          onDurable: () => {},
          onState: (state, error) => this.#onState(state, error, onFatal),
        },
      },
      { onSnapshot: replay, onFrame: replay },
    );
    this.#contents.end();
    this.#prepared = this.#contents.prepared;
    this.#committed = this.#contents.committed;
    this.#write({ type: "steps", names: this.#options.stores.map(({ name }) => name) });
    this.refreshMirror();
    const { tornBytes } = this.#file.stats;
    if (tornBytes > 0) log.warn("cut an unfinished group of the state log", { directory, tornBytes });
  }

  #read(payload: Uint8Array, { path, offset }: FrameSource): void {
    try {
      this.#contents.read(new ByteReader(payload));
    } catch (error) {
      throw new NxError(
        "NX_DATA_CORRUPT",
        `${path}: the frame at byte ${offset} passes its checksum but holds no valid state records: ${(error as Error).message}`,
        { hint: "restore the directory from a replica; keep a copy and report it", cause: error },
      );
    }
  }

  /** Hands the mirror everything anew: at the start, and when it has fallen behind. */
  refreshMirror(): void {
    this.#options.mirror?.restart(this.#snapshot()());
  }

  #onState(state: LogState, error: NxError | undefined, onFatal: (error: Error) => void): void {
    const { log } = this.#options;
    this.#trouble = state === "full" ? error?.message : undefined;
    if (state === "full") log.error(`checkpoints wait: ${error?.message}`, { code: error?.code });
    else if (state === "open") {
      log.info("checkpoints go on");
      this.#hand();
    } else if (state === "failed") onFatal(error ?? new NxError("NX_DISK_FAILED", "the state log failed"));
  }

  get committed(): Checkpoint {
    return this.#committed;
  }

  get prepared(): Checkpoint | undefined {
    return this.#prepared;
  }

  /** What was last written with `rememberCluster`. */
  get cluster(): string {
    return this.#contents.cluster;
  }

  /** States of keys that were read when the log was opened. */
  get replayedEntries(): number {
    return this.#contents.entries;
  }

  get unknownSteps(): ReadonlySet<string> {
    return this.#contents.unknownSteps;
  }

  /** Whether the output of the committed checkpoint has to go out (again): nothing says that it did. */
  get isOutputDue(): boolean {
    return this.#committed.id > this.#contents.releasedId;
  }

  get figures() {
    const { logBytes, snapshotBytes, state } = this.#file.stats;
    return { state, logBytes, snapshotBytes, lastCheckpointBytes: this.#lastBytes };
  }

  /** Why checkpoints wait for the disk, while they do. */
  get trouble(): string | undefined {
    return this.#trouble;
  }

  get mirrorTroubles(): readonly string[] {
    return this.#options.mirror?.troubles ?? [];
  }

  /** While the disk is full a checkpoint cannot be begun. */
  get isOpen(): boolean {
    return this.#file.state === "open";
  }

  // --- checkpoints -------------------------------------------------------------------------------------------------

  /**
   * Writes what changed since the last checkpoint, all of it before this returns its promise: the stores may go on at
   * once. Resolves when it is durable here and on the mirror.
   */
  prepare(id: number, meta: CheckpointMeta, outputs: Checkpoint["outputs"]): Promise<void> {
    const startPosition = this.#file.position;
    this.#options.stores.forEach((store, step) => {
      store.prepare({
        put: (key, image) => this.#add({ type: "put", step, key, image }),
        remove: (key) => this.#add({ type: "remove", step, key }),
      });
    });
    for (const [sink, chunks] of outputs) {
      for (const bytes of chunks) this.#add({ type: "output", sink, bytes });
    }
    this.#write({ type: "prepared", checkpoint: id, meta: JSON.stringify(meta) });
    this.#prepared = { id, meta, layout: this.#committed.layout, outputs };
    this.#lastBytes = this.#file.position - startPosition;
    return this.flush();
  }

  /** The leader found it prepared everywhere. Not durable before `flush`, and need not be: the leader's word is. */
  commit(id: number, layout: string): void {
    if (this.#prepared?.id !== id) return;
    this.#write({ type: "committed", checkpoint: id, layout });
    this.#committed = { ...this.#prepared, layout };
    this.#prepared = undefined;
    for (const store of this.#options.stores) store.commit();
    this.#compactWhenDue();
  }

  /** The output of the committed checkpoint went out. */
  release(): void {
    this.#contents.releasedId = this.#committed.id;
    this.#write({ type: "released", checkpoint: this.#committed.id });
  }

  /**
   * Brings the stores back to checkpoint `id`, which is the committed one or the prepared one behind it. Throws
   * NX_STREAM_REFUSED for any other: this worker's past is not the cluster's.
   */
  rollBack(id: number): void {
    const isPrepared = this.#prepared?.id === id;
    if (!isPrepared && this.#committed.id !== id) {
      throw new NxError(
        "NX_STREAM_REFUSED",
        `the cluster goes back to checkpoint ${id}, this worker has ${this.#committed.id}${this.#prepared === undefined ? "" : ` and ${this.#prepared.id}`}`,
        { hint: "its directory is older than the cluster: restore it from a replica" },
      );
    }
    const isAborting = this.#prepared !== undefined && !isPrepared;
    for (const store of this.#options.stores) store.rollBack(isAborting);
    if (isPrepared) this.commit(id, this.#committed.layout);
    this.#prepared = undefined;
    this.#write({ type: "rollback", checkpoint: id });
  }

  /** Begins anew, as a worker that never was in a cluster. */
  forget(): void {
    for (const store of this.#options.stores) store.clear();
    this.#prepared = undefined;
    this.#committed = checkpointZero();
    this.#contents.releasedId = 0;
    this.#write({ type: "forgotten" });
  }

  /** What the worker knows of its cluster; durable when this resolves. */
  async rememberCluster(json: string): Promise<void> {
    this.#contents.cluster = json;
    this.#write({ type: "cluster", json });
    await this.flush();
  }

  /** Resolves when everything written so far is durable, here and on the mirror. */
  async flush(): Promise<void> {
    await Promise.all([this.#file.flush(), this.#options.mirror?.flush()]);
  }

  async close(): Promise<void> {
    await this.#compacting;
    await this.#file.close();
  }

  // --- bytes -------------------------------------------------------------------------------------------------------

  #add(record: StateRecord): void {
    writeStateRecord(this.#writer, record);
    if (this.#writer.length >= APPEND_BYTES) this.#hand();
  }

  #write(record: StateRecord): void {
    this.#add(record);
    this.#hand();
  }

  /** While the disk is full the bytes wait here. */
  #hand(): void {
    if (this.#file.state === "full" || this.#writer.length === 0) return;
    const bytes = this.#writer.done();
    this.#file.append(bytes);
    this.#options.mirror?.append(bytes);
    this.#writer.clear();
  }

  #compactWhenDue(): void {
    const { logBytesMin, growthPercent } = this.#options.compaction;
    if (!this.#file.isCompactionDue(logBytesMin, 1 + growthPercent / 100)) return;
    this.compact().catch((error: unknown) => {
      this.#options.log.error(
        `the state log was not compacted, it stays as it was: ${(error as Error).message}`,
      );
    });
  }

  /** Rewrites the log as a snapshot now, unless that is under way. */
  compact(): Promise<void> {
    this.#compacting ??= this.#file
      .compact(() => {
        const pieces = this.#snapshot();
        this.#options.mirror?.restart(this.#snapshot()());
        return pieces();
      })
      .finally(() => {
        this.#compacting = undefined;
      });
    return this.#compacting;
  }

  /** The records that stand for everything so far. Images do not change, so they may be written later. */
  #snapshot(): () => Iterable<Uint8Array> {
    const { stores } = this.#options;
    const committed = this.#committed;
    const prepared = this.#prepared;
    const before = stores.map((store) => store.images(true));
    const after = prepared === undefined ? [] : stores.map((store) => store.images());
    const { cluster } = this.#contents;
    const { releasedId } = this.#contents;
    const names = stores.map(({ name }) => name);
    return function* pieces() {
      const writer = new ByteWriter(APPEND_BYTES);
      const full = function* (limit: number) {
        if (writer.length < limit) return;
        yield writer.done().slice();
        writer.clear();
      };
      writeStateRecord(writer, { type: "steps", names });
      if (cluster !== "") writeStateRecord(writer, { type: "cluster", json: cluster });
      for (const [step, images] of before.entries()) {
        for (const [key, image] of images) {
          writeStateRecord(writer, { type: "put", step, key, image });
          yield* full(APPEND_BYTES);
        }
      }
      writeCheckpoint(writer, committed);
      writeStateRecord(writer, { type: "committed", checkpoint: committed.id, layout: committed.layout });
      writeStateRecord(writer, { type: "released", checkpoint: releasedId });
      yield* full(1);
      if (prepared === undefined) return;
      for (const [step, images] of after.entries()) {
        const old = before[step] as Map<string, Uint8Array>;
        for (const [key, image] of images) {
          if (old.get(key) !== image) writeStateRecord(writer, { type: "put", step, key, image });
          yield* full(APPEND_BYTES);
        }
        for (const key of old.keys()) {
          if (!images.has(key)) writeStateRecord(writer, { type: "remove", step, key });
        }
      }
      writeCheckpoint(writer, prepared);
      yield* full(1);
    };
  }
}

function writeCheckpoint(writer: ByteWriter, { id, meta, outputs }: Checkpoint): void {
  for (const [sink, chunks] of outputs) {
    for (const bytes of chunks) writeStateRecord(writer, { type: "output", sink, bytes });
  }
  writeStateRecord(writer, { type: "prepared", checkpoint: id, meta: JSON.stringify(meta) });
}
