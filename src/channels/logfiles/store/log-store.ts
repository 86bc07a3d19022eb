/**
 * The record store of a logfiles node: memory with its log in front, files behind.
 *
 * A record is written to the channel's memtable and to the append log. When memory holds much, memtables are sealed
 * into files (layout.ts) and the log is rewritten without them. After a crash the log holds every acknowledged record
 * that is in no file; records have numbers (native/logfiles/logs.h), so none is taken twice.
 *
 * Invariant: after `commit`, `position` covers every change so far, and `durablePosition` reaches it only when the log has
 * synced it. A removed channel's files go only when its removal is durable, and the log is not rewritten before they are
 * gone. With durability "buffered" both positions are 0: nobody waits for the log, which is written all the same; a crash
 * then takes what was on its way to the disk, some milliseconds.
 */
import { join } from "node:path";
import { LogFile, type LogOptions, type LogState } from "../../../core/append-log/log-file.ts";
import type { FrameSource } from "../../../core/append-log/scan.ts";
import { assert, NxError } from "../../../core/errors.ts";
import type { Log } from "../../../core/logging/log.ts";
import type { World } from "../../../core/role.ts";
import type { Timer } from "../../../core/seams/clock.ts";
import { crc32c } from "../../../native/crc32c.ts";
import { type ChannelPointer, freeMemtable, Logs } from "../../../native/logfiles/logs.ts";
import type { Durability } from "../../reply-gate.ts";
import type { ScanRequest } from "../scan/request.ts";
import type { Pieces } from "../scan/scan.ts";
import type { FileWork } from "../work/work.ts";
import { Channel } from "./channels.ts";
import { type KeyRange, widestRange } from "./key-range.ts";
import type { Layout, Movable } from "./layout.ts";
import { HeldScan } from "./held-scan.ts";
import type { Memtable } from "./memtables.ts";
import { Retention, type RetentionSettings } from "./retention.ts";
import { Sealer, type SealSettings } from "./sealer.ts";

export interface LogStoreOptions {
  world: Omit<World, "net">;
  log: Log;
  dataDir: string;
  durability: "log" | "buffered";
  layout: Layout;
  work: FileWork;
  sealing: SealSettings;
  retention: RetentionSettings;
  onDurable(): void;
  /** Appends are welcome again after `isCongested`. */
  onDrain(): void;
  /** Writes are refused, or welcome again; `refusal` agrees. */
  onRefusal(): void;
  onFatal(error: Error): void;
  /** One group was synced. */
  onGroup(durationMs: number): void;
  progress(text: string): void;
  /** Sizes of the append log, for tests. */
  appendLog?: Pick<LogOptions, "segmentBytesMin" | "segmentBytesMax" | "groupBytesMax">;
}

/** The append log's directory; no channel can be called so. */
export const LOG_DIRECTORY = ".log";
/** Version of the payload that native/logfiles/logs.h draws. */
export const LOGS_FORMAT = 1;

/** Memory of records that are in files and that slow readers still need, as a multiple of what makes a seal due. */
const PINNED_FACTOR = 8;

export class LogStore implements Durability {
  readonly logs: Logs;
  readonly #options: LogStoreOptions;
  readonly #channels: Channel[] = [];
  readonly #byPointer = new Map<ChannelPointer, Channel>();
  readonly #sealer: Sealer;
  readonly #retention: Retention;
  #log: LogFile | undefined;
  #isStalled = false;
  #durableWaiters: { position: number; resolve: () => void }[] = [];
  #removing: Promise<void> | undefined;
  #timers: Timer[] = [];
  #roomWaiters: (() => void)[] = [];
  /** Under way, oldest first. */
  readonly #scans = new Set<HeldScan>();
  #onScansEnded: (() => void) | undefined;

  private constructor(options: LogStoreOptions) {
    this.#options = options;
    this.logs = new Logs(options.world.random.bytes(16));
    this.#sealer = new Sealer(this, options);
    this.#retention = new Retention(options.retention, options);
  }

  /** Loads files and log. Throws NX_DATA_CORRUPT, NX_DATA_VERSION, NX_DISK_FAILED. */
  static async open(options: LogStoreOptions): Promise<LogStore> {
    const store = new LogStore(options);
    await store.#load();
    store.#timers.push(
      options.world.clock.every(options.sealing.checkMs, () => store.#sealer.check()),
      options.world.clock.every(options.retention.checkMs, () => void store.expire()),
    );
    return store;
  }

