/**
 * The bucket files of a channel as a source of a scan.
 *
 * Records that a flush appends while a scan runs are in a memtable of that scan already. So a flush says what it is
 * about to append to (`BucketAppends`), and a scan reads such a file only as far as it went before.
 *
 * A file that is damaged or shorter than a header ends there, and the next one follows, as the originals do it.
 */
import { errnoOf } from "../../../core/errors.ts";
import type { Disk, DiskFile } from "../../../core/seams/disk.ts";
import { BucketReader } from "../../../native/logfiles/pages.ts";
import type { SourceSpec } from "../scan/request.ts";
import { ChunkReader, READ_PAGE_BYTES, Source } from "../scan/source.ts";
import { bucketPath, parseBucket, parseSlot } from "./names.ts";

/** Sizes of bucket files, by path under the data directory, before something was appended. */
export type SizesBefore = Map<string, number>;

/** What flushes append to, told to the scans that run in the same thread. */
export class BucketAppends {
  readonly #flushes = new Map<number, SizesBefore>();
  readonly #readers = new Set<SizesBefore>();

  begin(flush: number): void {
    this.#flushes.set(flush, new Map());
  }

  /** To be called before anything is appended to `path`. */
  announce(flush: number, path: string, sizeBefore: number): void {
    for (const sizes of [this.#flushes.get(flush), ...this.#readers])
      if (sizes !== undefined && !sizes.has(path)) sizes.set(path, sizeBefore);
  }

  /** No later scan will have the records of this flush in a memtable. */
  forget(flush: number): void {
    this.#flushes.delete(flush);
  }

  /** The sizes that a scan must respect, kept up until `leave`. */
  join(flushes: readonly number[]): SizesBefore {
    const sizes: SizesBefore = new Map();
    for (const flush of flushes)
      for (const [path, size] of this.#flushes.get(flush) ?? []) if (!sizes.has(path)) sizes.set(path, size);
    this.#readers.add(sizes);
    return sizes;
  }

  leave(sizes: SizesBefore): void {
    this.#readers.delete(sizes);
  }
}

async function list(disk: Disk, path: string): Promise<{ name: string; kind: string }[]> {
  try {
    return await disk.list(path);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw error;
  }
}

/** The bucket files of a channel with their numbers, ascending, from `first` to `last`. */
export async function* bucketsOf(disk: Disk, directory: string, first: number, last: number) {
  const slots = (await list(disk, directory)).filter(({ kind }) => kind === "directory");
  for (const { name } of slots) {
    const slot = parseSlot(name);
    if (slot === undefined || slot < Math.floor(first / 4096) || slot > Math.floor(last / 4096)) continue;
    for (const entry of await list(disk, `${directory}/${name}`)) {
      const bucket = entry.kind === "file" ? parseBucket(slot, entry.name) : undefined;
      if (bucket !== undefined && bucket >= first && bucket <= last) yield bucket;
    }
  }
}

interface OpenBucket {
  file: DiskFile;
  chunks: ChunkReader;
  reader: BucketReader;
  wantsMore: boolean;
}

export class BucketsSource extends Source {
  readonly #disk: Disk;
  readonly #appends: BucketAppends;
  readonly #directory: string;
  readonly #range: { low: bigint; high: bigint };
  readonly #buckets: AsyncGenerator<number>;
  readonly #sizes: SizesBefore;
  #open: OpenBucket | undefined;

  constructor(
    disk: Disk,
    appends: BucketAppends,
    spec: Extract<SourceSpec, { kind: "buckets" }>,
    low: bigint,
    high: bigint,
  ) {
    super();
    this.#disk = disk;
    this.#appends = appends;
    this.#directory = spec.directory;
    this.#range = { low, high };
    this.bucket = Number(low >> 12n);
    this.#buckets = bucketsOf(disk, spec.directory, this.bucket, Number(high >> 12n));
    this.#sizes = appends.join(spec.flushes);
  }

  protected async nextPage(): Promise<Uint8Array | undefined> {
    for (;;) {
      this.#open ??= await this.#openNext();
      if (this.#open === undefined) return undefined;
      const page = await this.#read(this.#open);
      if (page !== undefined) return page;
    }
  }

  async #openNext(): Promise<OpenBucket | undefined> {
    const next = await this.#buckets.next();
    if (next.done === true) return undefined;
    const path = `${this.#directory}/${bucketPath(next.value)}`;
    const file = await this.#disk.open(path, "read");
    const size = await file.size();
    const end = Math.min(size, this.#sizes.get(path) ?? size);
    const reader = new BucketReader({ bucket: next.value, ...this.#range });
    return { file, reader, chunks: new ChunkReader(file, end), wantsMore: true };
  }

  /** A page of the open file; closes the file at its end. */
  async #read(open: OpenBucket): Promise<Uint8Array | undefined> {
    for (;;) {
      const { bytes, isLast } = await open.chunks.next(open.wantsMore);
      const used = open.reader.read(bytes, isLast, READ_PAGE_BYTES);
      open.chunks.used(used);
      const page = open.reader.page();
      // A full page may have left whole records behind; otherwise more of the file is needed.
      open.wantsMore = page === undefined || used < bytes.byteLength / 2;
      if (page !== undefined) return page;
      if (open.reader.end !== "whole" || isLast) break;
    }
    await this.#closeFile();
    return undefined;
  }

  async #closeFile(): Promise<void> {
    this.#open?.reader.free();
    await this.#open?.file.close();
    this.#open = undefined;
  }

  protected async release(): Promise<void> {
    this.#appends.leave(this.#sizes);
    await this.#closeFile();
  }
}
