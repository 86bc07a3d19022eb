/**
 * The C reader of logs (native/blocks/log-reader.h): bytes of a log in, writes out.
 *
 * Invariant: one call for each chunk, whatever its length; the writes of a log stay in C, 40 bytes each.
 */
import { FFIType, type Pointer, toArrayBuffer } from "bun:ffi";
import { addressable } from "./addressable.ts";
import { OwnedBuffer } from "./blocks.ts";
import { NativeBuffer } from "./buffer.ts";
import { linked } from "./library.ts";

const symbols = {
  nx_log_reader_new: { args: ["u32", "u32", "u64"], returns: "ptr" },
  nx_log_reader_free: { args: ["ptr"], returns: "void" },
  nx_log_reader_begin_packs: { args: ["ptr", "u32", "u32"], returns: "void" },
  nx_log_reader_in_place: { args: ["ptr"], returns: "void" },
  nx_log_reader_trust: { args: ["ptr"], returns: "void" },
  nx_log_stretches: { args: ["ptr", "u32", "ptr"], returns: "void" },
  nx_log_reader_state: { args: ["ptr"], returns: "ptr" },
  nx_log_reader_out: { args: ["ptr"], returns: "ptr" },
  nx_log_feed: { args: ["ptr", "ptr", "u64", "u64"], returns: "u32" },
  nx_log_add_image: { args: ["ptr", "u64", "ptr", "u64", "u32"], returns: "void" },
  nx_log_index: { args: ["ptr", "u32"], returns: FFIType.u64_fast },
  nx_log_runs: { args: ["ptr", "ptr", "ptr"], returns: FFIType.u64_fast },
} as const;

const library = linked(symbols);

/** Positions of nx_log_state's words. */
const S = {
  phase: 0,
  failure: 1,
  lsid: 2,
  firstLsid: 3,
  salt: 4,
  physicalBytes: 5,
  failedLsid: 6,
  failedRecord: 7,
  packs: 8,
  writes: 9,
  normalBlocks: 10,
  zeroBlocks: 11,
  discardBlocks: 12,
  paddingPhysical: 13,
  endBlocks: 14,
  outOffset: 15,
  normalWrites: 16,
  discardWrites: 17,
  uuid: 18,
  visible: 20,
  visibleBlocks: 21,
  count: 22,
} as const;

const phases = ["fileHeader", "packHeader", "data", "ended", "failed"] as const;
export type LogPhase = (typeof phases)[number];

const failures = ["none", "fileHeader", "packHeader", "data", "otherHistory", "notConsecutive"] as const;
export type LogFailure = (typeof failures)[number];

export interface LogCounts {
  packs: number;
  /** Zero writes and discards count, padding does not. */
  writes: number;
  normalWrites: number;
  discardWrites: number;
  normalBlocks: number;
  zeroBlocks: number;
  discardBlocks: number;
  paddingPhysical: number;
  /** Behind the last block that is written to. */
  endBlocks: number;
}

/** A stretch of an image: what is written there. */
export interface Run {
  address: number;
  blocks: number;
  kind: "normal" | "zero" | "discard";
  /** Where its bytes begin in the data beside it; only normal ones have some. */
  data: number;
}

const runKinds = { 0: "normal", 2: "zero", 4: "discard" } as const;

/** The nx_run structs of a buffer of C's. */
export function runsOf(bytes: Uint8Array): Run[] {
  const words = new BigUint64Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 8);
  const runs: Run[] = new Array(words.length / 4);
  for (let index = 0, at = 0; at < words.length; index++, at += 4) {
    runs[index] = {
      address: Number(words[at]),
      blocks: Number(words[at + 1]),
      kind: runKinds[Number(words[at + 2]) as keyof typeof runKinds],
      data: Number(words[at + 3]),
    };
  }
  return runs;
}

export interface LogReaderOptions {
  /** Compression of the images, by its number. */
  codec: number;
  level: number;
  /** Where the first image goes in the file. */
  outOffset: number;
}

/** Reads a log in chunks. `free` it. */
export class LogReader {
  readonly #reader: Pointer;
  readonly #words: BigUint64Array;
  /** Stored images that wait to be written. */
  readonly out: NativeBuffer;

