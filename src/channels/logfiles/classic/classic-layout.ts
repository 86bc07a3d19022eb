/**
 * Channels as the bucket files of the originals: `<directory>/<channel>/<slot>/<bucket>` (names.ts).
 *
 * Records gather in memory, with the append log in front, and are moved into bucket files together from time to time and
 * at the stop; a flush is all or nothing (flush.ts). After a stop the directory is what an original would have left, with
 * the file `.flush-state` and the directory of the append log beside it.
 *
 * Invariant: nothing is flushed into a channel whose removed files are still there, and none is removed while a flush runs.
 */
import type { Log } from "../../../core/logging/log.ts";
import type { Disk } from "../../../core/seams/disk.ts";
import { makeDurableDirectory } from "../../../core/seams/durable-files.ts";
import { NxError } from "../../../core/errors.ts";
import { type MemtablePointer, readMemtable } from "../../../native/logfiles/logs.ts";
import { isChannelName } from "../channel-name.ts";
import { parseSegmentName } from "../segments/format.ts";
import { withFile } from "../segments/read.ts";
import type {
  Expired,
  Frozen,
  HeldSources,
  Layout,
  LoadedChannel,
  Movable,
  RetentionLimits,
  Sealed,
} from "../store/layout.ts";
import type { FileWork } from "../work/work.ts";
import { walkBucket } from "./bucket-file.ts";
import { applyCheckpoint } from "./checkpoint.ts";
import { undoFlush } from "./flush.ts";
import { bucketPath } from "./names.ts";
import { countChannel, readSizeInfo, type SizeInfo, SIZEINFO, writeSizeInfo } from "./sizeinfo.ts";
import { bucketsOf } from "./source.ts";
import { readState, STATE_FILE, writeState } from "./state-file.ts";

export interface ClassicLayoutOptions {
  disk: Disk;
  log: Log;
  work: FileWork;
  directory: string;
}

/** Beside a record's value in a file of version 1. */
const RECORD_OVERHEAD_BYTES = 17;
const LAST_BUCKET = Number.MAX_SAFE_INTEGER;

