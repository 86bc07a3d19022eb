/**
 * The C codec of dump files (native/tcm.h) as TypeScript objects: one call per chunk, no garbage per record.
 *
 * Invariant: the blocks that C and TypeScript share are 64-bit words in buffers of their own, in the order of the
 * structs in native/tcm.h; C keeps no address between calls.
 */
import { FFIType, type Pointer } from "bun:ffi";
import { assert } from "../core/errors.ts";
import { NativeBuffer } from "./buffer.ts";
import { linked } from "./library.ts";
import { type Store, type StoreChannel, storeSymbols } from "./store.ts";

const tcmSymbols = {
  nx_ffi_buffer_new: storeSymbols.nx_ffi_buffer_new,
  nx_ffi_buffer_free: storeSymbols.nx_ffi_buffer_free,
  nx_ffi_tcm_read: {
    args: ["ptr", "ptr", "ptr", "ptr", "ptr", "u64"],
    returns: FFIType.u64_fast,
  },
  nx_ffi_tcm_begin: { args: ["ptr"], returns: "void" },
  nx_ffi_tcm_dump: {
    args: ["ptr", "ptr", "u32", "ptr", "i64", "u64", "ptr", "ptr"],
    returns: "i32",
  },
  nx_ffi_tcm_end: { args: ["ptr", "u64"], returns: "void" },
  nx_ffi_tcm_side_apply: {
    args: ["ptr", "ptr", "u64", "i64", "bool"],
    returns: FFIType.i64_fast,
  },
  nx_ffi_tcm_from_lines: {
    args: ["ptr", "ptr", "u64", "bool", "ptr"],
    returns: FFIType.i64_fast,
  },
} as const;

const library = linked(tcmSymbols);

/** A buffer of C's that its owner frees. */
class OwnBuffer extends NativeBuffer {
  constructor() {
    super(library().nx_ffi_buffer_new() as Pointer);
  }

  free(): void {
    library().nx_ffi_buffer_free(this.pointer);
  }
}

/** Positions of nx_tcm_reader's words. */
const R = {
  valueBytesMax: 0,
  rangeMin: 1,
  rangeMax: 2,
  outOfRange: 3,
  abortAfter: 4,
  phase: 5,
  reason: 6,
  header: 7,
  offset: 8,
  recordOffset: 9,
  skip: 10,
  records: 11,
  loaded: 12,
  loadedBytes: 13,
  badKeys: 14,
  emptyValues: 15,
  largeValues: 16,
  foreign: 17,
  count: 18,
} as const;

export const outOfRangeRules = ["load", "fatal", "ignore"] as const;
export type OutOfRange = (typeof outOfRangeRules)[number];

const phases = ["header", "records", "records", "padding", "ended", "refused"] as const;
export type TcmPhase = (typeof phases)[number];

const reasons = ["none", "keyLength", "valueLength", "trailing", "outOfRange", "allOutOfRange"] as const;
export type TcmRefusal = (typeof reasons)[number];

const noteKinds = ["none", "badKey", "emptyValue", "largeValue", "outOfRange"] as const;

/** A record that was not loaded, or was out of range: the first few of each kind. */
export interface TcmNote {
  kind: (typeof noteKinds)[number];
  /** Where the record begins in the file. */
  offset: number;
  /** Its key; for `badKey` the length of the key. */
  detail: bigint;
}

export interface TcmReaderOptions {
  /** Longer values are skipped and counted. */
  valueBytesMax: number;
  /** Hashes of this node, inclusive. */
  range: { min: bigint; max: bigint };
  outOfRange: OutOfRange;
  /** Refuse when this many records and one are all out of range; 0: never. */
  abortAfterAllOutOfRange: number;
  /** Where records go; counted only when missing. */
  channel?: StoreChannel;
  /** Also make the lines of `takeLines`. */
  wantsLines?: boolean;
}

export interface TcmCounts {
  /** Read whole, whatever became of them. */
  records: number;
  loaded: number;
  /** Values of those that were loaded. */
  loadedBytes: number;
  badKeys: number;
  emptyValues: number;
  largeValues: number;
  outOfRange: number;
}

/** Reads one `.tcm` file, chunk by chunk. `free` it. */
export class TcmReader {
  readonly #words = new BigUint64Array(new ArrayBuffer(R.count * 8));
  readonly #notes = new OwnBuffer();
  readonly #lines: OwnBuffer | undefined;
  readonly #channel: Pointer | null;

  constructor(options: TcmReaderOptions) {
    this.#words[R.valueBytesMax] = BigInt(options.valueBytesMax);
    this.#words[R.rangeMin] = options.range.min;
    this.#words[R.rangeMax] = options.range.max;
    this.#words[R.outOfRange] = BigInt(outOfRangeRules.indexOf(options.outOfRange));
    this.#words[R.abortAfter] = BigInt(options.abortAfterAllOutOfRange);
    this.#channel = options.channel?.pointer ?? null;
    this.#lines = options.wantsLines === true ? new OwnBuffer() : undefined;
  }

