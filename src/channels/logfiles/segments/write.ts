/**
 * Writes one segment, page by page.
 *
 * Invariant: `finish` resolves when the whole file is synced under its temporary name; who called gives it its name. A
 * failure leaves no file behind.
 */
import { Compressor } from "zstd-napi";
import { newBuffer } from "../../../core/append-log/frame.ts";
import { discard } from "../../../core/append-log/segment.ts";
import { assert } from "../../../core/errors.ts";
import type { Disk, DiskFile } from "../../../core/seams/disk.ts";
import { Page } from "../../../native/logfiles/pages.ts";
import {
  BLOCK_HEADER_BYTES,
  type BlockEntry,
  encodeBlockHeader,
  encodeEnd,
  encodeHeader,
  HEADER_BYTES,
  seedOf,
  type SegmentHeader,
  type SegmentTotals,
} from "./format.ts";

/** What is known of a segment without reading its blocks. */
export interface SegmentInfo extends SegmentTotals {
  firstNumber: number;
  endNumber: number;
  id: Uint8Array;
  fileBytes: number;
  blocks: BlockEntry[];
}

const WRITE_BYTES = 1 << 20;

export class SegmentWriter {
  readonly #disk: Disk;
  readonly #path: string;
  readonly #file: DiskFile;
  #header: SegmentHeader;
  readonly #seed: number;
  readonly #compressor = new Compressor();
  readonly #page = new Page();
  readonly #blocks: BlockEntry[] = [];
  readonly #totals: SegmentTotals = { records: 0, valueBytes: 0, keyMin: 2n ** 64n - 1n, keyMax: 0n };
  #gathered: Uint8Array[] = [];
  #gatheredBytes = 0;
  /** Of the file, what is gathered included. */
  #offset = 0;
  #written = 0;

  private constructor(disk: Disk, path: string, file: DiskFile, header: SegmentHeader, level: number) {
    this.#disk = disk;
    this.#path = path;
    this.#file = file;
    this.#header = header;
    this.#seed = seedOf(header.id);
    this.#compressor.setParameters({ compressionLevel: level });
    this.#gather(encodeHeader(header));
  }

  /** `path`: the temporary name; a leftover there is replaced. */
  static async begin(disk: Disk, path: string, header: SegmentHeader, level: number): Promise<SegmentWriter> {
    if (await disk.exists(path)) await disk.remove(path);
    return new SegmentWriter(disk, path, await disk.open(path, "exclusive"), header, level);
  }

  #gather(bytes: Uint8Array): void {
    this.#gathered.push(bytes);
    this.#gatheredBytes += bytes.byteLength;
    this.#offset += bytes.byteLength;
  }

  async #write(): Promise<void> {
    const bytes = newBuffer(this.#gatheredBytes);
    let at = 0;
    for (const part of this.#gathered) {
      bytes.set(part, at);
      at += part.byteLength;
    }
    this.#gathered = [];
    this.#gatheredBytes = 0;
    await this.#file.write(bytes, this.#written);
    this.#written += bytes.byteLength;
  }

  /** Pages come in the order of their buckets. */
  async add(bytes: Uint8Array): Promise<void> {
    const figures = this.#page.load(bytes);
    assert(figures !== undefined, "what is sealed is a page");
    const frame = this.#compressor.compress(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
    const { records, valueBytes, ...keys } = figures;
    const header = { frameBytes: frame.byteLength, pageBytes: bytes.byteLength, records };
    this.#blocks.push({ offset: this.#offset, records, frameBytes: frame.byteLength, ...keys });
    this.#gather(encodeBlockHeader(header, frame, this.#seed));
    this.#gather(frame);
    this.#totals.records += records;
    this.#totals.valueBytes += valueBytes;
    if (keys.keyMin < this.#totals.keyMin) this.#totals.keyMin = keys.keyMin;
    if (keys.keyMax > this.#totals.keyMax) this.#totals.keyMax = keys.keyMax;
    if (this.#gatheredBytes >= WRITE_BYTES) await this.#write();
  }

  /** `countsRecords`: the numbers end behind what was written, however many that was to be. */
  async finish({ countsRecords = false } = {}): Promise<SegmentInfo> {
    assert(this.#offset >= HEADER_BYTES + BLOCK_HEADER_BYTES, "a segment has a block");
    this.#gather(encodeEnd(this.#offset, this.#blocks, this.#totals, this.#seed));
    await this.#write();
    if (countsRecords) await this.#rewriteHeader();
    await this.#file.sync();
    await this.#file.close();
    this.#page.free();
    const { firstNumber, endNumber, id } = this.#header;
    return { firstNumber, endNumber, id, fileBytes: this.#offset, blocks: this.#blocks, ...this.#totals };
  }

  async #rewriteHeader(): Promise<void> {
    const { firstNumber, id } = this.#header;
    this.#header = { firstNumber, id, endNumber: firstNumber + this.#totals.records };
    await this.#file.write(encodeHeader(this.#header), 0);
  }

  /** After a failure. */
  async discard(): Promise<void> {
    this.#page.free();
    await discard(this.#disk, this.#path, this.#file);
  }
}
