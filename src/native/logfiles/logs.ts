/**
 * The channels of a logfiles node in memory (native/logfiles/logs.h): what is written and not in a file yet.
 *
 * Invariant: a memtable that was frozen belongs to whoever froze it, who frees it when nobody reads it any more; its
 * address may be given to another thread, which only reads. Nothing here survives a crash; the log's effects do.
 */
import type { Pointer } from "bun:ffi";
import { assert } from "../../core/errors.ts";
import { addressable } from "../addressable.ts";
import { NativeBuffer } from "../buffer.ts";
import { logfilesLibrary } from "./symbols.ts";

export interface ChannelFigures {
  /** Of the channel, files included. */
  records: number;
  valueBytes: number;
  /** Of the next record. */
  nextNumber: number;
  /** Records below this number were removed, those in files too. */
  removedAt: number;
  isRemoved: boolean;
  /** Memory of the records that are in no file. */
  memtableBytes: number;
}

export interface MemtableFigures {
  records: number;
  valueBytes: number;
  /** Of its first record; the others follow without a gap. */
  firstNumber: number;
  memoryBytes: number;
  keyMin: bigint;
  keyMax: bigint;
}

export type ChannelPointer = Pointer;
export type MemtablePointer = Pointer;

export function readMemtable(memtable: MemtablePointer): MemtableFigures {
  const figures = new Float64Array(4);
  const keys = new BigUint64Array(2);
  logfilesLibrary().nx_ffi_memtable_read(memtable, figures, keys);
  const [records = 0, valueBytes = 0, firstNumber = 0, memoryBytes = 0] = figures;
  return {
    records,
    valueBytes,
    firstNumber,
    memoryBytes,
    keyMin: keys[0] as bigint,
    keyMax: keys[1] as bigint,
  };
}

export function freeMemtable(memtable: MemtablePointer): void {
  logfilesLibrary().nx_ffi_memtable_free(memtable);
}

export class Logs {
  readonly pointer: Pointer;
  /** What the log must be told; `effectsTaken` forgets it. */
  readonly effects: NativeBuffer;
  readonly #library = logfilesLibrary();
  readonly #figures = new Float64Array(8);

  /** `seed`: 16 secret bytes. */
  constructor(seed: Uint8Array) {
    this.pointer = this.#library.nx_ffi_logs_new(seed) as Pointer;
    this.effects = new NativeBuffer(this.#library.nx_ffi_logs_effects(this.pointer) as Pointer);
  }

  effectsTaken(): void {
    this.#library.nx_ffi_logs_effects_taken(this.pointer);
  }

  /** Undefined when the name is no channel's, or when there is none and `isMade` is false. */
  channel(name: string, isMade: boolean): ChannelPointer | undefined {
    const bytes = Buffer.from(name);
    const found = this.#library.nx_ffi_logs_channel(
      this.pointer,
      addressable(bytes),
      bytes.byteLength,
      isMade,
    );
    return (found as Pointer | null) ?? undefined;
  }

  /** Those that were ever made, removed ones included; an index stays. */
  get channelCount(): number {
    return this.#library.nx_ffi_logs_channel_count(this.pointer);
  }

  channelAt(index: number): ChannelPointer {
    return this.#library.nx_ffi_logs_channel_at(this.pointer, index) as Pointer;
  }

  nameOf(channel: ChannelPointer): string {
    const name = Buffer.alloc(256);
    return name.toString("latin1", 0, this.#library.nx_ffi_channel_name(channel, name));
  }

  read(channel: ChannelPointer): ChannelFigures {
    const figures = this.#figures;
    this.#library.nx_ffi_channel_read(channel, figures);
    const [records = 0, valueBytes = 0, nextNumber = 0, removedAt = 0, isRemoved = 0, memtableBytes = 0] =
      figures;
    return { records, valueBytes, nextNumber, removedAt, isRemoved: isRemoved !== 0, memtableBytes };
  }

  /** Memory of the memtables that take what is written; asked for after each call of a client, so without garbage. */
  get memtableBytes(): number {
    return Number(this.#library.nx_ffi_logs_memtable_bytes(this.pointer));
  }

  get figures() {
    this.#library.nx_ffi_logs_read(this.pointer, this.#figures);
    const [records = 0, valueBytes = 0, memtableBytes = 0, written = 0] = this.#figures;
    return { records, valueBytes, memtableBytes, written };
  }

  /** `value`: 1 to 65536 bytes. */
  put(channel: ChannelPointer, key: bigint, value: Uint8Array): void {
    assert(value.byteLength > 0 && value.byteLength <= 65_536, "a value has 1 to 65536 bytes");
    this.#library.nx_ffi_logs_put(this.pointer, channel, key, value, value.byteLength);
  }

  remove(channel: ChannelPointer): void {
    this.#library.nx_ffi_logs_remove(this.pointer, channel);
  }

  /** Returns how many entries there were, or -1 when they are malformed. */
  replay(payload: Uint8Array): number {
    const count = Number(
      this.#library.nx_ffi_logs_replay(this.pointer, addressable(payload), payload.byteLength),
    );
    return count < 0 ? -1 : count;
  }

  /** Files hold so many records more (or fewer) than was known; all in files are below `sealedNumber`. */
  sealed(channel: ChannelPointer, records: number, valueBytes: number, sealedNumber: number): void {
    this.#library.nx_ffi_channel_sealed(this.pointer, channel, records, valueBytes, BigInt(sealedNumber));
  }

  /** The memtable that takes what is written. */
  memtable(channel: ChannelPointer): MemtablePointer {
    return this.#library.nx_ffi_channel_memtable(channel) as Pointer;
  }

  /** Takes the channel's records out, which go on in a new memtable; undefined when there are none. */
  freeze(channel: ChannelPointer): MemtablePointer | undefined {
    return (this.#library.nx_ffi_channel_freeze(this.pointer, channel) as Pointer | null) ?? undefined;
  }

  /** A memtable of a removed channel, the caller's from then on. */
  takeOrphan(): MemtablePointer | undefined {
    return (this.#library.nx_ffi_logs_take_orphan(this.pointer) as Pointer | null) ?? undefined;
  }

  /** The records of a memtable as effects, in slices of about `sliceBytes`; each is good until the next. */
  *export(channel: ChannelPointer, memtable: MemtablePointer, count: number, sliceBytes: number) {
    const pointer = this.#library.nx_ffi_buffer_new() as Pointer;
    const buffer = new NativeBuffer(pointer);
    try {
      for (let at = 0; at < count;) {
        buffer.clear();
        at = Number(
          this.#library.nx_ffi_memtable_export(
            channel,
            memtable,
            BigInt(at),
            BigInt(count),
            BigInt(sliceBytes),
            pointer,
          ),
        );
        yield buffer.view();
      }
    } finally {
      this.#library.nx_ffi_buffer_free(pointer);
    }
  }

  close(): void {
    this.#library.nx_ffi_logs_free(this.pointer);
  }
}
