/**
 * A volume's log and overlay in C (native/volume/volume.h): one call for each chunk of a client, one for each batch of the
 * log.
 *
 * Invariant: the memory of a batch stays in place until `written`. C opens and writes no file.
 */
import { type Pointer, toArrayBuffer } from "bun:ffi";
import { addressable } from "./addressable.ts";
import { NativeBuffer } from "./buffer.ts";
import { linked } from "./library.ts";
import { type NbdOutcome, nbdOutcomes, type NbdTransmission } from "./nbd.ts";

const symbols = {
  nx_volume_new: { args: ["u32", "u32", "u64", "u64", "u64"], returns: "ptr" },
  nx_volume_free: { args: ["ptr"], returns: "void" },
  nx_volume_state_of: { args: ["ptr"], returns: "ptr" },
  nx_volume_reads: { args: ["ptr"], returns: "ptr" },
  nx_volume_stretches: { args: ["ptr"], returns: "ptr" },
  nx_volume_copies: { args: ["ptr"], returns: "ptr" },
  nx_volume_ready: { args: ["ptr"], returns: "ptr" },
  nx_volume_feed: { args: ["ptr", "ptr", "ptr", "u64"], returns: "u32" },
  nx_volume_plan: { args: ["ptr", "u64", "u64"], returns: "void" },
  nx_volume_take: { args: ["ptr"], returns: "i32" },
  nx_volume_written: { args: ["ptr", "u32"], returns: "void" },
  nx_volume_durable: { args: ["ptr", "u64"], returns: "void" },
  nx_volume_collect: { args: ["ptr", "u64", "u64"], returns: "void" },
  nx_volume_applied: { args: ["ptr", "u64"], returns: "void" },
  nx_volume_set_limit: { args: ["ptr", "u64"], returns: "void" },
  nx_volume_found: { args: ["ptr", "ptr"], returns: "void" },
  nx_volume_reset: { args: ["ptr", "u32", "u64"], returns: "void" },
  nx_volume_fail: { args: ["ptr"], returns: "void" },
} as const;

const native = linked(symbols);

/** Positions of nx_volume_state's words. */
const S = {
  next: 0, limit: 1, written: 2, durable: 3, applied: 4, waitingBytes: 5, held: 6, heldBytes: 7, durableWaiters: 8,
  units: 9, reads: 10, writes: 11, trims: 12, flushes: 13, readBytes: 14, writtenBytes: 15, batchFirst: 16,
  batchEnd: 17, batchAddress: 18, batchLength: 19, logUnits: 20, salt: 21, count: 22,
} as const; // prettier-ignore

const READ_WORDS = 6;
/** Longest copy of one stretch. */
const STRETCH_BYTES_MAX = 4 << 20;

/** A part of the log that must be written, at consecutive lsids. */
export interface Batch {
  number: number;
  first: bigint;
  end: bigint;
  /** C's memory, in place until the batch is written. */
  bytes: Uint8Array;
}

/** A read of a client whose stretches are to be filled. */
export interface PlannedRead {
  cookie: bigint;
  offset: number;
  length: number;
  /** Where its answer and its data begin in the connection's output. */
  head: number;
  data: number;
  stretches: number;
}

export interface VolumeLogOptions {
  physicalBytes: number;
  salt: number;
  /** Physical blocks. */
  ringBlocks: bigint;
  /** Where the ring begins in the log's file, in bytes. */
  ringStart: number;
  /** Everything before it is in the data file. */
  lsid: bigint;
}

export class VolumeLog {
  readonly #volume: Pointer;
  readonly #words: BigUint64Array;
  readonly stretches: NativeBuffer;
  readonly #reads: NativeBuffer;
  readonly #copies: NativeBuffer;
  readonly #ready: NativeBuffer;

