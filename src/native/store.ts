/**
 * The C record store (native/store.h) as a TypeScript object, for tests, tools and slow paths.
 *
 * Requests never pass here: C parses them and works on the store itself. Invariant: C keeps no address of a
 * JavaScript array, and no address of C is used after `close` or after its channel was removed. A crash loses
 * everything in memory; what was acknowledged comes back by replaying the effects that were made durable.
 */
import { FFIType, type Pointer } from "bun:ffi";
import { assert } from "../core/errors.ts";
import { addressable } from "./addressable.ts";
import { NativeBuffer } from "./buffer.ts";
import { type Linked, linked } from "./library.ts";
import {
  MalformedEffects,
  OutOfMemory,
  type RecordChannel,
  type RecordStore,
  type ScanStep,
  type StoredRecord,
  type StoreStats,
} from "./record-store.ts";

const key = ["ptr", "u64"] as const;

/** The functions of native/store-ffi.c. */
export const storeSymbols = {
  nx_ffi_buffer_new: { args: [], returns: "ptr" },
  nx_ffi_buffer_free: { args: ["ptr"], returns: "void" },
  nx_ffi_store_new: { args: ["u64", "ptr"], returns: "ptr" },
  nx_ffi_store_free: { args: ["ptr"], returns: "void" },
  nx_ffi_store_memory_limit: { args: ["ptr", "u64"], returns: "void" },
  nx_ffi_store_logging: { args: ["ptr", "bool"], returns: "void" },
  nx_ffi_store_log_removals: { args: ["ptr", "bool"], returns: "void" },
  nx_ffi_store_effects: { args: ["ptr"], returns: "ptr" },
  nx_ffi_store_effects_swap: { args: ["ptr"], returns: "ptr" },
  nx_ffi_store_channel: { args: ["ptr", "ptr", "u32", "bool"], returns: "ptr" },
  nx_ffi_store_channel_remove: { args: ["ptr", "ptr"], returns: "void" },
  nx_ffi_store_channel_names: { args: ["ptr", "ptr"], returns: "void" },
  nx_ffi_store_tick: { args: ["ptr", "i64", "u32"], returns: "u32" },
  nx_ffi_store_stats: { args: ["ptr", "ptr"], returns: "void" },
  nx_ffi_store_replay: { args: ["ptr", "ptr", "u64", "ptr"], returns: FFIType.i64_fast },
  nx_ffi_store_export: { args: ["ptr", "ptr", "u64", "ptr"], returns: "i32" },
  nx_ffi_channel_get: { args: ["ptr", ...key, "i64", "ptr"], returns: FFIType.i64_fast },
  nx_ffi_channel_put: { args: ["ptr", ...key, "ptr", "u64", "i64"], returns: "i32" },
  nx_ffi_channel_patch: { args: ["ptr", ...key, "u64", "ptr", "u64", "i64"], returns: FFIType.i64_fast },
  nx_ffi_channel_remove: { args: ["ptr", ...key, "i64"], returns: "bool" },
  nx_ffi_channel_expire: { args: ["ptr", ...key, "i64", "i64"], returns: "bool" },
  nx_ffi_channel_records: { args: ["ptr"], returns: FFIType.u64_fast },
  nx_ffi_channel_key_bytes: { args: ["ptr"], returns: FFIType.u64_fast },
  nx_ffi_channel_value_bytes: { args: ["ptr"], returns: FFIType.u64_fast },
  nx_ffi_channel_record_bytes: { args: ["ptr", ...key, "i64"], returns: FFIType.u64_fast },
  nx_ffi_channel_scan: { args: ["ptr", "u64", "i64", "ptr"], returns: FFIType.u64_fast },
  nx_ffi_channel_random: { args: ["ptr", "u64", "i64", "ptr"], returns: "bool" },
} as const;

/** The C functions of storeSymbols; tests pass the functions of a library of their own. */
export type StoreLibrary = Linked<typeof storeSymbols>;

const defaultLibrary = linked(storeSymbols);

const Errno = { noEntry: -2, noMemory: -12, invalid: -22 } as const;

/** Turns a negative errno of C into an error; other results pass. */
function checked(result: number): number {
  if (result === Errno.noMemory) throw new OutOfMemory("the store's memory limit is reached");
  if (result === Errno.invalid) throw new RangeError("a key, value, offset or expiry is out of range");
  assert(result >= 0, `the C store returned ${result}`);
  return result;
}