  async #load(): Promise<void> {
    const { layout, log, progress, world } = this.#options;
    const startMs = world.clock.monotonicMs();
    const loaded = await layout.load(progress);
    for (const { name, sealedNumber } of loaded)
      this.logs.sealed(this.logs.channel(name, true) as ChannelPointer, 0, 0, sealedNumber);
    await this.#openLog();
    await this.#followReplayedRemovals();
    for (const { name } of loaded) {
      const { records, valueBytes } = layout.totals(name);
      if (records > 0)
        this.logs.sealed(this.logs.channel(name, true) as ChannelPointer, records, valueBytes, 0);
    }
    const { records } = this.logs.figures;
    const seconds = ((world.clock.monotonicMs() - startMs) / 1000).toFixed(3);
    log.info("loaded", { channels: this.channels().length, records, files: layout.fileCount, seconds });
  }

  async #openLog(): Promise<void> {
    const { world, dataDir, log, progress } = this.#options;
    const directory = join(dataDir, LOG_DIRECTORY);
    let bytes = 0;
    const replay = (payload: Uint8Array, source: FrameSource) => {
      this.#replay(payload, source);
      bytes += payload.byteLength;
      progress(`loading ${source.path}: ${Math.round(bytes / 2 ** 20)} MiB so far`);
    };
    const listener = {
      onDurable: () => this.#onDurable(),
      onDrain: () => this.onRoom(),
      onGroup: (_bytes: number, durationMs: number) => this.#options.onGroup(durationMs),
      onState: (state: LogState, error: NxError | undefined) => this.#onLogState(state, error),
    };
    const sizes = this.#options.appendLog ?? {};
    const options = { ...world, ...sizes, crc32c, directory, payloadFormat: LOGS_FORMAT, listener };
    this.#log = await LogFile.open(options, { onSnapshot: replay, onFrame: replay });
    const { tornBytes } = this.#log.stats;
    if (tornBytes > 0)
      log.warn("cut an unfinished group that was never acknowledged", { directory, tornBytes });
  }

  #replay(payload: Uint8Array, { path, offset }: FrameSource): void {
    if (this.logs.replay(payload) >= 0) return;
    throw new NxError(
      "NX_DATA_CORRUPT",
      `${path}: the frame at byte ${offset} passes its checksum but holds no valid records`,
      { hint: "the file was written by a defective program; keep a copy and report it" },
    );
  }

  /** A removal that is in the log may not have reached the files: it is repeated. */
  async #followReplayedRemovals(): Promise<void> {
    this.#adoptOrphans();
    for (const channel of this.#all()) {
      const { removedAt } = channel.figures;
      if (removedAt === 0) continue;
      channel.removedAt = removedAt;
      this.#options.layout.forget(channel.name, removedAt);
    }
    await this.#options.layout.removeFiles();
  }

  // --- channels --------------------------------------------------------------------------------------------------

  /** Every channel that was ever made, in an order that stays. */
  #all(): Channel[] {
    for (let index = this.#channels.length; index < this.logs.channelCount; index++)
      this.#add(new Channel(this.logs, this.logs.channelAt(index)));
    return this.#channels;
  }

  #add(channel: Channel): void {
    this.#channels.push(channel);
    this.#byPointer.set(channel.pointer, channel);
  }

  /** Undefined when there is none. */
  channel(name: string): Channel | undefined {
    const pointer = this.logs.channel(name, false);
    if (pointer === undefined) return undefined;
    this.#all();
    return this.#byPointer.get(pointer);
  }

  channels(): Channel[] {
    return this.#all().filter(({ figures }) => !figures.isRemoved);
  }

  // --- writing ---------------------------------------------------------------------------------------------------

  /** Writes a record; `commit` must follow in the same turn or after some more. The name must be a channel's. */
  put(name: string, key: bigint, value: Uint8Array): void {
    const channel = this.logs.channel(name, true);
    assert(channel !== undefined, "records are written to channels");
    this.logs.put(channel, key, value);
  }

  remove(name: string): void {
    const channel = this.logs.channel(name, false);
    if (channel === undefined) return;
    this.logs.remove(channel);
    this.commit();
    this.onRemovals();
  }

  /** Moves what was changed into the log's gathering group. To be called in the turn of the change. */
  commit(): void {
    const { effects } = this.logs;
    if (effects.length === 0 || this.#log === undefined || this.#log.state !== "open") return;
    this.#log.append(effects.view());
    this.logs.effectsTaken();
    if (this.logs.memtableBytes >= this.#options.sealing.memtableBytes) this.#sealer.check();
  }

  /** Channels were removed since the last call: their memory and, once the removal is durable, their files go. */
  onRemovals(): void {
    this.#adoptOrphans();
    for (const channel of this.#all()) {
      const { removedAt } = channel.figures;
      if (removedAt === channel.removedAt) continue;
      channel.removedAt = removedAt;
      channel.dropFrozen();
      this.#options.layout.forget(channel.name, removedAt);
    }
    this.#removing ??= this.#removeFiles().finally(() => {
      this.#removing = undefined;
    });
  }

  #adoptOrphans(): void {
    for (let orphan = this.logs.takeOrphan(); orphan !== undefined; orphan = this.logs.takeOrphan()) {
      const memtable = orphan;
      if (!this.#channels.some((channel) => channel.adopt(memtable))) freeMemtable(memtable);
    }
  }

  async #removeFiles(): Promise<void> {
    try {
      await this.flush();
      await this.#options.layout.removeFiles();
    } catch (error) {
      this.#options.log.error(
        `files of a removed channel stay until the next start: ${(error as Error).message}`,
      );
    }
  }

  /** Resolves when no removal is under way any more. */
  async settleRemovals(): Promise<void> {
    while (this.#removing !== undefined) await this.#removing;
  }

  /** Moves everything from memory into files now. */
  sealAll(): Promise<void> {
    return this.#sealer.sealAll();
  }

  get log(): LogFile | undefined {
    return this.#log;
  }

  /** Resolves when everything committed so far is durable, whatever the durability. */
  async flush(): Promise<void> {
    await this.#log?.flush();
  }

  // --- reading ---------------------------------------------------------------------------------------------------

  /**
   * A scan of a channel as it is now; undefined when there is none. Close it. `onAborted`: it was ended, because its reader
   * is so slow that memory runs out for it.
   */
  scan(
    name: string,
    request: Omit<ScanRequest, "sources">,
    onAborted: () => void = () => {},
  ): Pieces | undefined {
    const channel = this.channel(name);
    if (channel === undefined) return undefined;
    const memory = channel.holdMemtables();
    const pointers = memory.memtables.map(({ pointer }) => pointer);
    const files = this.#options.layout.sources(name, pointers);
    const release = () => {
      memory.release();
      files.release();
    };
    return this.#scan(
      { ...request, sources: [...files.specs, ...memory.specs] },
      memory.memtables,
      release,
      onAborted,
    );
  }

  /** A scan of memtables that the caller holds. Close it. */
  scanSources(request: ScanRequest): Pieces {
    return this.#scan(request, [], () => {});
  }

  #scan(
    request: ScanRequest,
    memtables: readonly Memtable[],
    release: () => void,
    onAborted: () => void = () => {},
  ): Pieces {
    const ended = () => {
      this.#scans.delete(scan);
      release();
      if (this.#scans.size === 0) this.#onScansEnded?.();
    };
    const scan = new HeldScan(this.#options.work.scan(request), memtables, ended, onAborted);
    this.#scans.add(scan);
    return scan;
  }

  /** Records that are in files by now stay in memory for readers that are slow: up to a limit. */
  boundPinned(): void {
    const bytesMax = PINNED_FACTOR * this.#options.sealing.memtableBytes;
    for (const scan of this.#scans) {
      const pinned = new Set(
        [...this.#scans].flatMap(({ memtables }) => memtables.filter(({ isPinned }) => isPinned)),
      );
      const bytes = [...pinned].reduce((sum, { figures }) => sum + figures.memoryBytes, 0);
      if (bytes <= bytesMax) return;
      // The oldest first: it has had its time.
      if (!scan.memtables.some(({ isPinned }) => isPinned)) continue;
      this.#options.log.warn("ended a request for records whose reader is too slow", { pinnedBytes: bytes });
      scan.abort();
    }
  }

  /** Resolves when no scan is under way. */
  async #settleScans(): Promise<void> {
    if (this.#scans.size > 0) await new Promise<void>((resolve) => (this.#onScansEnded = resolve));
  }

  /** The scan of a channel that is not there. */
  scanNothing(request: Omit<ScanRequest, "sources">): Pieces {
    return this.#scan({ ...request, sources: [] }, [], () => {});
  }

  // --- durability ------------------------------------------------------------------------------------------------

  get #isWaitedFor(): boolean {
    return this.#options.durability === "log";
  }

  get position(): number {
    return this.#isWaitedFor ? (this.#log?.position ?? 0) : 0;
  }

  get durablePosition(): number {
    return this.#isWaitedFor ? (this.#log?.durablePosition ?? 0) : 0;
  }

  get isStalled(): boolean {
    return this.#isStalled;
  }

  /** Resolves when what was committed so far is as durable as the node promises. */
  whenDurable(): Promise<void> {
    const { position } = this;
    if (position <= this.durablePosition) return Promise.resolve();
    return new Promise((resolve) => this.#durableWaiters.push({ position, resolve }));
  }

  #onDurable(): void {
    this.#options.onDurable();
    const ready = this.#durableWaiters.filter(({ position }) => position <= this.durablePosition);
    if (ready.length === 0) return;
    this.#durableWaiters = this.#durableWaiters.filter((waiter) => !ready.includes(waiter));
    for (const { resolve } of ready) resolve();
  }

  /** Clients must wait before they send more. Never while writes are refused anyway. */
  get isCongested(): boolean {
    if (this.refusal !== undefined) return false;
    return this.#log?.isCongested === true || this.#sealer.isBehind;
  }

  /** Why writes are refused right now; undefined when they are welcome. */
  get refusal(): string | undefined {
    return this.#isStalled ? "the disk is full: writes are refused" : this.#sealer.refusal;
  }

  get trouble(): string | undefined {
    return this.refusal ?? this.#sealer.trouble;
  }

  #onLogState(state: LogState, error: NxError | undefined): void {
    const { log, onFatal } = this.#options;
    this.#isStalled = state === "full";
    if (state === "failed") onFatal(error ?? new NxError("NX_DISK_FAILED", "the log failed"));
    if (state === "full") log.error(`writes are refused: ${error?.message}`, { code: error?.code });
    if (state === "open") log.info("writes are accepted again");
    if (state === "full" || state === "open") this.onRefusalChanged();
    // What was changed while the log could not take it.
    if (state === "open") this.commit();
  }

  onRefusalChanged(): void {
    this.#options.onRefusal();
    // Clients that wait for room may read meanwhile; their writes are refused.
    this.onRoom();
  }

  /** There may be room for records again. */
  onRoom(): void {
    if (this.isCongested) return;
    this.#options.onDrain();
    const waiting = this.#roomWaiters;
    this.#roomWaiters = [];
    for (const resolve of waiting) resolve();
  }

  /** Resolves when records are welcome, or refused. */
  async whenRoom(): Promise<void> {
    while (this.isCongested) await new Promise<void>((resolve) => this.#roomWaiters.push(resolve));
  }

  // --- retention and figures -------------------------------------------------------------------------------------

  async expire(): Promise<void> {
    for (const { channel: name, records, valueBytes } of await this.#retention.expire()) {
      const channel = this.channel(name);
      if (channel !== undefined) this.logs.sealed(channel.pointer, -records, -valueBytes, 0);
    }
  }

  /** Files whose records may be given to other nodes, everything that is in memory among them. */
  async *movables(): AsyncGenerator<Movable> {
    yield* await this.#sealer.emptyLog(() => this.#options.layout.movables());
  }

  /** So many records of the file are safe elsewhere: removes it. False: it holds others by now, and stays. */
  async removeMoved(movable: Movable, records: number): Promise<boolean> {
    const moved = await movable.remove(records);
    const channel = this.channel(movable.channel);
    if (moved !== undefined && channel !== undefined)
      this.logs.sealed(channel.pointer, -moved.records, -moved.valueBytes, 0);
    return moved !== undefined;
  }

  setRetention(settings: RetentionSettings): void {
    this.#retention.settings = settings;
  }

  /** Smallest and largest key of a channel; undefined when it is empty, or its files do not tell. */
  keyRange({ name, frozen, active }: Channel): KeyRange | undefined {
    const { layout } = this.#options;
    if (layout.keyRange === undefined && layout.totals(name).records > 0) return undefined;
    const inFiles = layout.keyRange?.(name);
    const inMemory = [...frozen, active].map(({ figures }) => figures).filter(({ records }) => records > 0);
    return widestRange(inFiles === undefined ? inMemory : [inFiles, ...inMemory]);
  }

  get figures() {
    const { layout } = this.#options;
    return {
      ...this.logs.figures,
      channels: this.channels().length,
      fileBytes: layout.fileBytes,
      files: layout.fileCount,
      scans: this.#scans.size,
      memoryBytes: this.#sealer.memoryBytes,
      seals: this.#sealer.seals,
      expiredRecords: this.#retention.expiredRecords,
      log: this.#log?.stats,
    };
  }

  /** Frozen memtables of all channels, and those that take what is written: everything that only the log holds. */
  memtables(): { channel: Channel; memtable: Memtable }[] {
    return this.#all().flatMap((channel) =>
      [...channel.frozen, channel.active].map((memtable) => ({ channel, memtable })),
    );
  }

  /** Makes everything durable and lets go of memory and threads, once the scans that are under way were closed. */
  async close(beforeFree?: () => void): Promise<void> {
    for (const timer of this.#timers) timer.cancel();
    this.commit();
    try {
      await this.#settleScans();
      await this.#sealer.close();
      await this.settleRemovals();
      await this.#log?.close();
      await this.#options.layout.close();
    } finally {
      beforeFree?.();
      this.#options.work.close();
      for (const { channel } of this.memtables()) channel.dropFrozen();
      this.logs.close();
    }
  }
}
