/**
 * A source of a scan: records of one file or memtable, page by page, in the order of their buckets.
 *
 * Invariant: `bucket` is never above the bucket of the next record; Infinity says that there is none.
 */
import { assert } from "../../../core/errors.ts";
import { newBuffer } from "../../../core/append-log/frame.ts";
import type { Disk, DiskFile } from "../../../core/seams/disk.ts";
import { MemtableReader, Page } from "../../../native/logfiles/pages.ts";
import { seedOf } from "../segments/format.ts";
import { readBlock } from "../segments/read.ts";
import type { SourceSpec } from "./request.ts";

/** Of a page made while reading; segments have pages of the size they were written with. */
export const READ_PAGE_BYTES = 1 << 20;

export abstract class Source {
  readonly page = new Page();
  bucket = 0;
  /** Whether `page` holds the next record. */
  isLoaded = false;

  /** The next page, good until the next call; undefined at the end. */
  protected abstract nextPage(): Promise<Uint8Array | undefined>;
  protected abstract release(): Promise<void>;

  /** Where the page after this one begins, as far as that is known without reading it. */
  protected nextBucket(): number {
    return this.bucket;
  }

  async load(): Promise<void> {
    const bytes = await this.nextPage();
    this.isLoaded = bytes !== undefined;
    if (bytes === undefined) {
      this.bucket = Number.POSITIVE_INFINITY;
      return;
    }
    const figures = this.page.load(bytes);
    assert(figures !== undefined, "a source hands out pages");
    this.bucket = figures.firstBucket;
  }

  /** The page was read to its end. */
  exhausted(): void {
    this.isLoaded = false;
    this.bucket = this.nextBucket();
  }

  async close(): Promise<void> {
    this.page.free();
    await this.release();
  }
}

export class MemtableSource extends Source {
  readonly #reader: MemtableReader;

  constructor(spec: Extract<SourceSpec, { kind: "memtable" }>, low: bigint, high: bigint) {
    super();
    this.#reader = new MemtableReader(spec.pointer, spec.from, spec.count, low, high);
  }

  protected nextPage(): Promise<Uint8Array | undefined> {
    return Promise.resolve(this.#reader.next(READ_PAGE_BYTES));
  }

  protected async release(): Promise<void> {
    this.#reader.free();
  }
}

export class SegmentSource extends Source {
  readonly #disk: Disk;
  readonly #path: string;
  readonly #seed: number;
  readonly #blocks: Extract<SourceSpec, { kind: "segment" }>["blocks"];
  #next = 0;
  #file: DiskFile | undefined;

  constructor(disk: Disk, spec: Extract<SourceSpec, { kind: "segment" }>, low: bigint, high: bigint) {
    super();
    this.#disk = disk;
    this.#path = spec.path;
    this.#seed = seedOf(spec.id);
    this.#blocks = spec.blocks.filter((block) => block.keyMin <= high && block.keyMax >= low);
    this.bucket = this.nextBucket();
  }

  protected override nextBucket(): number {
    return this.#blocks[this.#next]?.firstBucket ?? Number.POSITIVE_INFINITY;
  }

  protected async nextPage(): Promise<Uint8Array | undefined> {
    const block = this.#blocks[this.#next++];
    if (block === undefined) return undefined;
    this.#file ??= await this.#disk.open(this.#path, "read");
    return readBlock(this.#file, this.#path, this.#seed, block);
  }

  protected async release(): Promise<void> {
    await this.#file?.close();
  }
}

/** Reads a file front to back in chunks, handing on what could not be used yet together with what follows. */
export class ChunkReader {
  readonly #file: DiskFile;
  readonly #end: number;
  #offset = 0;
  #kept: Uint8Array = new Uint8Array(0);

  constructor(file: DiskFile, end: number) {
    this.#file = file;
    this.#end = end;
  }

  /** What is there from the first unused byte on, with more behind it if `wantsMore`. */
  async next(wantsMore: boolean): Promise<{ bytes: Uint8Array; isLast: boolean }> {
    if (wantsMore && this.#offset < this.#end) {
      const length = Math.min(READ_PAGE_BYTES, this.#end - this.#offset);
      const bytes = newBuffer(this.#kept.byteLength + length);
      bytes.set(this.#kept);
      const count = await this.#file.read(bytes.subarray(this.#kept.byteLength), this.#offset);
      this.#offset = count < length ? this.#end : this.#offset + count;
      this.#kept = bytes.subarray(0, this.#kept.byteLength + count);
    }
    return { bytes: this.#kept, isLast: this.#offset >= this.#end };
  }

  used(length: number): void {
    this.#kept = this.#kept.subarray(length);
  }
}