  /** `bytes` continue the file at `offset`. Returns how many were taken; the rest must come again. */
  read(bytes: Uint8Array): number {
    if (bytes.byteLength === 0) return 0;
    const lines = this.#lines?.pointer ?? null;
    const { nx_ffi_tcm_read: read } = library();
    return Number(read(this.#words, this.#channel, lines, this.#notes.pointer, bytes, bytes.byteLength));
  }

  #word(index: number): number {
    return Number(this.#words[index]);
  }

  get phase(): TcmPhase {
    return phases[this.#word(R.phase)] as TcmPhase;
  }

  get refusal(): TcmRefusal {
    return reasons[this.#word(R.reason)] as TcmRefusal;
  }

  /** The first word of the file: 0, or the number of records of the older format. */
  get header(): bigint {
    return this.#words[R.header] as bigint;
  }

  /** Where the record begins that is incomplete or was refused. */
  get recordOffset(): number {
    return this.#word(R.recordOffset);
  }

  get counts(): TcmCounts {
    return {
      records: this.#word(R.records),
      loaded: this.#word(R.loaded),
      loadedBytes: this.#word(R.loadedBytes),
      badKeys: this.#word(R.badKeys),
      emptyValues: this.#word(R.emptyValues),
      largeValues: this.#word(R.largeValues),
      outOfRange: this.#word(R.foreign),
    };
  }

  /** Notes since the last call. */
  takeNotes(): TcmNote[] {
    const bytes = this.#notes.take();
    const words = new BigUint64Array(bytes.buffer, 0, bytes.byteLength / 8);
    const notes: TcmNote[] = [];
    for (let at = 0; at < words.length; at += 3) {
      const [kind, offset, detail] = words.subarray(at, at + 3) as unknown as [bigint, bigint, bigint];
      notes.push({
        kind: noteKinds[Number(kind)] as TcmNote["kind"],
        offset: Number(offset),
        detail,
      });
    }
    return notes;
  }

  /** The records since the last call as text, `<16 hex>:<base64>` each. */
  takeLines(): string {
    const text = new TextDecoder("latin1").decode(this.#lines?.view() ?? new Uint8Array(0));
    this.#lines?.clear();
    return text;
  }

  free(): void {
    this.#notes.free();
    this.#lines?.free();
  }
}

/** Positions of nx_tcm_dumper's words. */
const D = {
  valueBytesMax: 0,
  channelId: 1,
  cursor: 2,
  records: 3,
  bytes: 4,
  sideRecords: 5,
  count: 6,
} as const;
const NO_ENTRY = -2;

/** Turns one channel into the bytes of its two files, slice by slice. `free` it. */
export class TcmDumper {
  /** Bytes of the `.tcm` that wait; good until the next call. */
  readonly tcm = new OwnBuffer();
  /** Put effects of what a `.tcm` cannot carry. */
  readonly side = new OwnBuffer();
  readonly #store: Store;
  readonly #name: Uint8Array;
  readonly #words = new BigUint64Array(new ArrayBuffer(D.count * 8));

  constructor(store: Store, name: string, valueBytesMax: number) {
    this.#store = store;
    this.#name = new TextEncoder().encode(name);
    this.#words[D.valueBytesMax] = BigInt(valueBytesMax);
    library().nx_ffi_tcm_begin(this.tcm.pointer);
  }

  /** Appends the next records to the buffers. "gone": the channel was removed meanwhile. */
  next(nowMs: number, bytesTarget: number): "more" | "end" | "gone" {
    const { nx_ffi_tcm_dump: dump } = library();
    const store = this.#store.pointer;
    const words = this.#words;
    const { tcm, side } = this;
    const name = this.#name;
    const result = dump(store, name, name.byteLength, words, nowMs, bytesTarget, tcm.pointer, side.pointer);
    if (result === NO_ENTRY) return "gone";
    assert(result === 0 || result === 1, `nx_tcm_dump returned ${result}`);
    return result === 1 ? "more" : "end";
  }

  /** Appends the end mark and the padding; `fileBytes` were written before. */
  end(fileBytes: number): void {
    library().nx_ffi_tcm_end(this.tcm.pointer, fileBytes);
  }

  get records(): number {
    return Number(this.#words[D.records]);
  }

  /** Key, value and 16 for each record, as the originals count. */
  get bytes(): number {
    return Number(this.#words[D.bytes]);
  }

  get sideRecords(): number {
    return Number(this.#words[D.sideRecords]);
  }

  free(): void {
    this.tcm.free();
    this.side.free();
  }
}

/**
 * Puts a block of effects into `channel` (counts only without one). Returns how many effects it holds, or -1 when one
 * is malformed.
 */
export function applySideBlock(
  channel: StoreChannel | undefined,
  block: Uint8Array,
  nowMs: number,
  keepExisting: boolean,
): number {
  if (block.byteLength === 0) return 0;
  const { nx_ffi_tcm_side_apply: apply } = library();
  const count = Number(apply(channel?.pointer ?? null, block, block.byteLength, nowMs, keepExisting));
  return count < 0 ? -1 : count;
}

/** Turns lines `<16 hex>:<base64>` into the bytes of a `.tcm`. `free` it. */
export class TcmLineReader {
  readonly tcm = new OwnBuffer();
  readonly #words = new BigUint64Array(new ArrayBuffer(16));

  constructor() {
    library().nx_ffi_tcm_begin(this.tcm.pointer);
  }

  /** Returns the bytes taken, or -1 when line `lines + 1` is no record. With `isLast` the rest is a line too. */
  read(text: Uint8Array, isLast: boolean): number {
    if (text.byteLength === 0) return 0;
    const { nx_ffi_tcm_from_lines: read } = library();
    const taken = Number(read(this.#words, text, text.byteLength, isLast, this.tcm.pointer));
    return taken < 0 ? -1 : taken;
  }

  /** Lines read so far. */
  get lines(): number {
    return Number(this.#words[0]);
  }

  end(fileBytes: number): void {
    library().nx_ffi_tcm_end(this.tcm.pointer, fileBytes);
  }

  free(): void {
    this.tcm.free();
  }
}
