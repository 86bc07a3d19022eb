/**
 * Copies the records of a stopped node into a new directory with the other layout (or the same).
 *
 * Invariant: the source is only read; the target appears under its name when everything in it is synced. Every record is
 * there once, in the order in which the node would hand it out.
 */
import { dirname } from "node:path";
import { NxError } from "../../../core/errors.ts";
import { makeDurableDirectory } from "../../../core/seams/durable-files.ts";
import type { Disk } from "../../../core/seams/disk.ts";
import type { Random } from "../../../core/seams/random.ts";
import { BucketWriter, Page } from "../../../native/logfiles/pages.ts";
import { bucketPath, slotName } from "../classic/names.ts";
import { SIZEINFO, writeSizeInfo } from "../classic/sizeinfo.ts";
import { readPieces } from "../scan/scan.ts";
import { segmentName } from "../segments/format.ts";
import { type SegmentInfo, SegmentWriter } from "../segments/write.ts";
import { placeOf } from "./directory.ts";
import { OfflineStore } from "./read.ts";

export interface ConvertOptions {
  disk: Disk;
  random: Random;
  /** A data directory, a directory of channels, or one channel. */
  from: string;
  to: string;
  layout: "segments" | "classic";
  /** Of the target: where its channels are, relative to it. */
  channelsDir: string;
  level: number;
  onProgress(channel: string, records: number): void;
}

export interface Converted {
  channels: { name: string; records: number; valueBytes: number }[];
}

const PAGE_BYTES = 1 << 20;
/** Of one target segment before compression, about. */
const SEGMENT_PAGES_MAX = 512;

/** Takes the pages of one channel, in order. */
interface Target {
  add(page: Uint8Array): Promise<void>;
  finish(): Promise<void>;
}

class SegmentsTarget implements Target {
  readonly #options: ConvertOptions;
  readonly #directory: string;
  #writer: SegmentWriter | undefined;
  #firstNumber = 0;
  #pages = 0;

  constructor(options: ConvertOptions, directory: string) {
    this.#options = options;
    this.#directory = directory;
  }

  async add(page: Uint8Array): Promise<void> {
    const { disk, random, level } = this.#options;
    const header = { firstNumber: this.#firstNumber, endNumber: this.#firstNumber, id: random.bytes(16) };
    this.#writer ??= await SegmentWriter.begin(disk, `${this.#directory}/next.tmp`, header, level);
    await this.#writer.add(page);
    this.#pages += 1;
    if (this.#pages === SEGMENT_PAGES_MAX) await this.finish();
  }

  async finish(): Promise<void> {
    if (this.#writer === undefined) return;
    const info: SegmentInfo = await this.#writer.finish({ countsRecords: true });
    const name = segmentName(info.firstNumber, info.endNumber);
    await this.#options.disk.rename(`${this.#directory}/next.tmp`, `${this.#directory}/${name}`);
    await this.#options.disk.syncDirectory(this.#directory);
    this.#firstNumber = info.endNumber;
    this.#writer = undefined;
    this.#pages = 0;
  }
}

class BucketsTarget implements Target {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #writer = new BucketWriter();
  readonly #page = new Page();
  #bucket: { number: number; offset: number } | undefined;
  readonly #directories = new Set<string>();

  constructor({ disk }: ConvertOptions, directory: string) {
    this.#disk = disk;
    this.#directory = directory;
  }

  async add(bytes: Uint8Array): Promise<void> {
    this.#page.load(bytes);
    for (let number = this.#page.bucket; number >= 0; number = this.#page.bucket) {
      const isNew = this.#bucket?.number !== number;
      const offset = isNew ? 0 : (this.#bucket as { offset: number }).offset;
      if (isNew) {
        this.#writer.begin();
        const slot = `${this.#directory}/${slotName(number)}`;
        if (!this.#directories.has(slot)) await this.#disk.makeDirectory(slot);
        this.#directories.add(slot);
      }
      this.#writer.append(this.#page, number, 1);
      const part = this.#writer.take();
      await this.#write(number, part, offset);
      this.#bucket = { number, offset: offset + part.byteLength };
    }
  }

  async #write(number: number, part: Uint8Array, offset: number): Promise<void> {
    const file = await this.#disk.open(`${this.#directory}/${bucketPath(number)}`, "create");
    try {
      await file.write(part, offset);
      await file.sync();
    } finally {
      await file.close();
    }
  }

  async finish(): Promise<void> {
    for (const path of this.#directories) await this.#disk.syncDirectory(path);
    await this.#disk.syncDirectory(this.#directory);
    this.#writer.free();
    this.#page.free();
  }
}

export async function convert(options: ConvertOptions): Promise<Converted> {
  const { disk, random, from, to, layout, channelsDir } = options;
  if (await disk.exists(to))
    throw new NxError("NX_FILE_EXISTS", `${to} exists already`, {
      hint: "name a directory that does not exist",
    });
  const place = await placeOf(disk, from);
  const source = await OfflineStore.open(disk, random, place);
  const unfinished = `${to}.unfinished`;
  const channels: Converted["channels"] = [];
  try {
    for (const name of source.channels) {
      const directory = `${unfinished}/${channelsDir}/${name}`;
      await makeDurableDirectory(disk, directory);
      const target =
        layout === "segments"
          ? new SegmentsTarget(options, directory)
          : new BucketsTarget(options, directory);
      const total = await copyChannel(options, source, name, target);
      if (layout === "classic") await writeSizeInfo(disk, `${directory}/${SIZEINFO}`, total);
      channels.push({ name, ...total });
    }
  } finally {
    source.close();
  }
  await makeDurableDirectory(disk, unfinished);
  await disk.rename(unfinished, to);
  await disk.syncDirectory(dirname(to));
  return { channels };
}

async function copyChannel(
  { onProgress }: ConvertOptions,
  source: OfflineStore,
  name: string,
  target: Target,
) {
  const total = { records: 0, valueBytes: 0 };
  const page = new Page();
  const { scan, release } = source.scan(name, PAGE_BYTES);
  try {
    await readPieces(scan, async (bytes) => {
      const figures = page.load(bytes);
      total.records += figures?.records ?? 0;
      total.valueBytes += figures?.valueBytes ?? 0;
      await target.add(bytes);
      onProgress(name, total.records);
    });
    await target.finish();
    return total;
  } finally {
    release();
    page.free();
  }
}
