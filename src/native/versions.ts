/**
 * The multi-version store of a shard (native/versions/): writes at commit timestamps, reads at any of them.
 *
 * Invariant: the value at a timestamp depends only on which versions are at or below it, not on the order in which they
 * arrived, and no answer on what was collected, only on the horizon; the contract suite holds this against a plain TypeScript
 * model. Views of C memory are valid until the next call. Nothing here survives a crash: the shard's journal and snapshots do.
 */
import { type Pointer, toArrayBuffer } from "bun:ffi";
import { assert } from "../core/errors.ts";
import { addressable } from "./addressable.ts";
import { linked } from "./library.ts";
import type { Part, ValueType } from "./version-values.ts";

const symbols = {
  nx_ffi_versions_new: { args: [], returns: "ptr" },
  nx_ffi_versions_free: { args: ["ptr"], returns: "void" },
  nx_ffi_versions_block: { args: ["ptr"], returns: "ptr" },
  nx_ffi_versions_raise_horizon: { args: ["ptr", "f64"], returns: "void" },
  nx_ffi_versions_write: { args: ["ptr", "ptr", "usize", "f64", "f64", "ptr", "usize"], returns: "i32" },
  nx_ffi_versions_read: { args: ["ptr", "ptr", "usize", "f64"], returns: "i32" },
  nx_ffi_versions_changed: {
    args: ["ptr", "ptr", "usize", "u32", "ptr", "usize", "f64", "bool"],
    returns: "i32",
  },
  nx_ffi_versions_scan: {
    args: ["ptr", "ptr", "usize", "bool", "ptr", "usize", "f64", "u32", "f64"],
    returns: "bool",
  },
  nx_ffi_versions_collect: { args: ["ptr", "u32"], returns: "bool" },
  nx_ffi_versions_dump_begin: { args: ["ptr", "f64"], returns: "void" },
  nx_ffi_versions_dump: { args: ["ptr", "f64"], returns: "bool" },
  nx_ffi_versions_dump_end: { args: ["ptr"], returns: "void" },
  nx_ffi_versions_load: { args: ["ptr", "ptr", "usize"], returns: "i32" },
  nx_ffi_versions_stats: { args: ["ptr"], returns: "void" },
} as const;

const native = linked(symbols);

/** Places in the block of doubles; `result_block` of native/versions/versions-ffi.c. */
const Block = {
  start: 0,
  next: 1,
  type: 2,
  valueAddress: 3,
  valueLength: 4,
  outAddress: 5,
  outLength: 6,
  keys: 7,
  versions: 8,
  memoryBytes: 9,
  removedKeys: 10,
  length: 11,
} as const;

/** A version as a reader sees it. */
export interface VersionView {
  /** Its commit timestamp; 0: the key has no version there, or was deleted at or below the horizon. */
  start: number;
  /** Commit timestamp of the version above it; 0: none. */
  next: number;
  type: ValueType;
  value: Uint8Array;
}

export interface VersionsStats {
  keys: number;
  versions: number;
  memoryBytes: number;
  /** Tombstones that were collected. */
  removedKeys: number;
}

/** What `write` found wrong with an otherwise well-formed write. */
export type WriteResult = "written" | "exists" | "stale";

const EINVAL = 22;
const EEXIST = 17;
const ESTALE = 116;

const nothing = new Uint8Array(0);
export class Versions {
  readonly #native = native();
  readonly #handle: Pointer;
  readonly #block: Float64Array;
  #isDumping = false;

  constructor() {
    this.#handle = this.#native.nx_ffi_versions_new() as Pointer;
    const block = this.#native.nx_ffi_versions_block(this.#handle) as Pointer;
    this.#block = new Float64Array(toArrayBuffer(block, 0, Block.length * Float64Array.BYTES_PER_ELEMENT));
  }

  /** A dump that is under way fails. */
  close(): void {
    this.#isDumping = false;
    this.#native.nx_ffi_versions_free(this.#handle);
  }

  /**
   * Below the horizon nothing is read, at or below it nothing is written; a lower one than before changes nothing. A dump does
   * not carry it: who loads one raises it.
   */
  raiseHorizon(horizon: number): void {
    this.#native.nx_ffi_versions_raise_horizon(this.#handle, horizon);
  }

