/**
 * Pages of records (native/logfiles/page.h), from memtables and bucket files, as TypeScript objects.
 *
 * Invariant: each object owns its memory in C and must be freed; views are good until the object's next call.
 */
import type { Pointer } from "bun:ffi";
import { addressable } from "../addressable.ts";
import { NativeBuffer } from "../buffer.ts";
import type { MemtablePointer } from "./logs.ts";
import { logfilesLibrary } from "./symbols.ts";

class OwnBuffer extends NativeBuffer {
  constructor() {
    super(logfilesLibrary().nx_ffi_buffer_new() as Pointer);
  }

  free(): void {
    logfilesLibrary().nx_ffi_buffer_free(this.pointer);
  }
}

export interface PageFigures {
  records: number;
  keyMin: bigint;
  keyMax: bigint;
  /** key >> 12 of the first and of the last record. */
  firstBucket: number;
  lastBucket: number;
  valueBytes: number;
}

/** A page that is being read. */
export class Page {
  readonly pointer = logfilesLibrary().nx_ffi_page_new() as Pointer;
  readonly #figures = new BigUint64Array(5);

  /** What it holds, or undefined when the bytes are no page. */
  load(bytes: Uint8Array): PageFigures | undefined {
    const { nx_ffi_page_load: load } = logfilesLibrary();
    const records = Number(load(this.pointer, addressable(bytes), BigInt(bytes.byteLength), this.#figures));
    if (records < 0) return undefined;
    const [keyMin = 0n, keyMax = 0n, firstBucket = 0n, lastBucket = 0n, valueBytes = 0n] = this.#figures;
    return {
      records,
      keyMin,
      keyMax,
      firstBucket: Number(firstBucket),
      lastBucket: Number(lastBucket),
      valueBytes: Number(valueBytes),
    };
  }

  /** key >> 12 of the next record; -1 at the end. */
  get bucket(): number {
    return Number(logfilesLibrary().nx_ffi_page_bucket(this.pointer));
  }

  free(): void {
    logfilesLibrary().nx_ffi_page_free(this.pointer);
  }
}

/** A range of records of a memtable, chosen by number and by key, as pages. */
export class MemtableReader {
  readonly #reader: Pointer;
  readonly #out = new OwnBuffer();

  constructor(memtable: MemtablePointer, from: number, count: number, low: bigint, high: bigint) {
    const { nx_ffi_memtable_reader_new: make } = logfilesLibrary();
    this.#reader = make(memtable, BigInt(from), BigInt(count), low, high) as Pointer;
  }

  /** The next page, of about `bytesTarget`; undefined at the end. */
  next(bytesTarget: number): Uint8Array | undefined {
    const { nx_ffi_memtable_reader_next: next } = logfilesLibrary();
    const records = Number(next(this.#reader, BigInt(bytesTarget), this.#out.pointer));
    return records === 0 ? undefined : this.#out.view();
  }

  free(): void {
    logfilesLibrary().nx_ffi_memtable_reader_free(this.#reader);
    this.#out.free();
  }
}

/** Positions of nx_bucket_reader's words. */
const B = {
  bucket: 0,
  low: 1,
  high: 2,
  isStrict: 3,
  version: 4,
  offset: 5,
  state: 6,
  records: 7,
  valueBytes: 8,
  foreign: 9,
  count: 10,
} as const;

/** Why reading a bucket file ended; the order of native/logfiles/bucket.h. */
export const bucketEnds = [
  "whole",
  "short header",
  "short value",
  "parity",
  "length",
  "foreign key",
] as const;
export type BucketEnd = (typeof bucketEnds)[number];

export interface BucketOptions {
  /** key >> 12 of all its records. */
  bucket: number;
  low?: bigint;
  high?: bigint;
  /** A key of another bucket ends the reading; otherwise such a record is skipped and counted. */
  isStrict?: boolean;
}

/** Reads one bucket file, chunk by chunk, into pages. */
export class BucketReader {
  readonly #words = new BigUint64Array(new ArrayBuffer(B.count * 8));
  readonly #builder = logfilesLibrary().nx_ffi_builder_new() as Pointer;
  readonly #out = new OwnBuffer();

  constructor({ bucket, low = 0n, high = 0xffff_ffff_ffff_ffffn, isStrict = false }: BucketOptions) {
    this.#words[B.bucket] = BigInt(bucket);
    this.#words[B.low] = low;
    this.#words[B.high] = high;
    this.#words[B.isStrict] = isStrict ? 1n : 0n;
  }

  /** `bytes` continue the file at `offset`. Returns how many were taken; the rest must come again with more behind. */
  read(bytes: Uint8Array, isLast: boolean, bytesTarget: number, wantsRecords = true): number {
    const { nx_ffi_bucket_read: read } = logfilesLibrary();
    const builder = wantsRecords ? this.#builder : null;
    const length = BigInt(bytes.byteLength);
    return Number(read(this.#words, addressable(bytes), length, isLast, BigInt(bytesTarget), builder));
  }

  /** The records read since the last page; undefined when there are none. */
  page(): Uint8Array | undefined {
    const records = Number(logfilesLibrary().nx_ffi_builder_finish(this.#builder, this.#out.pointer));
    return records === 0 ? undefined : this.#out.view();
  }

  #word(place: number): number {
    return Number(this.#words[place]);
  }

  get end(): BucketEnd {
    return bucketEnds[this.#word(B.state)] as BucketEnd;
  }

  /** Of the format: 1, or 0 for legacy. */
  get version(): number {
    return this.#word(B.version);
  }

  /** Behind the last whole record. */
  get offset(): number {
    return this.#word(B.offset);
  }

  get records(): number {
    return this.#word(B.records);
  }

  get valueBytes(): number {
    return this.#word(B.valueBytes);
  }

  get foreign(): number {
    return this.#word(B.foreign);
  }

  free(): void {
    logfilesLibrary().nx_ffi_builder_free(this.#builder);
    this.#out.free();
  }
}

/** Turns pages into the bytes of bucket files. */
export class BucketWriter {
  readonly #out = new OwnBuffer();
  readonly #figures = new BigUint64Array(1);

  /** What a new file begins with. */
  begin(): void {
    logfilesLibrary().nx_ffi_bucket_header(this.#out.pointer);
  }

  /** Appends the page's next records, as long as they are of `bucket`; returns how many. */
  append(page: Page, bucket: number, version: number): number {
    const { nx_ffi_page_to_bucket: append } = logfilesLibrary();
    return Number(append(page.pointer, BigInt(bucket), BigInt(version), this.#out.pointer, this.#figures));
  }

  /** A copy of what was appended, which is then forgotten. */
  take(): Uint8Array {
    return this.#out.take();
  }

  free(): void {
    this.#out.free();
  }
}
