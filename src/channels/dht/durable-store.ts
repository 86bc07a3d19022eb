/**
 * The record store with its log: what changed in memory is on disk before anyone is told.
 *
 * Invariant: after `commit`, `position` covers every effect so far, and `durablePosition` reaches it only when the log has
 * synced it. A snapshot replaces the log while service goes on; effects are idempotent, so a snapshot that was
 * taken while records changed is repaired by replaying the log from its beginning.
 *
 * After a crash `open` rebuilds every acknowledged record. In memory mode there is no log, every position is 0 and
 * nothing survives. In dump mode every position is 0 too: what survives is the last dump of each channel (dump.ts).
 */
import { join } from "node:path";
import type { Clock, Timer } from "../../core/seams/clock.ts";
import { NxError } from "../../core/errors.ts";
import type { Log } from "../../core/logging/log.ts";
import { LogFile, type LogState } from "../../core/append-log/log-file.ts";
import type { FrameSource } from "../../core/append-log/scan.ts";
import type { World } from "../../core/role.ts";
import type { NativeBuffer } from "../../native/buffer.ts";
import { crc32c } from "../../native/crc32c.ts";
import { Store } from "../../native/store.ts";
import { decodeEffects } from "../effects.ts";
import type { Durability } from "../reply-gate.ts";
import { DumpKeeper } from "./dump.ts";
import { type DumpSettings, importDumps, openFromDumps, openFromLog } from "./dump-start.ts";
import { EFFECTS_FORMAT, SNAPSHOT_SLICE_BYTES } from "./log-format.ts";

export interface DurableStoreOptions {
  world: World;
  log: Log;
  dataDir: string;
  mode: "log" | "dump" | "memory";
  dump: DumpSettings;
  memoryBytesMax: number;
  compaction: { logBytesMin: number; growthPercent: number };
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

/** Answers writes while the disk is full; the code is that of Redis for a server that cannot persist. */
export const REFUSAL =
  "MISCONF The disk is full: writes are refused until there is space. Free some; reads go on.";

const TICK_MS = 50;
/** Records of background work per tick: well under a millisecond. */
const TICK_STEPS = 1000;
const COMPACTION_CHECK_MS = 1000;
/** Pause after a compaction that failed, doubled by each further one: every try writes a whole snapshot. */
const COMPACTION_RETRY_MS_MIN = 10_000;
const COMPACTION_RETRY_MS_MAX = 600_000;

export class DurableStore implements Durability {
  readonly store: Store;
  readonly #effects: NativeBuffer;
  readonly #options: DurableStoreOptions;
  #log: LogFile | undefined;
  #dumps: DumpKeeper | undefined;
  #timers: Timer[] = [];
  #compacting: Promise<void> | undefined;
  #compactions = 0;
  #compactionRetryMs = COMPACTION_RETRY_MS_MIN;
  /** Not before this moment of the monotonic clock. */
  #nextCompactionMs = 0;
  #loadedEffects = 0;
  #isStalled = false;

  private constructor(options: DurableStoreOptions) {
    this.#options = options;
    this.store = new Store({
      memoryBytesMax: 0,
      seed: options.world.random.bytes(16),
    });
    this.#effects = this.store.effects;
  }

  /** Loads the log and starts the background work. Throws NX_DATA_CORRUPT, NX_DATA_VERSION, NX_DISK_FAILED. */
  static async open(options: DurableStoreOptions): Promise<DurableStore> {
    const durable = new DurableStore(options);
    if (options.mode === "log") await durable.#openLog();
    if (options.mode === "dump") await durable.#openDumps();
    // Only now: records that were acknowledged under a larger limit must still load.
    durable.store.setMemoryLimit(options.memoryBytesMax);
    durable.#startTimers(options.world.clock);
    return durable;
  }