  /**
   * Adds what one transaction does to one key. `position`: the place in the shard's log, never less than in an earlier call.
   * Throws for operations that are not in the form of versions.h: whoever took them from the network checks first.
   */
  write(key: Uint8Array, timestamp: number, position: number, ops: Uint8Array): WriteResult {
    const result = this.#native.nx_ffi_versions_write(
      this.#handle,
      addressable(key),
      key.byteLength,
      timestamp,
      position,
      addressable(ops),
      ops.byteLength,
    );
    if (result === -EEXIST) return "exists";
    if (result === -ESTALE) return "stale";
    assert(result === 0, "a write has a key, a timestamp and operations that can be read");
    return "written";
  }

  /** The newest version at or below the timestamp; undefined below the horizon. */
  read(key: Uint8Array, timestamp: number): VersionView | undefined {
    const result = this.#native.nx_ffi_versions_read(
      this.#handle,
      addressable(key),
      key.byteLength,
      timestamp,
    );
    if (result === -ESTALE) return undefined;
    const length = this.#block[Block.valueLength] as number;
    return {
      start: this.#block[Block.start] as number,
      next: this.#block[Block.next] as number,
      type: this.#block[Block.type] as ValueType,
      value: this.#bytes(Block.valueAddress, length),
    };
  }

  /** Commit timestamp of a key's newest version; 0: it has none. */
  newest(key: Uint8Array): number {
    this.#native.nx_ffi_versions_read(
      this.#handle,
      addressable(key),
      key.byteLength,
      Number.MAX_SAFE_INTEGER,
    );
    return this.#block[Block.start] as number;
  }

  /**
   * Whether a version above `since` touches the part; the newest one at or below the horizon touches all. `wasPresent`: the
   * reader saw a value, so a key that is gone without a trace has changed for it.
   */
  changed(key: Uint8Array, part: Part, since: number, wasPresent: boolean): boolean {
    const result = this.#native.nx_ffi_versions_changed(
      this.#handle,
      addressable(key),
      key.byteLength,
      part.kind,
      addressable(part.data),
      part.data.byteLength,
      since,
      wasPresent,
    );
    assert(result !== -EINVAL, "a part of a list is named by a u32");
    return result === 1;
  }

  /**
   * The present keys from `from` (not itself when `after`) up to, not including, `to` (empty: no end), encoded as versions.h
   * says; a view. `isMore`: the limits ended it. None below the horizon.
   */
  scan(
    from: Uint8Array,
    after: boolean,
    to: Uint8Array,
    timestamp: number,
    countMax: number,
    bytesTarget: number,
  ): { entries: Uint8Array; isMore: boolean } {
    const isMore = this.#native.nx_ffi_versions_scan(
      this.#handle,
      addressable(from),
      from.byteLength,
      after,
      addressable(to),
      to.byteLength,
      timestamp,
      countMax,
      bytesTarget,
    );
    return { entries: this.#output(), isMore };
  }

  /**
   * Forgets what nobody can see any more, for `keysMax` keys from where the last call stopped; true when it came round. Does
   * nothing while a dump is under way.
   */
  collect(keysMax: number): boolean {
    return this.#native.nx_ffi_versions_collect(this.#handle, keysMax);
  }

  /**
   * Everything written up to `position`, in chunks of about `bytesTarget`, whatever is written meanwhile. One at a time: nothing
   * is collected until `close`.
   */
  dump(position: number, bytesTarget: number): { chunks: Iterable<Uint8Array>; close(): void } {
    assert(!this.#isDumping, "one dump at a time");
    this.#isDumping = true;
    this.#native.nx_ffi_versions_dump_begin(this.#handle, position);
    return {
      chunks: this.#dumpChunks(bytesTarget),
      close: () => {
        if (!this.#isDumping) return;
        this.#isDumping = false;
        this.#native.nx_ffi_versions_dump_end(this.#handle);
      },
    };
  }

  *#dumpChunks(bytesTarget: number): Generator<Uint8Array, void> {
    for (let isMore = true; isMore;) {
      // Half a dump must not pass for a whole one.
      if (!this.#isDumping) throw new Error("the dump was closed before its end");
      isMore = this.#native.nx_ffi_versions_dump(this.#handle, bytesTarget);
      const bytes = this.#output();
      if (bytes.byteLength > 0) yield bytes.slice();
    }
  }

  /** Takes whole keys of a dump; false for bytes that are not part of one. */
  load(bytes: Uint8Array): boolean {
    return this.#native.nx_ffi_versions_load(this.#handle, addressable(bytes), bytes.byteLength) === 0;
  }

  stats(): VersionsStats {
    this.#native.nx_ffi_versions_stats(this.#handle);
    return {
      keys: this.#block[Block.keys] as number,
      versions: this.#block[Block.versions] as number,
      memoryBytes: this.#block[Block.memoryBytes] as number,
      removedKeys: this.#block[Block.removedKeys] as number,
    };
  }

  #output(): Uint8Array {
    return this.#bytes(Block.outAddress, this.#block[Block.outLength] as number);
  }

  #bytes(addressPlace: number, length: number): Uint8Array {
    if (length === 0) return nothing;
    return new Uint8Array(toArrayBuffer(this.#block[addressPlace] as Pointer, 0, length));
  }
}
