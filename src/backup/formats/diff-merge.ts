/**
 * Diffs as sources, and their merge: any number of them, oldest first, into sorted packs or into stretches of an image.
 *
 * Invariant: memory does not depend on the length of the inputs (native/blocks/merge.h says what it depends on), and
 * nothing that is damaged is handed out: a wrong checksum ends the merge with the file and the offset.
 */
import { NxError } from "../../core/errors.ts";
import {
  readWdiffHeader,
  readWdiffTrailer,
  WDIFF_HEADER_BYTES,
  WDIFF_TRAILER_BYTES,
  writeWdiffHeader,
} from "../../native/blocks.ts";
import { type DiffCounts, DiffMerge } from "../../native/diff-merge.ts";
import { type Run, runsOf } from "../../native/log-reader.ts";
import { type ByteSink, type ByteSource, CHUNK_BYTES } from "./bytes.ts";
import type { Compression } from "./compression.ts";

/** A diff whose header was read. */
export interface Diff {
  source: ByteSource;
  type: "sorted" | "indexed";
  uuid: Uint8Array;
  /** Of an indexed one. */
  indexOffset: number;
  records: number;
}

export interface MergeResult {
  inputs: DiffCounts;
  output: DiffCounts;
  /** Behind the last block that is written to. */
  endBlocks: number;
}

export function damaged(name: string, offset: number, what: string): NxError {
  return new NxError("NX_DATA_CORRUPT", `${name} is damaged at byte ${offset}: ${what}`, {
    hint: "take the file from a replica or a backup; nothing of it was used from there on",
  });
}

async function readWhole(
  source: ByteSource,
  bytes: number,
  offset: number,
  what: string,
): Promise<Uint8Array> {
  const target = new Uint8Array(bytes);
  if ((await source.read(target, offset)) < bytes) throw damaged(source.name, offset, `${what} is cut short`);
  return target;
}

/** Reads the header (and the trailer of an indexed diff). Throws NX_DATA_CORRUPT. */
export async function openDiff(source: ByteSource): Promise<Diff> {
  const header = readWdiffHeader(await readWhole(source, WDIFF_HEADER_BYTES, 0, "the file header"));
  if (header === undefined) throw damaged(source.name, 0, "this is no header of a diff");
  if (header.type === "sorted") return { ...header, source, indexOffset: 0, records: 0 };
  if (source.bytes === Number.MAX_SAFE_INTEGER) {
    throw new NxError("NX_USAGE", `${source.name}: an indexed diff cannot be read from a pipe`, {
      hint: "its index is at its end: give the file's name",
    });
  }
  const at = source.bytes - WDIFF_TRAILER_BYTES;
  const trailer =
    at < WDIFF_HEADER_BYTES
      ? undefined
      : readWdiffTrailer(await readWhole(source, WDIFF_TRAILER_BYTES, at, "the trailer"));
  if (trailer === undefined || trailer.indexOffset + trailer.records * 48 !== at)
    throw damaged(source.name, Math.max(0, at), "the trailer does not fit the file");
  return { ...header, source, ...trailer };
}

const WINDOW_BYTES_MAX = 1 << 20;
const WINDOW_BYTES_MIN = 32 << 10;
const WINDOWS_BYTES = 24 << 20;

function mergeOf(diffs: readonly Diff[], form: "packs" | "runs", options: PackOptions): DiffMerge {
  const share = Math.floor(WINDOWS_BYTES / Math.max(1, diffs.length));
  const merge = new DiffMerge({
    form,
    inputs: diffs.length,
    codec: options.compression.id,
    level: options.compression.level,
    blocksMax: options.blocksMax,
    readyBytes: options.isEachPack === true ? 0 : (options.readyBytes ?? CHUNK_BYTES),
    windowBytes: Math.max(WINDOW_BYTES_MIN, Math.min(WINDOW_BYTES_MAX, share)),
  });
  diffs.forEach(({ type, source, indexOffset, records }, index) => {
    if (type === "sorted") merge.addSorted(index, source.bytes);
    else merge.addIndexed(index, source.bytes, indexOffset, records);
  });
  return merge;
}

/** Reads what the merge asks for until something is ready. False at the end. */
async function advance(merge: DiffMerge, diffs: readonly Diff[]): Promise<boolean> {
  for (;;) {
    const step = merge.step();
    if (step === "ready") return true;
    if (step === "end") return false;
    if (step === "damaged") {
      const { input, offset } = merge.damage;
      throw damaged((diffs[input] as Diff).source.name, offset, "a record or its data fails its checksum");
    }
    const { input, offset, minimum, target } = merge.need;
    const { source } = diffs[input] as Diff;
    const count = await source.read(target, offset);
    if (count < minimum) throw damaged(source.name, offset + count, "the file ends too early");
    merge.filled(count);
  }
}

function resultOf(merge: DiffMerge): MergeResult {
  return { inputs: merge.inCounts, output: merge.outCounts, endBlocks: merge.endBlocks };
}

export interface PackOptions {
  compression: Compression;
  /** Longer records are split; 0 leaves them. */
  blocksMax: number;
  /** Hands out packs one by one. */
  isEachPack?: boolean;
  /** About how much comes out at once. */
  readyBytes?: number;
  /** Told at the end. */
  onResult?(result: MergeResult): void;
}

/** The merge as sorted packs, without file header and end pack. Each part is valid until the next. */
export async function* mergedPacks(diffs: readonly Diff[], options: PackOptions): AsyncGenerator<Uint8Array> {
  const merge = mergeOf(diffs, "packs", options);
  try {
    while (await advance(merge, diffs)) yield merge.out.view();
    options.onResult?.(resultOf(merge));
  } finally {
    merge.free();
  }
}

export interface Runs {
  runs: Run[];
  data: Uint8Array;
}

export interface RunOptions {
  /** About how much comes out at once. */
  readyBytes?: number;
  onResult?(result: MergeResult): void;
}

/** What the merge leaves in an image, in rising order of addresses. Each part is valid until the next. */
export async function* mergedRuns(diffs: readonly Diff[], options: RunOptions = {}): AsyncGenerator<Runs> {
  const merge = mergeOf(diffs, "runs", {
    compression: { id: 0, level: 0, threads: 1 },
    blocksMax: 0,
    ...options,
  });
  try {
    while (await advance(merge, diffs)) yield { runs: runsOf(merge.runs.view()), data: merge.out.view() };
    options.onResult?.(resultOf(merge));
  } finally {
    merge.free();
  }
}

const END_PACK_BYTES = 4096;

/** What a sorted diff ends with. */
export function endPack(): Uint8Array {
  const pack = new Uint8Array(END_PACK_BYTES);
  pack.set([0, 0, 0xff, 0xff, 0, 0, 1]);
  return pack;
}

/** Writes the merge as one sorted diff. */
export async function writeMerged(
  diffs: readonly Diff[],
  uuid: Uint8Array,
  sink: ByteSink,
  options: PackOptions,
): Promise<MergeResult> {
  let result: MergeResult | undefined;
  await sink.append(writeWdiffHeader("sorted", uuid));
  for await (const packs of mergedPacks(diffs, { ...options, onResult: (each) => (result = each) }))
    await sink.append(packs);
  await sink.append(endPack());
  return result as MergeResult;
}