export class ClassicLayout implements Layout {
  readonly sealsTogether = true;
  readonly #options: ClassicLayoutOptions;
  readonly #totals = new Map<string, SizeInfo>();
  #numbers: Record<string, number> = {};
  /** Channels whose files are to be removed. */
  readonly #doomed = new Set<string>();
  #flushes = 0;
  /** The flush whose records scans may still find in memory, too. */
  #current: { flush: number; memtables: Set<MemtablePointer> } | undefined;
  /** Flushes and removals, one after the other. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: ClassicLayoutOptions) {
    this.#options = options;
  }

  #pathOf(channel: string): string {
    return `${this.#options.directory}/${channel}`;
  }

  get #statePath(): string {
    return `${this.#options.directory}/${STATE_FILE}`;
  }

  #inTurn<Value>(work: () => Promise<Value>): Promise<Value> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => undefined);
    return done;
  }

  // --- start -----------------------------------------------------------------------------------------------------

  async load(progress: (text: string) => void): Promise<LoadedChannel[]> {
    const { disk, log, directory } = this.#options;
    await makeDurableDirectory(disk, directory);
    const cut = await applyCheckpoint(disk, directory, log);
    const state = await readState(disk, this.#statePath);
    this.#numbers = state.numbers;
    if (state.flushing !== undefined) {
      log.info("undid a flush that was cut short", { files: Object.keys(state.flushing).length });
      for (const name of Object.keys(state.flushing)) cut.add(name.slice(0, name.indexOf("/")));
      await undoFlush(disk, directory, this.#statePath, state);
    }
    const loaded: LoadedChannel[] = [];
    for (const { name, kind } of await disk.list(directory)) {
      if (kind !== "directory" || !isChannelName(name)) continue;
      await this.#assertClassic(name);
      this.#totals.set(name, await this.#sizeOf(name, cut.has(name), progress));
      loaded.push({ name, sealedNumber: this.#numbers[name] ?? 0 });
    }
    return loaded;
  }

  async #assertClassic(name: string): Promise<void> {
    const path = this.#pathOf(name);
    const entries = await this.#options.disk.list(path);
    if (!entries.some((entry) => parseSegmentName(entry.name) !== undefined)) return;
    const message = `${path} holds segments, and the configuration says layout "classic"`;
    throw new NxError("NX_DATA_VERSION", message, {
      hint: 'set layout: "segments", or convert the directory with `node-x logfiles convert`',
    });
  }

  async #sizeOf(name: string, isStale: boolean, progress: (text: string) => void): Promise<SizeInfo> {
    const { disk } = this.#options;
    const path = `${this.#pathOf(name)}/${SIZEINFO}`;
    const known = isStale ? undefined : await readSizeInfo(disk, path);
    if (known !== undefined) return known;
    progress(`counting the records of channel ${name}`);
    const counted = await countChannel(disk, this.#pathOf(name));
    await writeSizeInfo(disk, path, counted);
    return counted;
  }

  // --- flushing --------------------------------------------------------------------------------------------------

  seal(frozen: readonly Frozen[]): Promise<Sealed> {
    const flush = ++this.#flushes;
    this.#current = { flush, memtables: new Set(frozen.map(({ memtable }) => memtable)) };
    return this.#inTurn(() => this.#flush(flush, frozen));
  }

  async #flush(flush: number, frozen: readonly Frozen[]): Promise<Sealed> {
    const { work, directory, log } = this.#options;
    const plain = frozen.map(({ channel, memtable, firstNumber, count }) => ({
      channel,
      memtable,
      firstNumber,
      count,
    }));
    const sizes = frozen.map(({ memtable }) => readMemtable(memtable).valueBytes);
    const task = { flush, directory, statePath: this.#statePath, numbers: this.#numbers, frozen: plain };
    const { numbers, warnings } = await work.run("flushBuckets", task);
    this.#numbers = numbers;
    for (const warning of warnings) log.warn(`a bucket file was repaired: ${warning}`);
    for (const [index, { channel, count }] of frozen.entries()) {
      const total = this.totals(channel);
      this.#totals.set(channel, {
        records: total.records + count,
        valueBytes: total.valueBytes + (sizes[index] as number),
      });
    }
    await this.#writeSizes(new Set(frozen.map(({ channel }) => channel)));
    return {
      apply: (isWanted) => {
        for (const one of frozen) isWanted(one);
        this.#current = undefined;
        void work.run("forgetFlush", { flush });
      },
    };
  }

  async #writeSizes(channels: Iterable<string>): Promise<void> {
    for (const channel of channels)
      await writeSizeInfo(this.#options.disk, `${this.#pathOf(channel)}/${SIZEINFO}`, this.totals(channel));
  }

  // --- scans -----------------------------------------------------------------------------------------------------

  sources(channel: string, memtables: readonly MemtablePointer[]): HeldSources {
    const release = () => {};
    if (this.#doomed.has(channel)) return { specs: [], release };
    const current = this.#current;
    const isFlushing = current !== undefined && memtables.some((memtable) => current.memtables.has(memtable));
    const flushes = isFlushing ? [current.flush] : [];
    return { specs: [{ kind: "buckets", directory: this.#pathOf(channel), flushes }], release };
  }

  totals(channel: string): SizeInfo {
    return this.#totals.get(channel) ?? { records: 0, valueBytes: 0 };
  }

  // --- removing --------------------------------------------------------------------------------------------------

  forget(channel: string, belowNumber: number): void {
    // Records of a later life of the channel are flushed only when the files of the one before are gone.
    if ((this.#numbers[channel] ?? 0) > belowNumber) return;
    this.#doomed.add(channel);
    this.#totals.delete(channel);
  }

  removeFiles(): Promise<void> {
    return this.#inTurn(async () => {
      const removed = [...this.#doomed];
      for (const channel of removed) {
        await this.#removeChannel(channel);
        this.#doomed.delete(channel);
      }
      await this.#forgetNumbers(removed);
    });
  }

  async #removeChannel(channel: string): Promise<void> {
    const { disk, directory } = this.#options;
    const path = this.#pathOf(channel);
    if (!(await disk.exists(path))) return;
    for (const { name, kind } of await disk.list(path)) {
      if (kind === "directory") await this.#removeDirectory(`${path}/${name}`);
      else await disk.remove(`${path}/${name}`);
    }
    await disk.removeDirectory(path);
    await disk.syncDirectory(directory);
  }

  /** A channel of this name that is made later begins with any number. The removal is in the log until this is done. */
  async #forgetNumbers(channels: readonly string[]): Promise<void> {
    if (!channels.some((channel) => channel in this.#numbers)) return;
    const numbers = Object.entries(this.#numbers).filter(([channel]) => !channels.includes(channel));
    this.#numbers = Object.fromEntries(numbers);
    await writeState(this.#options.disk, this.#statePath, { numbers: this.#numbers, flushing: undefined });
  }

  async #removeDirectory(path: string): Promise<void> {
    const { disk } = this.#options;
    for (const { name, kind } of await disk.list(path))
      if (kind !== "directory") await disk.remove(`${path}/${name}`);
    await disk.removeDirectory(path);
  }

  expire(limits: RetentionLimits): Promise<Expired[]> {
    return this.#inTurn(async () => {
      const expired = new Map<string, Expired>();
      if (limits.keyMin !== undefined)
        for (const channel of [...this.#totals.keys()]) {
          const last = Number(limits.keyMin >> 12n) - 1;
          for await (const bucket of bucketsOf(this.#options.disk, this.#pathOf(channel), 0, last))
            await this.#expireBucket(channel, bucket, expired);
        }
      if (limits.bytesMax !== undefined && this.fileBytes > limits.bytesMax)
        await this.#expireOldest(limits.bytesMax, expired);
      await this.#writeSizes(expired.keys());
      return [...expired.values()];
    });
  }

  async #expireOldest(bytesMax: number, expired: Map<string, Expired>): Promise<void> {
    const all: { channel: string; bucket: number }[] = [];
    for (const channel of this.#totals.keys())
      for await (const bucket of bucketsOf(this.#options.disk, this.#pathOf(channel), 0, LAST_BUCKET))
        all.push({ channel, bucket });
    all.sort((a, b) => a.bucket - b.bucket);
    for (const { channel, bucket } of all) {
      if (this.fileBytes <= bytesMax) return;
      await this.#expireBucket(channel, bucket, expired);
    }
  }

  async #expireBucket(channel: string, bucket: number, expired: Map<string, Expired>): Promise<void> {
    const { disk } = this.#options;
    const path = `${this.#pathOf(channel)}/${bucketPath(bucket)}`;
    const { records, valueBytes } = await withFile(disk, path, (file) => walkBucket(file, bucket));
    await disk.remove(path);
    await disk.syncDirectory(path.slice(0, path.lastIndexOf("/")));
    const total = this.totals(channel);
    this.#totals.set(channel, {
      records: total.records - records,
      valueBytes: total.valueBytes - valueBytes,
    });
    const sum = expired.get(channel) ?? { channel, records: 0, valueBytes: 0 };
    sum.records += records;
    sum.valueBytes += valueBytes;
    expired.set(channel, sum);
  }

  async *movables(): AsyncGenerator<Movable> {
    for (const channel of [...this.#totals.keys()])
      for await (const bucket of bucketsOf(this.#options.disk, this.#pathOf(channel), 0, LAST_BUCKET)) {
        const low = BigInt(bucket) << 12n;
        yield {
          ...{ channel, low, high: low | 0xfffn },
          hold: () => this.sources(channel, []),
          remove: (records) => this.#inTurn(() => this.#removeMoved(channel, bucket, records)),
        };
      }
  }

  /** Records that were appended since would go with the file: then it stays. */
  async #removeMoved(channel: string, bucket: number, records: number): Promise<Expired | undefined> {
    const { disk } = this.#options;
    const path = `${this.#pathOf(channel)}/${bucketPath(bucket)}`;
    if (this.#doomed.has(channel) || !(await disk.exists(path))) return undefined;
    const found = await withFile(disk, path, (file) => walkBucket(file, bucket));
    if (found.records !== records || found.end !== "whole") return undefined;
    const expired = new Map<string, Expired>();
    await this.#expireBucket(channel, bucket, expired);
    await this.#writeSizes([channel]);
    return expired.get(channel);
  }

  /** Bucket files are as small as the originals make them. */
  tidy(): Promise<void> {
    return Promise.resolve();
  }

  get fileBytes(): number {
    let bytes = 0;
    for (const { records, valueBytes } of this.#totals.values())
      bytes += RECORD_OVERHEAD_BYTES * records + valueBytes;
    return bytes;
  }

  /** Not counted: there may be a great many. */
  get fileCount(): number {
    return 0;
  }

  async close(): Promise<void> {
    await this.#turn;
  }
}
