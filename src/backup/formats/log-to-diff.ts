/**
 * A log becomes a diff: what is left of its writes when the later ones have won.
 *
 * Invariant: padding vanishes, a discard stays a discard, data of zeros becomes an all-zero record. A log that is damaged
 * or cut makes no diff. Memory: 40 bytes for each write of the log, and a chunk of data.
 */
import { NxError } from "../../core/errors.ts";
import type { Disk } from "../../core/seams/disk.ts";
import type { Random } from "../../core/seams/random.ts";
import { WDIFF_HEADER_BYTES, writeWdiffHeader } from "../../native/blocks.ts";
import { LogReader } from "../../native/log-reader.ts";
import { type ByteSink, Spool } from "./bytes.ts";
import type { Compression } from "./compression.ts";
import { openDiff, writeMerged } from "./diff-merge.ts";

/** Blocks of the longest record where nothing else is asked for: 1 MiB. */
export const RECORD_BLOCKS_MAX = 2048;

const failureTexts = {
  none: "",
  fileHeader: "WlogFileHeader:invalid",
  packHeader: "the pack header is damaged",
  data: "invalid log IO",
  otherHistory: "the next file is of another log: its uuid or salt differs",
  notConsecutive: "the next file does not begin where the last one ended",
} as const;

/** What is wrong with a log, as an error. */
export function logError(name: string, reader: LogReader): NxError {
  const { failure, failedAt } = reader;
  const record = failure === "data" ? ` record ${failedAt.record}` : "";
  const where = failure === "fileHeader" ? "" : ` (pack at lsid ${failedAt.lsid}${record})`;
  return new NxError("NX_DATA_CORRUPT", `${name}: ${failureTexts[failure]}${where}`, {
    hint: "read the log again from where it comes from; nothing behind this place was used",
  });
}

/** Throws unless the log ended with its end mark. */
export function assertEnded(name: string, reader: LogReader): void {
  if (reader.phase === "ended") return;
  throw new NxError("NX_DATA_CORRUPT", `${name} is cut short: no end mark behind lsid ${reader.lsid}`, {
    hint: "the log was not written to its end; read it again from where it comes from",
  });
}

export interface Converted {
  /** Where the log ended. */
  endLsid: bigint;
  firstLsid: bigint;
  uuid: Uint8Array;
  writes: number;
  /** Records of the diff. */
  records: number;
}

/** The largest power of two of blocks, at most 2048, that is not above `blocks`; 0 means no wish. */
export function indexBlocksMax(blocks: number): number {
  if (blocks === 0 || blocks >= RECORD_BLOCKS_MAX) return RECORD_BLOCKS_MAX;
  return 2 ** Math.floor(Math.log2(blocks));
}

/** Feeds a log into `reader` and hands its images on; calls `onHeader` once, before the first image. */
async function feedAll(
  name: string,
  log: AsyncIterable<Uint8Array>,
  reader: LogReader,
  sink: ByteSink,
): Promise<void> {
  let hasHeader = false;
  for await (const chunk of log) {
    if (reader.feed(chunk) === "failed") throw logError(name, reader);
    if (!hasHeader && reader.phase !== "fileHeader") {
      hasHeader = true;
      await sink.append(writeWdiffHeader("indexed", reader.uuid));
    }
    if (reader.out.length === 0) continue;
    await sink.append(reader.out.view());
    reader.taken();
  }
  assertEnded(name, reader);
}

export interface IndexedOptions {
  compression: Compression;
  /** Longest record; a power of two, or 0 for pieces of any length, which only our own merge may read. */
  blocksMax: number;
}

/** Makes an indexed diff, in one pass. */
export async function logToIndexedDiff(
  name: string,
  log: AsyncIterable<Uint8Array>,
  sink: ByteSink,
  { compression, blocksMax }: IndexedOptions,
): Promise<Converted> {
  const { id: codec, level } = compression;
  const reader = new LogReader({ codec, level, outOffset: WDIFF_HEADER_BYTES });
  try {
    await feedAll(name, log, reader, sink);
    const { writes } = reader.counts;
    const records = reader.index(blocksMax);
    await sink.append(reader.out.view());
    const { lsid: endLsid, firstLsid, uuid } = reader;
    return { endLsid, firstLsid, uuid, writes, records };
  } finally {
    reader.free();
  }
}

export interface SortedOptions {
  compression: Compression;
  /** Longest record; 0 for any length. */
  blocksMax: number;
  disk: Disk;
  random: Random;
  /** Where images go that do not fit into memory. */
  spoolDirectory: string;
}

/** Makes a sorted diff: images are spooled, then merged in the order of addresses. */
export async function logToSortedDiff(
  name: string,
  log: AsyncIterable<Uint8Array>,
  sink: ByteSink,
  options: SortedOptions,
): Promise<Converted> {
  const { compression, blocksMax, disk, random, spoolDirectory } = options;
  const spool = new Spool(disk, random, spoolDirectory);
  try {
    const converted = await logToIndexedDiff(name, log, spool, { compression, blocksMax: 0 });
    const diff = await openDiff(spool.source(name));
    const { output } = await writeMerged([diff], converted.uuid, sink, { compression, blocksMax });
    return { ...converted, records: output.normal + output.zero + output.discard };
  } finally {
    await spool.close();
  }
}