/** Reads visited records: key length u32, value length u32, expiry i64, key, value (store-ffi.c). */
function readVisited(bytes: Uint8Array): StoredRecord[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const records: StoredRecord[] = [];
  for (let at = 0; at < bytes.byteLength;) {
    const keyEnd = at + 16 + view.getUint32(at, true);
    const valueEnd = keyEnd + view.getUint32(at + 4, true);
    const expiresAtMs = Number(view.getBigInt64(at + 8, true));
    records.push({ key: bytes.slice(at + 16, keyEnd), value: bytes.slice(keyEnd, valueEnd), expiresAtMs });
    at = valueEnd;
  }
  return records;
}

class Channel implements RecordChannel {
  readonly name: string;
  readonly pointer: Pointer;
  readonly #library: StoreLibrary;
  readonly #scratch: NativeBuffer;

  constructor(name: string, pointer: Pointer, library: StoreLibrary, scratch: NativeBuffer) {
    this.name = name;
    this.pointer = pointer;
    this.#library = library;
    this.#scratch = scratch;
  }

  get(key: Uint8Array, nowMs: number): StoredRecord | undefined {
    this.#scratch.clear();
    const scratch = this.#scratch.pointer;
    const expiresAtMs = this.#library.nx_ffi_channel_get(
      this.pointer,
      addressable(key),
      key.byteLength,
      nowMs,
      scratch,
    );
    if (Number(expiresAtMs) === Errno.noEntry) return undefined;
    return { key, value: this.#scratch.take(), expiresAtMs: Number(expiresAtMs) };
  }

  put(key: Uint8Array, value: Uint8Array, expiresAtMs = 0): void {
    const put = this.#library.nx_ffi_channel_put;
    checked(
      put(this.pointer, addressable(key), key.byteLength, addressable(value), value.byteLength, expiresAtMs),
    );
  }

  patch(key: Uint8Array, offset: number, bytes: Uint8Array, nowMs: number): number {
    if (!Number.isSafeInteger(offset) || offset < 0)
      throw new RangeError(`offset ${offset} is not a byte offset`);
    const patch = this.#library.nx_ffi_channel_patch;
    const [keyAt, bytesAt] = [addressable(key), addressable(bytes)];
    return checked(
      Number(patch(this.pointer, keyAt, key.byteLength, offset, bytesAt, bytes.byteLength, nowMs)),
    );
  }

  remove(key: Uint8Array, nowMs: number): boolean {
    return this.#library.nx_ffi_channel_remove(this.pointer, addressable(key), key.byteLength, nowMs);
  }

