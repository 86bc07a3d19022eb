/**
 * State in memory with its append log: what changed is on disk before anyone is told. The dht's record store and the
 * queues both stand on it.
 *
 * Invariant: after `commit`, `position` covers every effect so far, and `durablePosition` reaches it only when the log has
 * synced it. A snapshot replaces the log while service goes on; replaying the effects logged since over a snapshot that
 * was taken meanwhile yields the state again (how is the state's affair: LoggedState).
 *
 * After a crash `open` rebuilds everything that was acknowledged.
 */
import type { GroupLog } from "../core/append-log/group-log.ts";
import { LogFile, type LogListener, type LogState } from "../core/append-log/log-file.ts";
import type { Replay } from "../core/append-log/recover.ts";
import type { FrameSource } from "../core/append-log/scan.ts";
import { NxError } from "../core/errors.ts";
import type { Log } from "../core/logging/log.ts";
import type { World } from "../core/role.ts";
import type { Timer } from "../core/seams/clock.ts";
import type { NativeBuffer } from "../native/buffer.ts";
import { crc32c } from "../native/crc32c.ts";
import type { Durability } from "./reply-gate.ts";

/** What is kept: changes come out as effects, and effects bring it back. */
export interface LoggedState {
  /** What was changed since it was last cleared. */
  readonly effects: NativeBuffer;
  /** Applies effects without recording them; returns how many. Throws for malformed ones. */
  replay(effects: Uint8Array): number;
  /** A snapshot in slices. Changes may come between them; together with the effects of those it is whole. */
  exportSlices(sliceBytes?: number): Iterable<Uint8Array>;
}

/** Opens the log that effects are kept in, and replays it. */
export type OpenLog = (listener: LogListener, payloadFormat: number, replay: Replay) => Promise<GroupLog>;

/** Who stands on a log: what it lends, and what it wants to hear. */
export interface LogOwner {
  world: World;
  log: Log;
  onDurable(): void;
  /** Appends are welcome again after `isCongested`. */
  onDrain(): void;
  /** Why writes are refused, as an error text of the protocol; undefined when they are welcome. `isStalled` agrees. */
  onRefusal(text: string | undefined): void;
  onFatal(error: Error): void;
  /** One group was synced. */
  onGroup(payloadBytes: number, durationMs: number): void;
  progress(text: string): void;
}

export interface DurableLogOptions extends LogOwner {
  directory: string;
  /** A log that is kept elsewhere than in files of `directory`. */
  openLog?: OpenLog | undefined;
  /** Names the effects' format in the files. */
  payloadFormat: number;
  state: LoggedState;
  snapshotSliceBytes: number;
  compaction: { logBytesMin: number; growthPercent: number };
  /** Told of all effects, in order; valid during the call. `position` is behind them. */
  onAppend?(effects: Uint8Array, position: number): void;
}

/** Answers writes while the disk is full; the code is that of Redis for a server that cannot persist. */
export const REFUSAL =
  "MISCONF The disk is full: writes are refused until there is space. Free some; reads go on.";

/** Answers writes while a log that is kept elsewhere does not acknowledge; the code is Redis' for too few replicas. */
const REFUSAL_ELSEWHERE =
  "NOREPLICAS JetStream does not acknowledge: writes are refused until it does; reads go on.";

const COMPACTION_CHECK_MS = 1000;
/** Pause after a compaction that failed, doubled by each further one: every try writes a whole snapshot. */
const COMPACTION_RETRY_MS_MIN = 10_000;
const COMPACTION_RETRY_MS_MAX = 600_000;

export class DurableLog implements Durability {
  readonly #options: DurableLogOptions;
  #log!: GroupLog;
  #timer: Timer | undefined;
  #compacting: Promise<void> | undefined;
  #compactions = 0;
  #compactionRetryMs = COMPACTION_RETRY_MS_MIN;
  /** Not before this moment of the monotonic clock. */
  #nextCompactionMs = 0;
  #loadedEffects = 0;
  #isStalled = false;
  /** Why, while it is. */
  #refusal: string | undefined;

  private constructor(options: DurableLogOptions) {
    this.#options = options;
  }

  /** Loads the log. Throws NX_DATA_CORRUPT, NX_DATA_VERSION, NX_DISK_FAILED. */
  static async open(options: DurableLogOptions): Promise<DurableLog> {
    const durable = new DurableLog(options);
    await durable.#open();
    return durable;
  }

