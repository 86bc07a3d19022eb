/**
 * Replaying a log on an image.
 *
 * Invariant: a pack is written only when all data before it was sound; later writes win, within a part that is gathered
 * as well as from part to part. The image is synced when it resolves. A log that is a file is verified part by part, and what is visible of a part is copied from
 * file to file while the next part is read; one that comes through a pipe is gathered in memory.
 */
import type { Disk } from "../../core/seams/disk.ts";
import { openPair, stretchParts } from "../../core/seams/file-pair.ts";
import { OwnedBuffer } from "../../native/blocks.ts";
import { type LogCounts, LogReader, runsOf } from "../../native/log-reader.ts";
import { type ByteSource, chunksOf } from "./bytes.ts";
import { EarlySync } from "./early-sync.ts";
import { demandStretchesInside, type DiscardRule, ImageWriter, type ImageTarget } from "./image.ts";
import { assertEnded, logError } from "./log-to-diff.ts";

/** Gathered before it is written in the order of addresses: of a pipe the data, of a file only where it is. */
const GATHER_MEMORY_BYTES = 16 << 20;
const GATHER_FILE_BYTES = 256 << 20;
const GATHER_WRITES = 1 << 18;
/** Copied before the disk is told to begin with it. */
const COPY_BYTES = 16 << 20;

export interface Replayed {
  firstLsid: bigint;
  endLsid: bigint;
  counts: LogCounts;
  /** Writes of which something was left to write, and the others. */
  visible: number;
  overwritten: number;
  /** Blocks that were written to. */
  visibleBlocks: number;
}

export interface ReplayOptions {
  rule: DiscardRule;
  disk: Disk;
  /** Data is written as it is, damaged or not. */
  trustsData?: boolean;
  onProgress?(lsid: bigint): void;
}

/** What a part of the log, once verified, is done with. */
interface Part {
  /** So much is gathered before it is flushed. */
  readonly gatherBytes: number;
  /** Writes what was gathered; may leave that under way. */
  flush(): Promise<void>;
  /** Resolves when all is written and synced. */
  finish(): Promise<void>;
  close(): Promise<void>;
  readonly visible: { writes: number; blocks: number };
}

function inPlace(
  source: ByteSource,
  reader: LogReader,
  image: ImageTarget,
  { rule, disk }: ReplayOptions,
): Part {
  const pair = openPair(disk, source.file as NonNullable<ByteSource["file"]>, image.file);
  const early = new EarlySync(image.file);
  const stretches = new OwnedBuffer();
  let copying: Promise<void> = Promise.resolve();
  const copy = async (list: Uint8Array) => {
    for (const part of stretchParts(list, COPY_BYTES)) {
      await pair.copy(part);
      early.begin();
    }
  };
  reader.readInPlace();
  return {
    gatherBytes: GATHER_FILE_BYTES,
    async flush() {
      reader.stretches(rule !== "ignore", stretches);
      demandStretchesInside(stretches.view(), image.blocks);
      await copying;
      copying = copy(stretches.view().slice());
      // Its failure is heard before the next is begun.
      copying.catch(() => undefined);
    },
    async finish() {
      await copying;
      await early.finish();
    },
    async close() {
      await copying.catch(() => undefined);
      await early.settled();
      pair.close();
      stretches.free();
    },
    get visible() {
      return reader.visible;
    },
  };
}

function inMemory(reader: LogReader, image: ImageTarget, { rule, disk }: ReplayOptions): Part {
  const [runs, data] = [new OwnedBuffer(), new OwnedBuffer()];
  const writer = new ImageWriter(disk, image, rule);
  const visible = { writes: 0, blocks: 0 };
  return {
    gatherBytes: GATHER_MEMORY_BYTES,
    async flush() {
      visible.writes += reader.runs(runs, data);
      const stretches = runsOf(runs.view());
      for (const { blocks } of stretches) visible.blocks += blocks;
      await writer.write({ runs: stretches, data: data.view() });
    },
    finish: () => writer.finish(),
    async close() {
      await writer.close();
      runs.free();
      data.free();
    },
    visible,
  };
}

export async function replayLog(
  source: ByteSource,
  image: ImageTarget,
  options: ReplayOptions,
): Promise<Replayed> {
  const reader = new LogReader({ codec: 0, level: 0, outOffset: 0 });
  if (options.trustsData === true) reader.trustData();
  const part =
    source.file === undefined ? inMemory(reader, image, options) : inPlace(source, reader, image, options);
  let [gathered, bytes] = [0, 0];
  const flush = async () => {
    await part.flush();
    [gathered, bytes] = [reader.counts.writes, 0];
    options.onProgress?.(reader.lsid);
  };
  try {
    for await (const chunk of chunksOf(source)) {
      if (reader.feed(chunk) === "failed") throw logError(source.name, reader);
      bytes += chunk.byteLength;
      if (bytes >= part.gatherBytes || reader.counts.writes - gathered >= GATHER_WRITES) await flush();
    }
    assertEnded(source.name, reader);
    await flush();
    await part.finish();
    const { firstLsid, lsid: endLsid, counts } = reader;
    const { writes: visible, blocks: visibleBlocks } = part.visible;
    return { firstLsid, endLsid, counts, visible, overwritten: counts.writes - visible, visibleBlocks };
  } finally {
    await part.close();
    reader.free();
  }
}
