/**
 * An image in a bucket as a file: reads come through the cache, writes gather in memory part by part and are sent as new
 * objects. The table that says which objects the image is now is the caller's to save.
 *
 * Invariant: after `sync` everything that was written is in the bucket and in the saved table; before it the saved table is
 * the old one, and all of its objects are still there. A crash therefore leaves the image of the last sync. Memory: at most
 * DIRTY_MAX parts.
 */
import type { DiskFile } from "../../core/seams/disk.ts";
import { type PartCache, stretchesOf } from "./part-cache.ts";
import { partLength, type PartRef, partsOf, type PartTable } from "./part-table.ts";
import { type PartStore, Pins } from "./part-store.ts";

const DIRTY_MAX = 4;

export interface PartImageOptions {
  parts: PartStore;
  cache: PartCache;
  table: PartTable;
  /** Makes a table the image's, durably. */
  save(table: PartTable): Promise<void>;
}

export class PartImage implements DiskFile {
  readonly #options: PartImageOptions;
  readonly #pins: Pins;
  #table: { partBytes: number; bytes: number; parts: (PartRef | undefined)[] };
  /** Content of parts that is not sent yet. */
  readonly #dirty = new Map<number, Uint8Array>();
  #isSaved = true;
  /** Writes go one after the other: two of one part would overwrite each other's. */
  #writing: Promise<unknown> = Promise.resolve();

  constructor(options: PartImageOptions) {
    this.#options = options;
    this.#pins = new Pins(options.parts);
    this.#table = { ...options.table, parts: [...options.table.parts] };
  }

  #alone<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.#writing.then(work);
    this.#writing = result.catch(() => undefined);
    return result;
  }

  async read(target: Uint8Array, offset: number): Promise<number> {
    const { parts, cache } = this.#options;
    const bytes = Math.max(0, Math.min(target.byteLength, this.#table.bytes - offset));
    for (const { index, from, at, length } of stretchesOf(this.#table, offset, bytes)) {
      const part = target.subarray(at, at + length);
      const dirty = this.#dirty.get(index);
      if (dirty !== undefined) part.set(dirty.subarray(from, from + length));
      else await cache.read(parts, this.#table, index, part, from);
    }
    return bytes;
  }

  write(bytes: Uint8Array, offset: number): Promise<void> {
    return this.#alone(async () => {
      if (offset + bytes.byteLength > this.#table.bytes) await this.#resize(offset + bytes.byteLength);
      for (const { index, from, at, length } of stretchesOf(this.#table, offset, bytes.byteLength)) {
        const isWhole = length === partLength(this.#table, index);
        const content = await this.#dirtyPart(index, isWhole);
        content.set(bytes.subarray(at, at + length), from);
      }
    });
  }

  async writeDurably(bytes: Uint8Array, offset: number): Promise<void> {
    await this.write(bytes, offset);
    await this.sync();
  }

  /** The content of a part, to be changed; one that is written to as a whole need not be fetched. */
  async #dirtyPart(index: number, isWhole: boolean): Promise<Uint8Array> {
    let content = this.#dirty.get(index);
    if (content === undefined) {
      if (this.#dirty.size >= DIRTY_MAX) await this.#sendAll();
      content = new Uint8Array(partLength(this.#table, index));
      const { parts, cache } = this.#options;
      if (!isWhole) await cache.read(parts, this.#table, index, content, 0);
    }
    this.#dirty.set(index, content);
    this.#isSaved = false;
    return content;
  }

  async #send(index: number): Promise<void> {
    const content = this.#dirty.get(index) as Uint8Array;
    const { parts, cache } = this.#options;
    const ref = await parts.putPart(content, true, this.#pins);
    this.#table.parts[index] = ref;
    this.#dirty.delete(index);
    if (ref !== undefined) await cache.keep(ref.sha256, content);
  }

  async #sendAll(): Promise<void> {
    const ended = await Promise.allSettled([...this.#dirty.keys()].map((index) => this.#send(index)));
    for (const each of ended) if (each.status === "rejected") throw each.reason;
  }

  sync(): Promise<void> {
    return this.#alone(async () => {
      if (this.#isSaved) return;
      await this.#sendAll();
      await this.#options.save({ ...this.#table, parts: [...this.#table.parts] });
      this.#isSaved = true;
    });
  }

  async #resize(bytes: number): Promise<void> {
    const last = this.#table.parts.length - 1;
    const isCut = last >= 0 && partLength(this.#table, last) < this.#table.partBytes;
    // A last part that was shorter gets longer, so it becomes another object.
    const content = isCut ? await this.#dirtyPart(last, false) : undefined;
    this.#table.bytes = bytes;
    this.#table.parts.length = partsOf(bytes, this.#table.partBytes);
    if (content !== undefined) {
      const longer = new Uint8Array(partLength(this.#table, last));
      longer.set(content);
      this.#dirty.set(last, longer);
    }
    this.#isSaved = false;
  }

  /** Only grows, or forgets everything. */
  truncate(size: number): Promise<void> {
    return this.#alone(async () => {
      if (size >= this.#table.bytes) {
        if (size > this.#table.bytes) await this.#resize(size);
        return;
      }
      this.#dirty.clear();
      this.#table = { partBytes: this.#table.partBytes, bytes: 0, parts: [] };
      await this.#resize(size);
    });
  }

  allocate(size: number): Promise<void> {
    return this.truncate(Math.max(size, this.#table.bytes));
  }

  async size(): Promise<number> {
    return this.#table.bytes;
  }

  /** What was written and not synced is lost, as after a crash. */
  async close(): Promise<void> {
    await this.#writing;
    this.#dirty.clear();
    this.#pins.release();
  }
}