  async #openLog(): Promise<void> {
    const { world, dataDir, log, progress } = this.#options;
    const directory = join(dataDir, "store");
    const startMs = world.clock.monotonicMs();
    let bytes = 0;
    const replay = (payload: Uint8Array, source: FrameSource) => {
      this.#loadedEffects += this.#replay(payload, source);
      bytes += payload.byteLength;
      progress(`loading ${source.path}: ${Math.round(bytes / 2 ** 20)} MiB so far`);
    };
    this.#log = await LogFile.open(
      {
        ...world,
        crc32c,
        directory,
        payloadFormat: EFFECTS_FORMAT,
        listener: {
          onDurable: this.#options.onDurable,
          onDrain: this.#options.onDrain,
          onGroup: this.#options.onGroup,
          onState: (state, error) => this.#onLogState(state, error),
        },
      },
      { onSnapshot: replay, onFrame: replay },
    );
    const { tornBytes } = this.#log.stats;
    if (tornBytes > 0)
      log.warn("cut an unfinished group that was never acknowledged", {
        directory,
        tornBytes,
      });
    const seconds = (world.clock.monotonicMs() - startMs) / 1000;
    log.info("loaded", {
      records: this.store.stats().records,
      effects: this.#loadedEffects,
      bytes,
      seconds: seconds.toFixed(3),
    });
    const isNew = this.#loadedEffects === 0 && this.#log.stats.snapshotBytes === 0;
    await importDumps({ ...this.#options, store: this.store }, isNew ? this.#log : undefined);
    this.store.setLogging(true);
  }

  /** Loads the dumps, or once the log of a node that kept one, and plans the next dump. */
  async #openDumps(): Promise<void> {
    const { world, dump, dataDir, log } = this.#options;
    const { store } = this;
    const { periodSeconds, batchBytesMax, disabled, shutdownTimeoutMs } = dump;
    const settings = {
      periodSeconds,
      valueBytesMax: batchBytesMax,
      isOnDemand: disabled,
      shutdownTimeoutMs,
    };
    this.#dumps = new DumpKeeper({
      world,
      log,
      directory: dataDir,
      store,
      ...settings,
    });
    const start = { ...this.#options, store };
    const replay = (payload: Uint8Array, source: FrameSource) => this.#replay(payload, source);
    if (!(await openFromLog(start, this.#dumps, replay))) await openFromDumps(start);
    store.logRemovals(true);
    this.#dumps.start();
  }

  #replay(payload: Uint8Array, { path, offset }: FrameSource): number {
    try {
      return this.store.replay(payload);
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

  #onLogState(state: LogState, error: NxError | undefined): void {
    const { log, onRefusal, onFatal } = this.#options;
    this.#isStalled = state === "full";
    if (state === "full") {
      log.error(`writes are refused: ${error?.message}`, { code: error?.code });
      onRefusal(REFUSAL);
      // Clients that wait for room in the log may read meanwhile; their writes are refused.
      this.#options.onDrain();
    } else if (state === "open") {
      log.info("writes are accepted again");
      onRefusal(undefined);
    } else if (state === "failed") {
      onFatal(error ?? new NxError("NX_DISK_FAILED", "the log failed"));
    }
  }

  get position(): number {
    return this.#log?.position ?? 0;
  }

  get durablePosition(): number {
    return this.#log?.durablePosition ?? 0;
  }

  get isStalled(): boolean {
    return this.#isStalled;
  }

  /** Clients must wait before they send more. Never while writes are refused anyway. */
  get isCongested(): boolean {
    return !this.#isStalled && this.#log?.isCongested === true;
  }

  /** Why writes are refused right now; undefined when all is well. */
  get refusal(): string | undefined {
    return this.#isStalled ? "the disk is full: writes are refused" : undefined;
  }

  /** Why what was acknowledged is not kept as it should be; undefined when all is well. */
  get trouble(): string | undefined {
    const failure = this.#dumps?.figures.failure;
    return this.refusal ?? (failure === undefined ? undefined : `the last dump failed: ${failure}`);
  }

  /** Channels by name, with their sizes. */
  channels() {
    return this.store.channelNames().map((name) => {
      const channel = this.store.channel(name);
      return {
        name,
        records: channel?.records ?? 0,
        bytes: (channel?.keyBytes ?? 0) + (channel?.valueBytes ?? 0),
      };
    });
  }

  get figures() {
    return {
      log: this.#log?.stats,
      dump: this.#dumps?.figures,
      compactions: this.#compactions,
      loadedEffects: this.#loadedEffects,
    };
  }

  /** Moves the effects of what was just executed into the log's gathering group. */
  commit(): void {
    if (this.#dumps !== undefined) return this.#commitRemovals(this.#dumps);
    // While the log is not open only expiry still has effects; they wait in the store.
    if (this.#log === undefined || this.#log.state !== "open") return;
    if (this.#effects.length === 0) return;
    this.#log.append(this.#effects.view());
    this.#effects.clear();
  }

  /** Without a log the only effects are removed channels, whose dumps go. */
  #commitRemovals(dumps: DumpKeeper): void {
    if (this.#effects.length === 0) return;
    for (const effect of decodeEffects(this.#effects.take())) dumps.onRemoved(effect.channel);
  }

  /** Dumps every channel now, or waits for the dump under way. False when one failed. Dump mode only. */
  async dump(): Promise<boolean> {
    return (await this.#dumps?.dump()) ?? false;
  }

  setMemoryLimit(bytesMax: number): void {
    this.store.setMemoryLimit(bytesMax);
  }

  /** Begins a compaction that somebody asked for; returns why it cannot begin, as a protocol's error text. */
  requestCompaction(): string | undefined {
    if (this.#log === undefined) return 'ERR there is no log to rewrite: durability is "memory"';
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
    const log = this.#log;
    if (log === undefined) return;
    const { clock } = this.#options.world;
    const startMs = clock.monotonicMs();
    try {
      await log.compact(() => this.store.exportSlices(SNAPSHOT_SLICE_BYTES));
      this.#compactions++;
      this.#compactionRetryMs = COMPACTION_RETRY_MS_MIN;
      const seconds = ((clock.monotonicMs() - startMs) / 1000).toFixed(3);
      this.#options.log.info("compacted the log into a snapshot", {
        bytes: log.stats.snapshotBytes,
        seconds,
      });
    } catch (error) {
      const retryMs = this.#compactionRetryMs;
      this.#nextCompactionMs = clock.monotonicMs() + retryMs;
      this.#compactionRetryMs = Math.min(2 * retryMs, COMPACTION_RETRY_MS_MAX);
      const { code, message } = error as NxError;
      this.#options.log.error(`compaction failed, the log stays as it was: ${message}`, { code, retryMs });
    }
  }

  #startTimers(clock: Clock): void {
    this.#timers.push(
      clock.every(TICK_MS, () => {
        this.store.tick(clock.nowMs(), TICK_STEPS);
        this.commit();
      }),
    );
    const { logBytesMin, growthPercent } = this.#options.compaction;
    this.#timers.push(
      clock.every(COMPACTION_CHECK_MS, () => {
        const isDue = this.#log?.isCompactionDue(logBytesMin, 1 + growthPercent / 100) === true;
        if (isDue && clock.monotonicMs() >= this.#nextCompactionMs) void this.compact();
      }),
    );
  }

  /**
   * Makes everything durable and lets go of the memory. The log may still speak (a full disk that has space again) until
   * `beforeFree` is called: what works on the store is to be freed there, not before.
   */
  async close(beforeFree?: () => void): Promise<void> {
    for (const timer of this.#timers) timer.cancel();
    this.commit();
    await this.#compacting;
    try {
      await this.#log?.close();
      await this.#dumps?.close();
    } catch (error) {
      // Without the last dump something is lost; the process must not end as if all were well.
      if (this.#dumps !== undefined) this.#options.onFatal(error as Error);
      throw error;
    } finally {
      beforeFree?.();
      this.store.close();
    }
  }
}
