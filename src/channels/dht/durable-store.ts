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
import type { FrameSource } from "../../core/append-log/scan.ts";
import type { NativeBuffer } from "../../native/buffer.ts";
import { Store } from "../../native/store.ts";
import { DurableLog, type LogOwner, replayFrame } from "../durable-log.ts";
import { decodeEffects } from "../effects.ts";
import { LogBacked } from "../log-backed.ts";
import { DumpKeeper } from "./dump.ts";
import { type DumpSettings, importDumps, openFromDumps, openFromLog } from "./dump-start.ts";
import { EFFECTS_FORMAT, SNAPSHOT_SLICE_BYTES } from "./log-format.ts";

export interface DurableStoreOptions extends LogOwner {
  dataDir: string;
  mode: "log" | "dump" | "memory";
  /** Keys the hash function; random when missing. */
  hashSeed?: Uint8Array;
  dump: DumpSettings;
  memoryBytesMax: number;
  compaction: { logBytesMin: number; growthPercent: number };
  /** Told of all effects of a log, in order; valid during the call. `position` is behind them. */
  onAppend?(effects: Uint8Array, position: number): void;
}

const TICK_MS = 50;
/** Records of background work per tick: well under a millisecond. */
const TICK_STEPS = 1000;

export class DurableStore extends LogBacked {
  readonly store: Store;
  readonly #effects: NativeBuffer;
  readonly #options: DurableStoreOptions;
  #dumps: DumpKeeper | undefined;
  #timers: Timer[] = [];

  private constructor(options: DurableStoreOptions) {
    super();
    this.#options = options;
    this.store = new Store({
      memoryBytesMax: 0,
      seed: options.hashSeed ?? options.world.random.bytes(16),
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
    this.log = await DurableLog.open({
      ...this.#options,
      directory: join(this.#options.dataDir, "store"),
      payloadFormat: EFFECTS_FORMAT,
      state: this.store,
      snapshotSliceBytes: SNAPSHOT_SLICE_BYTES,
    });
    const { isNew, file } = this.log;
    await importDumps({ ...this.#options, store: this.store }, isNew ? file : undefined);
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
    const replay = (payload: Uint8Array, source: FrameSource) => replayFrame(store, payload, source);
    if (!(await openFromLog(start, this.#dumps, replay))) await openFromDumps(start);
    store.logRemovals(true);
    this.#dumps.start();
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
    const { log, compactions = 0, loadedEffects = 0 } = this.log?.figures ?? {};
    return { log, dump: this.#dumps?.figures, compactions, loadedEffects };
  }

  override commit(): void {
    if (this.#dumps !== undefined) this.#commitRemovals(this.#dumps);
    else super.commit();
  }

  /** Applies effects that come from another node, and logs them. With a log only. */
  apply(effects: Uint8Array): void {
    this.commit();
    this.store.setLogging(false);
    this.store.replay(effects);
    this.store.setLogging(true);
    this.log?.append(effects);
  }

  /** Removes everything, and logs that. */
  clear(): void {
    for (const name of this.store.channelNames()) this.store.removeChannel(name);
    this.commit();
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

  #startTimers(clock: Clock): void {
    this.#timers.push(
      clock.every(TICK_MS, () => {
        this.store.tick(clock.nowMs(), TICK_STEPS);
        this.commit();
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
    try {
      await this.log?.close();
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