  async #open(): Promise<void> {
    const { world, directory, log, payloadFormat, progress } = this.#options;
    const startMs = world.clock.monotonicMs();
    let bytes = 0;
    const replay = (payload: Uint8Array, source: FrameSource) => {
      this.#loadedEffects += replayFrame(this.#options.state, payload, source);
      bytes += payload.byteLength;
      progress(`loading ${source.path}: ${Math.round(bytes / 2 ** 20)} MiB so far`);
    };
    const listener: LogListener = {
      onDurable: this.#options.onDurable,
      onDrain: this.#options.onDrain,
      onGroup: this.#options.onGroup,
      onState: (state, error) => this.#onLogState(state, error),
    };
    const openFiles: OpenLog = (listener, payloadFormat, replay) =>
      LogFile.open({ ...world, crc32c, directory, payloadFormat, listener, servesClients: true }, replay);
    const { openLog = openFiles } = this.#options;
    this.#log = await openLog(listener, payloadFormat, { onSnapshot: replay, onFrame: replay });
    const { tornBytes } = this.#log.stats;
    if (tornBytes > 0)
      log.warn("cut an unfinished group that was never acknowledged", {
        directory,
        tornBytes,
      });
    const seconds = ((world.clock.monotonicMs() - startMs) / 1000).toFixed(3);
    log.info("loaded", { effects: this.#loadedEffects, bytes, seconds });
    this.#timer = world.clock.every(COMPACTION_CHECK_MS, () => this.#compactWhenDue());
  }

  #onLogState(state: LogState, error: NxError | undefined): void {
    const { log, onRefusal, onFatal } = this.#options;
    this.#isStalled = state === "full";
    if (state === "full") {
      log.error(`writes are refused: ${error?.message}`, { code: error?.code });
      const isElsewhere = error?.code === "NX_JETSTREAM_UNAVAILABLE";
      this.#refusal = isElsewhere
        ? `writes are refused: ${error.message}`
        : "the disk is full: writes are refused";
      onRefusal(isElsewhere ? REFUSAL_ELSEWHERE : REFUSAL);
      // Clients that wait for room in the log may read meanwhile; their writes are refused.
      this.#options.onDrain();
    } else if (state === "open") {
      log.info("writes are accepted again");
      onRefusal(undefined);
    } else if (state === "failed") {
      onFatal(error ?? new NxError("NX_DISK_FAILED", "the log failed"));
    }
  }

  /** The log itself, for who brings other files into it at the first start. */
  get file(): GroupLog {
    return this.#log;
  }

  get isNew(): boolean {
    return this.#loadedEffects === 0 && this.#log.stats.snapshotBytes === 0;
  }

  get position(): number {
    return this.#log.position;
  }

  get durablePosition(): number {
    return this.#log.durablePosition;
  }

  get isStalled(): boolean {
    return this.#isStalled;
  }

  /** Clients must wait before they send more. Never while writes are refused anyway. */
  get isCongested(): boolean {
    return !this.#isStalled && this.#log.isCongested;
  }

  /** Why writes are refused right now; undefined when all is well. */
  get refusal(): string | undefined {
    return this.#isStalled ? this.#refusal : undefined;
  }

  get figures() {
    return { log: this.#log.stats, compactions: this.#compactions, loadedEffects: this.#loadedEffects };
  }

  /** Adds effects to the log's gathering group. */
  append(effects: Uint8Array): void {
    this.#log.append(effects);
    this.#options.onAppend?.(effects, this.#log.position);
  }

  /** Moves the effects of what was just executed into the log's gathering group. */
  commit(): void {
    const { effects } = this.#options.state;
    // While the log is not open only what happens by itself still has effects; they wait in memory.
    if (effects.length === 0 || this.#log.state !== "open") return;
    this.append(effects.view());
    effects.clear();
  }

  /** Begins a compaction that somebody asked for; returns why it cannot begin, as a protocol's error text. */
  requestCompaction(): string | undefined {
    if (this.#compacting !== undefined)
      return "ERR Background append only file rewriting already in progress";
    void this.compact();
    return undefined;
  }

  /** Rewrites the log as a snapshot now, unless that is under way. */
  compact(): Promise<void> {
    this.#compacting ??= this.#compact().finally(() => {
      this.#compacting = undefined;
    });
    return this.#compacting;
  }

  async #compact(): Promise<void> {
    const { state, snapshotSliceBytes, world, log } = this.#options;
    const startMs = world.clock.monotonicMs();
    try {
      await this.#log.compact(() => state.exportSlices(snapshotSliceBytes));
      this.#compactions++;
      this.#compactionRetryMs = COMPACTION_RETRY_MS_MIN;
      const seconds = ((world.clock.monotonicMs() - startMs) / 1000).toFixed(3);
      log.info("compacted the log into a snapshot", { bytes: this.#log.stats.snapshotBytes, seconds });
    } catch (error) {
      const retryMs = this.#compactionRetryMs;
      this.#nextCompactionMs = world.clock.monotonicMs() + retryMs;
      this.#compactionRetryMs = Math.min(2 * retryMs, COMPACTION_RETRY_MS_MAX);
      const { code, message } = error as NxError;
      log.error(`compaction failed, the log stays as it was: ${message}`, { code, retryMs });
    }
  }

  #compactWhenDue(): void {
    const { compaction, world } = this.#options;
    const isDue = this.#log.isCompactionDue(compaction.logBytesMin, 1 + compaction.growthPercent / 100);
    if (isDue && world.clock.monotonicMs() >= this.#nextCompactionMs) void this.compact();
  }

  /** Makes everything durable. The log may still speak until this resolves. */
  async close(): Promise<void> {
    this.#timer?.cancel();
    this.commit();
    await this.#compacting;
    await this.#log.close();
  }
}

/** Applies the effects of one frame of a log or snapshot. */
export function replayFrame(state: LoggedState, payload: Uint8Array, { path, offset }: FrameSource): number {
  try {
    return state.replay(payload);
  } catch (error) {
    throw new NxError(
      "NX_DATA_CORRUPT",
      `${path}: the frame at byte ${offset} passes its checksum but holds no valid effects: ${(error as Error).message}`,
      {
        hint: "the file was written by a defective program; keep a copy and report it",
        cause: error,
      },
    );
  }
}