  constructor({ codec, level, outOffset }: LogReaderOptions) {
    const { nx_log_reader_new: create, nx_log_reader_state: state, nx_log_reader_out: out } = library();
    this.#reader = create(codec, level, outOffset) as Pointer;
    this.#words = new BigUint64Array(toArrayBuffer(state(this.#reader) as Pointer, 0, S.count * 8));
    this.out = new NativeBuffer(out(this.#reader) as Pointer);
  }

  /** The log has no file header: only packs follow. */
  beginPacks(salt: number, physicalBytes: number): void {
    library().nx_log_reader_begin_packs(this.#reader, salt, physicalBytes);
  }

  /** Data stays in the log, which is read again for it: nothing goes to `out`. */
  readInPlace(): void {
    library().nx_log_reader_in_place(this.#reader);
  }

  /** The checksums of data are not compared; those of headers are. */
  trustData(): void {
    library().nx_log_reader_trust(this.#reader);
  }

  /** C's handle, for what takes the writes over. */
  get handle(): Pointer {
    return this.#reader;
  }

  /** What is visible of a log that is read in place, as stretches to copy; the writes are forgotten. */
  stretches(withDiscards: boolean, into: NativeBuffer): void {
    library().nx_log_stretches(this.#reader, withDiscards ? 1 : 0, into.pointer);
  }

  /** What `stretches` has told of so far. */
  get visible(): { writes: number; blocks: number } {
    return { writes: Number(this.#words[S.visible]), blocks: Number(this.#words[S.visibleBlocks]) };
  }

  /** Takes all bytes. With `snappyBytes` they are one snappy block of that content. */
  feed(bytes: Uint8Array, snappyBytes = 0): LogPhase {
    const { nx_log_feed: feed } = library();
    return phases[feed(this.#reader, addressable(bytes), bytes.byteLength, snappyBytes)] as LogPhase;
  }

  /** Takes a part of an image as if it had been written in pieces of `ioBlocks`; whole blocks only. */
  addImage(address: number, bytes: Uint8Array, ioBlocks: number): void {
    if (bytes.byteLength === 0) return;
    library().nx_log_add_image(this.#reader, address, bytes, bytes.byteLength, ioBlocks);
  }

  /** The bytes in `out` went to the file: what follows goes behind them. */
  taken(): void {
    this.#words[S.outOffset] = (this.#words[S.outOffset] as bigint) + BigInt(this.out.length);
    this.out.clear();
  }

  /**
   * Appends to `out` what ends an indexed diff; returns its number of index records. Of at most `blocksMax` blocks each
   * (a power of two), or whole with 0.
   */
  index(blocksMax: number): number {
    return Number(library().nx_log_index(this.#reader, blocksMax));
  }

  /** What is visible of the writes since the last call; returns how many of them are. Only without compression. */
  runs(runs: OwnedBuffer, data: OwnedBuffer): number {
    return Number(library().nx_log_runs(this.#reader, runs.pointer, data.pointer));
  }

  #number(word: number): number {
    return Number(this.#words[word]);
  }

  get phase(): LogPhase {
    return phases[this.#number(S.phase)] as LogPhase;
  }

  get failure(): LogFailure {
    return failures[this.#number(S.failure)] as LogFailure;
  }

  /** Of the pack that is damaged, and which of its records. */
  get failedAt(): { lsid: bigint; record: number } {
    return { lsid: this.#words[S.failedLsid] as bigint, record: this.#number(S.failedRecord) };
  }

  /** Where the log ends so far. */
  get lsid(): bigint {
    return this.#words[S.lsid] as bigint;
  }

  get firstLsid(): bigint {
    return this.#words[S.firstLsid] as bigint;
  }

  get salt(): number {
    return this.#number(S.salt);
  }

  get physicalBytes(): number {
    return this.#number(S.physicalBytes);
  }

  get uuid(): Uint8Array {
    return new Uint8Array(this.#words.buffer, S.uuid * 8, 16).slice();
  }

  get outOffset(): number {
    return this.#number(S.outOffset);
  }

  get counts(): LogCounts {
    return {
      packs: this.#number(S.packs),
      writes: this.#number(S.writes),
      normalWrites: this.#number(S.normalWrites),
      discardWrites: this.#number(S.discardWrites),
      normalBlocks: this.#number(S.normalBlocks),
      zeroBlocks: this.#number(S.zeroBlocks),
      discardBlocks: this.#number(S.discardBlocks),
      paddingPhysical: this.#number(S.paddingPhysical),
      endBlocks: this.#number(S.endBlocks),
    };
  }

  free(): void {
    library().nx_log_reader_free(this.#reader);
  }
}
