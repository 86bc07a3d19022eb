/**
 * Moves records from memory into files, and rewrites the log without them.
 *
 * Invariant: a memtable leaves memory only when its records are in synced files; the log is rewritten only from what is
 * then still in memory, and never before the files of removed channels are gone. A failure keeps everything where it is
 * and is tried again; memory is bounded by holding clients back, or by refusing their writes while it lasts.
 */
import { isDiskFull } from "../../../core/append-log/segment.ts";
import type { Log } from "../../../core/logging/log.ts";
import type { Clock } from "../../../core/seams/clock.ts";
import type { Channel } from "./channels.ts";
import type { Frozen, Layout } from "./layout.ts";
import type { LogStore } from "./log-store.ts";
import type { Memtable } from "./memtables.ts";

export interface SealSettings {
  /** Memory of records that makes a seal due. */
  memtableBytes: number;
  /** The log is rewritten after a seal when it is longer than this (and than twice what must stay in it). */
  logBytesMin: number;
  /** With bucket files: a seal is due this long after the one before, however little there is. */
  periodMs: number;
  /** How often that is looked at. */
  checkMs: number;
}

export interface SealerOptions {
  world: { clock: Clock };
  log: Log;
  layout: Layout;
  sealing: SealSettings;
}

const RETRY_MS = 5000;
/** Clients are held back when memory exceeds what makes a seal due by this factor. */
const BEHIND_FACTOR = 4;
const EXPORT_BYTES = 128 * 1024;

interface Sealing extends Frozen {
  owner: Channel;
  table: Memtable;
}

export class Sealer {
  readonly #store: LogStore;
  readonly #options: SealerOptions;
  #running: Promise<void> | undefined;
  #tidying: Promise<void> | undefined;
  #frozenBytes = 0;
  #failure: string | undefined;
  #isFull = false;
  #retryAtMs = 0;
  #lastSealMs: number;
  #isClosing = false;
  seals = 0;

  constructor(store: LogStore, options: SealerOptions) {
    this.#store = store;
    this.#options = options;
    this.#lastSealMs = options.world.clock.monotonicMs();
  }

  /** Of records that are in no file yet. */
  get memoryBytes(): number {
    return this.#store.logs.memtableBytes + this.#frozenBytes;
  }