  expire(key: Uint8Array, expiresAtMs: number, nowMs: number): boolean {
    return this.#library.nx_ffi_channel_expire(
      this.pointer,
      addressable(key),
      key.byteLength,
      expiresAtMs,
      nowMs,
    );
  }

  scan(cursor: number, nowMs: number): ScanStep {
    this.#scratch.clear();
    const next = this.#library.nx_ffi_channel_scan(this.pointer, cursor, nowMs, this.#scratch.pointer);
    return { cursor: Number(next), records: readVisited(this.#scratch.take()) };
  }

  /** A record chosen by `seed`, or undefined when there is none. */
  random(seed: number, nowMs: number): StoredRecord | undefined {
    this.#scratch.clear();
    this.#library.nx_ffi_channel_random(this.pointer, seed, nowMs, this.#scratch.pointer);
    return readVisited(this.#scratch.take())[0];
  }

  get records(): number {
    return Number(this.#library.nx_ffi_channel_records(this.pointer));
  }

  get keyBytes(): number {
    return Number(this.#library.nx_ffi_channel_key_bytes(this.pointer));
  }

  get valueBytes(): number {
    return Number(this.#library.nx_ffi_channel_value_bytes(this.pointer));
  }

  /** Bytes of memory behind one record, its share of the table included; 0 when there is none. */
  recordBytes(key: Uint8Array, nowMs: number): number {
    return Number(
      this.#library.nx_ffi_channel_record_bytes(this.pointer, addressable(key), key.byteLength, nowMs),
    );
  }
}

export type { Channel as StoreChannel };

export interface StoreOptions {
  /** 0: no limit. */
  memoryBytesMax?: number;
  /** 16 secret random bytes; they key the hash. */
  seed: Uint8Array;
  /** Other than the built-in library: tests of mutants. */
  library?: StoreLibrary;
}

export class Store implements RecordStore {
  /** For C functions of other modules that work on this store. */
  readonly pointer: Pointer;
  readonly #library: StoreLibrary;
  readonly #scratch: NativeBuffer;
  readonly #effects = new Map<Pointer, NativeBuffer>();
  #isOpen = true;

  constructor(options: StoreOptions) {
    assert(options.seed.byteLength === 16, "a store's seed has 16 bytes");
    this.#library = options.library ?? defaultLibrary();
    this.pointer = this.#library.nx_ffi_store_new(options.memoryBytesMax ?? 0, options.seed) as Pointer;
    this.#scratch = new NativeBuffer(this.#library.nx_ffi_buffer_new() as Pointer);
  }

  setMemoryLimit(memoryBytesMax: number): void {
    this.#library.nx_ffi_store_memory_limit(this.pointer, memoryBytesMax);
  }

  channelNames(): string[] {
    this.#scratch.clear();
    this.#library.nx_ffi_store_channel_names(this.pointer, this.#scratch.pointer);
    return new TextDecoder().decode(this.#scratch.take()).split("\n").slice(0, -1);
  }

  channel(name: string): Channel | undefined {
    return this.#find(name, false);
  }

  openChannel(name: string): Channel {
    const channel = this.#find(name, true);
    if (channel !== undefined) return channel;
    if (!/^[A-Za-z0-9_-]{1,240}$/.test(name))
      throw new RangeError(`${JSON.stringify(name)} is no channel name`);
    throw new OutOfMemory("the store's memory limit is reached");
  }

  #find(name: string, create: boolean): Channel | undefined {
    const bytes = new TextEncoder().encode(name);
    const find = this.#library.nx_ffi_store_channel;
    const pointer = find(this.pointer, addressable(bytes), bytes.byteLength, create);
    return pointer === null ? undefined : new Channel(name, pointer as Pointer, this.#library, this.#scratch);
  }

  removeChannel(name: string): boolean {
    const channel = this.channel(name);
    if (channel === undefined) return false;
    this.#library.nx_ffi_store_channel_remove(this.pointer, channel.pointer);
    return true;
  }

  setLogging(isOn: boolean): void {
    this.#library.nx_ffi_store_logging(this.pointer, isOn);
  }

  /** Without logging: effects of removed channels only, for an owner that has files to move. */
  logRemovals(isOn: boolean): void {
    this.#library.nx_ffi_store_log_removals(this.pointer, isOn);
  }

  /**
   * The buffer that effects are appended to; clear it when they were taken. Its view is good until the next
   * change.
   */
  get effects(): NativeBuffer {
    return this.#buffer(this.#library.nx_ffi_store_effects(this.pointer) as Pointer);
  }

  /**
   * The effects so far, which stay where they are until the next swap; further ones go to a second buffer.
   */
  swapEffects(): NativeBuffer {
    return this.#buffer(this.#library.nx_ffi_store_effects_swap(this.pointer) as Pointer);
  }

  #buffer(pointer: Pointer): NativeBuffer {
    let buffer = this.#effects.get(pointer);
    if (buffer === undefined) {
      buffer = new NativeBuffer(pointer);
      this.#effects.set(pointer, buffer);
    }
    return buffer;
  }

  takeEffects(): Uint8Array {
    return this.effects.take();
  }

  replay(effects: Uint8Array): number {
    if (effects.byteLength === 0) return 0;
    const badOffset = new BigUint64Array(new ArrayBuffer(8));
    const count = Number(
      this.#library.nx_ffi_store_replay(this.pointer, effects, effects.byteLength, badOffset),
    );
    if (count < 0) throw new MalformedEffects(Number(badOffset[0]));
    return count;
  }

  *exportSlices(sliceBytes = 256 * 1024): Generator<Uint8Array> {
    const state = new BigUint64Array(new ArrayBuffer(16));
    const out = new NativeBuffer(this.#library.nx_ffi_buffer_new() as Pointer);
    try {
      let hasMore = true;
      while (hasMore) {
        hasMore = this.#library.nx_ffi_store_export(this.pointer, state, sliceBytes, out.pointer) === 1;
        if (out.length !== 0) yield out.take();
      }
    } finally {
      this.#library.nx_ffi_buffer_free(out.pointer);
    }
  }

  tick(nowMs: number, stepsMax: number): number {
    return this.#library.nx_ffi_store_tick(this.pointer, nowMs, stepsMax);
  }

  stats(): StoreStats {
    const block = new BigUint64Array(new ArrayBuffer(56));
    this.#library.nx_ffi_store_stats(this.pointer, block);
    const [records, keyBytes, valueBytes, memoryBytes, memoryPeakBytes, expired, expiring] = Array.from(
      block,
      Number,
    );
    return { records, keyBytes, valueBytes, memoryBytes, memoryPeakBytes, expired, expiring } as StoreStats;
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#library.nx_ffi_buffer_free(this.#scratch.pointer);
    this.#library.nx_ffi_store_free(this.pointer);
  }
}
