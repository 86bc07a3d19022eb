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
import { LogSort } from "../../native/log-sort.ts";
import { type ByteSink, type ByteSource, Spool } from "./bytes.ts";
import type { Compression } from "./compression.ts";
import { endPack } from "./diff-merge.ts";
import { StretchReader } from "./stretches.ts";

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

/** Feeds a log into `reader` and hands on what `take` wants of each chunk, behind the file's header. */
async function feedAll(
  name: string,
  log: AsyncIterable<Uint8Array>,
  reader: LogReader,
  take: (chunk: Uint8Array) => Promise<void>,
): Promise<void> {
  for await (const chunk of log) {
    if (reader.feed(chunk) === "failed") throw logError(name, reader);
    await take(chunk);
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
    let hasHeader = false;
    await feedAll(name, log, reader, async () => {
      if (!hasHeader && reader.phase !== "fileHeader") {
        hasHeader = true;
        await sink.append(writeWdiffHeader("indexed", reader.uuid));
      }
      if (reader.out.length === 0) return;
      await sink.append(reader.out.view());
      reader.taken();
    });
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

/** Bytes of content that are sorted into packs at a time. */
const BATCH_BYTES = 4 << 20;

/**
 * Makes a sorted diff: the log is read once to see what is visible, and again for that, in the order of addresses. A log
 * that cannot be read again, because it comes through a pipe, is spooled: `source` is then absent.
 */
export async function logToSortedDiff(
  name: string,
  log: AsyncIterable<Uint8Array>,
  sink: ByteSink,
  options: SortedOptions,
  source?: ByteSource,
): Promise<Converted> {
  const { disk, random, spoolDirectory } = options;
  const spool = source === undefined ? new Spool(disk, random, spoolDirectory) : undefined;
  const reader = new LogReader({ codec: 0, level: 0, outOffset: 0 });
  reader.readInPlace();
  try {
    await feedAll(name, log, reader, async (chunk) => await spool?.append(chunk));
    await sink.append(writeWdiffHeader("sorted", reader.uuid));
    const again = source ?? (spool as Spool).source(name);
    const records = await sortInto(name, reader, again, sink, options);
    await sink.append(endPack());
    const { lsid: endLsid, firstLsid, uuid } = reader;
    return { endLsid, firstLsid, uuid, writes: reader.counts.writes, records };
  } finally {
    reader.free();
    await spool?.close();
  }
}

/** Appends the packs of what is visible; while one batch is written, the next is packed. Returns the records. */
async function sortInto(
  name: string,
  reader: LogReader,
  source: ByteSource,
  sink: ByteSink,
  { compression, blocksMax, disk }: SortedOptions,
): Promise<number> {
  const sort = new LogSort(reader, { codec: compression.id, level: compression.level, blocksMax });
  const content = new StretchReader(disk, source);
  let writing: Promise<void> = Promise.resolve();
  try {
    while (sort.next(BATCH_BYTES)) {
      if (!sort.pack(await content.read(sort.stretches, sort.bytes)))
        throw new NxError("NX_DATA_CORRUPT", `${name} has changed while it was read`);
      await writing;
      writing = sink.append(sort.take().view());
      // Its failure is heard before the next is begun.
      writing.catch(() => undefined);
    }
    await writing;
    const last = sort.end();
    if (last.length > 0) await sink.append(last.view());
    return sort.records;
  } finally {
    await writing.catch(() => undefined);
    content.close();
    sort.free();
  }
}