  get #isOverfull(): boolean {
    return this.memoryBytes > BEHIND_FACTOR * this.#options.sealing.memtableBytes;
  }

  /** Clients must wait: more is written than is sealed. */
  get isBehind(): boolean {
    return this.#failure === undefined && this.#isOverfull;
  }

  /** Memory is full, and files cannot be written. */
  get refusal(): string | undefined {
    if (this.#failure === undefined || !this.#isOverfull) return undefined;
    return this.#isFull ? "the disk is full: writes are refused" : `writes are refused: ${this.#failure}`;
  }

  get trouble(): string | undefined {
    return this.#failure;
  }

  /** Seals if it is time. */
  check(): void {
    if (this.#running !== undefined || this.#isClosing || !this.#isDue()) return;
    this.#begin(this.#options.layout.sealsTogether);
  }

  #isDue(): boolean {
    const { world, sealing, layout } = this.#options;
    const nowMs = world.clock.monotonicMs();
    if (nowMs < this.#retryAtMs) return false;
    if (this.memoryBytes >= sealing.memtableBytes) return true;
    return layout.sealsTogether && nowMs - this.#lastSealMs >= sealing.periodMs;
  }

  #begin(isEverything: boolean): void {
    this.#running = this.#run(isEverything).finally(() => {
      this.#running = undefined;
      this.check();
    });
  }

  async #run(isEverything: boolean): Promise<void> {
    const wasRefusing = this.refusal !== undefined;
    try {
      this.#lastSealMs = this.#options.world.clock.monotonicMs();
      await this.#seal(isEverything);
      await this.#rewriteLog();
      this.#succeeded(wasRefusing);
      this.#tidyLater();
    } catch (error) {
      this.#failed(error as Error);
    }
  }

  #succeeded(wasRefusing: boolean): void {
    if (this.#failure !== undefined) this.#options.log.info("records are moved into files again");
    this.#failure = undefined;
    if (wasRefusing) this.#store.onRefusalChanged();
    // Clients may have been held back at any moment since.
    this.#store.onRoom();
  }

  #failed(error: Error): void {
    this.#options.log.error(`records stay in memory and in the log for now: ${error.message}`);
    this.#failure = error.message;
    this.#isFull = isDiskFull(error);
    this.#retryAtMs = this.#options.world.clock.monotonicMs() + RETRY_MS;
    this.#store.onRefusalChanged();
  }

  /** The largest channels, so that small ones gather into larger files. */
  #choose(isEverything: boolean): Channel[] {
    const sized = this.#store
      .channels()
      .map((channel) => ({ channel, bytes: channel.figures.memtableBytes }))
      .filter(({ channel, bytes }) => bytes > 0 || channel.frozen.length > 0)
      .sort((a, b) => b.bytes - a.bytes);
    if (isEverything) return sized.map(({ channel }) => channel);
    const chosen: Channel[] = [];
    let left = sized.reduce((total, { bytes }) => total + bytes, 0);
    for (const { channel, bytes } of sized) {
      const isRest = left < this.#options.sealing.memtableBytes / 4 && channel.frozen.length === 0;
      if (isRest) continue;
      chosen.push(channel);
      left -= bytes;
    }
    return chosen;
  }

  async #seal(isEverything: boolean): Promise<void> {
    const { layout } = this.#options;
    // Records of a channel that was made again must not join the files of the one that was removed.
    if (layout.sealsTogether) await this.#store.settleRemovals();
    const frozen = this.#choose(isEverything).flatMap((owner) => this.#freeze(owner));
    this.#frozenBytes = frozen.reduce((total, { table }) => total + table.figures.memoryBytes, 0);
    const batches = layout.sealsTogether ? [frozen] : frozen.map((one) => [one]);
    for (const batch of batches) {
      const alive = batch.filter(({ owner, table }) => owner.frozen.includes(table));
      for (const { table } of alive) table.retain();
      try {
        if (alive.length > 0) (await layout.seal(alive)).apply((one) => this.#apply(one as Sealing));
      } finally {
        for (const { table } of alive) table.release();
      }
      this.#store.boundPinned();
      this.#store.onRoom();
      this.seals += 1;
    }
    this.#frozenBytes = 0;
  }

  #freeze(owner: Channel): Sealing[] {
    owner.freeze();
    return owner.frozen.map((table) => {
      const { firstNumber, records: count } = table.figures;
      return { channel: owner.name, memtable: table.pointer, firstNumber, count, owner, table };
    });
  }

  /** The records are in files; false when they were removed meanwhile. */
  #apply({ owner, table }: Sealing): boolean {
    if (!owner.frozen.includes(table)) return false;
    this.#frozenBytes -= table.figures.memoryBytes;
    owner.unfreeze(table);
    return true;
  }

  /** Only what is in memory need be in the log. */
  async #rewriteLog(isForced = false): Promise<void> {
    const { log } = this.#store;
    await this.#store.settleRemovals();
    const bytesMin = this.#isClosing ? 0 : this.#options.sealing.logBytesMin;
    if (log === undefined || (!isForced && !log.isCompactionDue(bytesMin, 2))) return;
    const held: { channel: Channel; memtable: Memtable; count: number }[] = [];
    try {
      await log.compact(() => {
        for (const { channel, memtable } of this.#store.memtables()) {
          memtable.retain();
          held.push({ channel, memtable, count: memtable.figures.records });
        }
        return this.#export(held);
      });
    } finally {
      for (const { memtable } of held) memtable.release();
    }
  }

  *#export(held: readonly { channel: Channel; memtable: Memtable; count: number }[]) {
    for (const { channel, memtable, count } of held)
      yield* this.#store.logs.export(channel.pointer, memtable.pointer, count, EXPORT_BYTES);
  }

  #tidyLater(): void {
    if (this.#isClosing) return;
    this.#tidying ??= this.#options.layout
      .tidy()
      .catch((error: Error) => this.#options.log.error(`small files stay as they are: ${error.message}`))
      .finally(() => {
        this.#tidying = undefined;
      });
  }

  /** Seals everything now, whatever there is; for tools and tests. */
  async sealAll(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
    this.#begin(true);
    await this.#running;
    await this.#tidying;
  }

  /**
   * Seals everything, takes it out of the log, and returns what `work` does then: nothing that is in files at that moment comes
   * back from the log. Rejects when files cannot be written.
   */
  async emptyLog<Value>(work: () => Value): Promise<Value> {
    while (this.#running !== undefined) await this.#running;
    const emptied = (async () => {
      await this.#seal(true);
      await this.#rewriteLog(true);
      return work();
    })();
    this.#running = emptied
      .then(
        () => undefined,
        (error: Error) => this.#failed(error),
      )
      .finally(() => {
        this.#running = undefined;
        this.check();
      });
    return emptied;
  }

  /** With bucket files everything goes into them, so that the originals find all of it. */
  async close(): Promise<void> {
    this.#isClosing = true;
    while (this.#running !== undefined) await this.#running;
    await this.#tidying;
    if (!this.#options.layout.sealsTogether) return;
    await this.#seal(true);
    await this.#rewriteLog();
  }
}