  constructor({ physicalBytes, salt, ringBlocks, ringStart, lsid }: VolumeLogOptions) {
    const c = native();
    this.#volume = c.nx_volume_new(physicalBytes, salt, ringBlocks, ringStart, lsid) as Pointer;
    const state = c.nx_volume_state_of(this.#volume) as Pointer;
    this.#words = new BigUint64Array(toArrayBuffer(state, 0, S.count * 8));
    this.#reads = new NativeBuffer(c.nx_volume_reads(this.#volume) as Pointer);
    this.stretches = new NativeBuffer(c.nx_volume_stretches(this.#volume) as Pointer);
    this.#copies = new NativeBuffer(c.nx_volume_copies(this.#volume) as Pointer);
    this.#ready = new NativeBuffer(c.nx_volume_ready(this.#volume) as Pointer);
  }

  feed(connection: NbdTransmission, chunk: Uint8Array): NbdOutcome {
    const { nx_volume_feed: feed } = native();
    return nbdOutcomes[
      feed(this.#volume, connection.pointer, addressable(chunk), chunk.byteLength)
    ] as NbdOutcome;
  }

  /** Whether the last chunk had reads. */
  get hasReads(): boolean {
    return this.#reads.length > 0;
  }

  /** The reads of the last chunk; `stretches` has theirs in this order. */
  plannedReads(): PlannedRead[] {
    const bytes = this.#reads.view();
    const words = new BigUint64Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 8);
    return Array.from({ length: words.length / READ_WORDS }, (_, index) => {
      const at = index * READ_WORDS;
      return {
        cookie: words[at] as bigint,
        offset: Number(words[at + 1]),
        length: Number(words[at + 2]),
        head: Number(words[at + 3]),
        data: Number(words[at + 4]),
        stretches: Number(words[at + 5]),
      };
    });
  }

  /** Where these bytes of the volume are, as stretches of a copy. */
  plan(offset: number, length: number): Uint8Array {
    native().nx_volume_plan(this.#volume, offset, length);
    return this.stretches.take();
  }

  /** The next part of the log, if anything was put into it. */
  take(): Batch | undefined {
    const number = native().nx_volume_take(this.#volume);
    if (number < 0) return undefined;
    const bytes = new Uint8Array(
      toArrayBuffer(this.#number(S.batchAddress) as Pointer, 0, this.#number(S.batchLength)),
    );
    return {
      number,
      first: this.#words[S.batchFirst] as bigint,
      end: this.#words[S.batchEnd] as bigint,
      bytes,
    };
  }

  /** The log's file has it. In the order of `take`. */
  markWritten(batch: Batch): void {
    native().nx_volume_written(this.#volume, batch.number);
  }

  markDurable(lsid: bigint): void {
    native().nx_volume_durable(this.#volume, lsid);
  }

  /** What to copy from the log's file into the data file (a copy of the list). */
  collect(lsid: bigint): Uint8Array {
    native().nx_volume_collect(this.#volume, lsid, STRETCH_BYTES_MAX);
    return this.#copies.take();
  }

  markApplied(lsid: bigint): void {
    native().nx_volume_applied(this.#volume, lsid);
  }

  setLimit(lsid: bigint): void {
    native().nx_volume_set_limit(this.#volume, lsid);
  }

  /** A pack of the log that the start found. */
  found(header: Uint8Array): void {
    native().nx_volume_found(this.#volume, header);
  }

  reset(salt: number, lsid: bigint): void {
    native().nx_volume_reset(this.#volume, salt, lsid);
  }

  /** Everything that waits is answered with an I/O error, and so is every change from now on. */
  fail(): void {
    native().nx_volume_fail(this.#volume);
  }

  free(): void {
    native().nx_volume_free(this.#volume);
  }

  /** Ids of the connections that have something to send; each once or more. */
  takeReady(): Uint32Array {
    if (this.#ready.length === 0) return new Uint32Array(0);
    return new Uint32Array(this.#ready.take().buffer);
  }

  #number(word: number): number {
    return Number(this.#words[word]);
  }

  get next(): bigint {
    return this.#words[S.next] as bigint;
  }

  get written(): bigint {
    return this.#words[S.written] as bigint;
  }

  get durable(): bigint {
    return this.#words[S.durable] as bigint;
  }

  get applied(): bigint {
    return this.#words[S.applied] as bigint;
  }

  get waitingBytes(): number {
    return this.#number(S.waitingBytes);
  }

  get held(): number {
    return this.#number(S.held);
  }

  get heldBytes(): number {
    return this.#number(S.heldBytes);
  }

  /** That clients have asked for so far. */
  get flushes(): number {
    return this.#number(S.flushes);
  }

  get hasDurableWaiters(): boolean {
    return this.#words[S.durableWaiters] !== 0n;
  }

  get figures() {
    return {
      reads: this.#number(S.reads),
      writes: this.#number(S.writes),
      trims: this.#number(S.trims),
      flushes: this.flushes,
      readBytes: this.#number(S.readBytes),
      writtenBytes: this.#number(S.writtenBytes),
      pendingUnits: this.#number(S.units),
    };
  }
}
