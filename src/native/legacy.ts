/**
 * The legacy swarm protocol's engine (native/legacy/): bytes of clients in, bytes of answers out, one call per chunk.
 *
 * Use: `connect` per socket; `feed` each chunk; write `replies()` to the socket; obey the returned flags: `Close` (write,
 * then close), `More` (call `resume` once the answers are written), `Streaming` (call `pump` from time to time),
 * `Task` (take the task). Records are moved with `migrate` and `migrated`.
 *
 * Invariant: no address of JavaScript memory is kept in C, and views over C memory are renewed whenever C moved it.
 * Answers must not reach a client before the effects that the same call left in the store are as durable as the role
 * promises. Nothing here survives a crash.
 */
import type { Pointer } from "bun:ffi";
import { NxError } from "../core/errors.ts";
import { addressable } from "./addressable.ts";
import { EngineBlock } from "./engine-block.ts";
import { linked } from "./library.ts";
import { FiguresView } from "./request-figures.ts";

const symbols = {
  nx_legacy_new: { args: ["ptr", "ptr"], returns: "ptr" },
  nx_legacy_queue_new: { args: ["ptr", "ptr", "u32"], returns: "ptr" },
  nx_legacy_free: { args: ["ptr"], returns: "void" },
  nx_legacy_block: { args: ["ptr"], returns: "ptr" },
  nx_legacy_set_range: { args: ["ptr", "u64", "u64"], returns: "void" },
  nx_legacy_get_range: { args: ["ptr", "ptr"], returns: "void" },
  nx_legacy_set_settled: { args: ["ptr", "u64", "u64", "u32"], returns: "void" },
  nx_legacy_get_settled: { args: ["ptr", "ptr"], returns: "void" },
  nx_legacy_set_address: { args: ["ptr", "ptr", "usize", "u32"], returns: "void" },
  nx_legacy_refuse_writes: { args: ["ptr", "u32"], returns: "void" },
  nx_legacy_clear_events: { args: ["ptr"], returns: "void" },
  nx_legacy_read_statistics: { args: ["ptr"], returns: "void" },
  nx_legacy_size: { args: ["ptr", "ptr"], returns: "void" },
  nx_legacy_connect: { args: ["ptr"], returns: "ptr" },
  nx_legacy_disconnect: { args: ["ptr", "ptr"], returns: "void" },
  nx_legacy_feed: { args: ["ptr", "ptr", "ptr", "usize", "f64"], returns: "u32" },
  nx_legacy_resume: { args: ["ptr", "ptr", "f64"], returns: "u32" },
  nx_legacy_pump: { args: ["ptr", "ptr", "f64"], returns: "u32" },
  nx_legacy_waiting: { args: ["ptr"], returns: "u32" },
  nx_legacy_migrate_begin: { args: ["ptr"], returns: "void" },
  nx_legacy_migrate: { args: ["ptr", "ptr", "usize", "u64", "u64", "f64"], returns: "u32" },
  nx_legacy_migrated: { args: ["ptr", "ptr", "usize", "f64"], returns: "u32" },
  nx_legacy_redistributed: { args: ["ptr"], returns: "void" },
} as const;

const native = linked(symbols);

/** What `feed`, `resume` and `pump` return, or-ed: how the connection is afterwards. Values of native/legacy/legacy.h. */
export const LegacyFlag = {
  /** Write the answers, then close the connection. */
  Close: 1,
  /** Call `resume` once the answers are written. */
  More: 2,
  /** A stream: call `pump` from time to time. */
  Streaming: 4,
  /** The engine has a task for its node (dht: `takeTask` returns a Redistribute request). */
  Task: 8,
} as const;

/** What `migrate` returns. */
export const MigrateStep = { Done: 0, Batch: 1, Looking: 2 } as const;

/** What `waiting` returns for a listener whose channel is gone. */
export const CHANNEL_GONE = 0xffff_ffff;

/** Limits of the engine. All sizes in bytes. */
export interface LegacySettings {
  /** Content of one batch, 1024 to 2^24. A value may be 32 bytes shorter. */
  batchBytes: number;
  /** A longer array ends the connection. */
  arrayBytesMax: number;
  /** Unfinished input of all connections together. */
  inputBytesMax: number;
  /** Execution pauses for a client once this much of its answers waits to be written. */
  replySoftBytesMax: number;
  /** Updates that wait for one listener; a power of two. Further ones are dropped. */
  listenUpdatesMax: number;
  /** Writes of keys outside the range are answered 404. */
  isOwnershipChecked: boolean;
  /** While records are moved, batches are refused past this part of the bytes at its start. */
  redistributePercent: number;
  /** Of all records, as GetSize counts them; 0: no limit. */
  sizeBytesMax: number;
}

const mebi = 1024 * 1024;

export const legacyDefaults: LegacySettings = {
  batchBytes: 65535,
  arrayBytesMax: 10 * mebi,
  inputBytesMax: 1024 * mebi,
  replySoftBytesMax: mebi,
  listenUpdatesMax: 32768,
  isOwnershipChecked: true,
  redistributePercent: 110,
  sizeBytesMax: 0,
};

/** Places in the block of doubles behind those of EngineBlock; the order of the enum in native/legacy/legacy.h. */
const Block = {
  taskAddress: 5,
  taskLength: 6,
  eventsAddress: 7,
  eventsLength: 8,
  requestsTotal: 9,
  errorsTotal: 10,
  inputBytes: 11,
  connections: 12,
  listeners: 13,
  figures: 14,
  urgent: 15,
  length: 16,
} as const;

/** One client's state in C. Dead after `disconnect`. */
export type LegacyConnection = Pointer;

/** Inclusive, compared with bit-reversed keys. min > max: no key at all. */
export interface HashRange {
  min: bigint;
  max: bigint;
}

export interface LegacyStatistics {
  requestsTotal: number;
  /** Answers other than 200. */
  errorsTotal: number;
  inputBytes: number;
  connections: number;
  listeners: number;
}

export class LegacyEngine {
  readonly #native = native();
  readonly #engine: Pointer;
  readonly #block: EngineBlock;
  /** What it counts of its requests, by code. Dead after `close`. */
  readonly figures: FiguresView;

  /**
   * Becomes an observer of what it serves: the record store of a dht node, or the queues of a queue node, where `isLater`
   * says which generation it answers like. Throws NX_CONFIG_INVALID for settings out of range.
   */
  constructor(
    state: { readonly pointer: Pointer; readonly hasQueues?: boolean },
    settings: LegacySettings = legacyDefaults,
    isLater = false,
  ) {
    const array = BigUint64Array.of(
      BigInt(settings.batchBytes),
      BigInt(settings.arrayBytesMax),
      BigInt(settings.inputBytesMax),
      BigInt(settings.replySoftBytesMax),
      BigInt(settings.listenUpdatesMax),
      settings.isOwnershipChecked ? 1n : 0n,
      BigInt(settings.redistributePercent),
      BigInt(settings.sizeBytesMax),
    );
    const { nx_legacy_new, nx_legacy_queue_new } = this.#native;
    const engine = (
      state.hasQueues === true
        ? nx_legacy_queue_new(state.pointer, array, isLater ? 1 : 0)
        : nx_legacy_new(state.pointer, array)
    ) as Pointer | null;
    if (engine === null)
      throw new NxError("NX_CONFIG_INVALID", "a limit of the legacy protocol is out of range");
    this.#engine = engine;
    this.#block = new EngineBlock(this.#native.nx_legacy_block(engine) as Pointer, Block.length);
    this.#native.nx_legacy_read_statistics(engine);
    this.figures = new FiguresView(this.#block.at(Block.figures) as Pointer);
  }

  /** Frees the engine, before its store. Every connection must be disconnected. */
  close(): void {
    this.#native.nx_legacy_free(this.#engine);
  }

  get range(): HashRange {
    const out = new BigUint64Array(new ArrayBuffer(16));
    this.#native.nx_legacy_get_range(this.#engine, out);
    return { min: out[0] as bigint, max: out[1] as bigint };
  }

  set range({ min, max }: HashRange) {
    this.#native.nx_legacy_set_range(this.#engine, min, max);
  }

  /** The part of the range whose records are all here; undefined: all of it, none may still arrive. */
  get settled(): HashRange | undefined {
    const out = new BigUint64Array(new ArrayBuffer(24));
    this.#native.nx_legacy_get_settled(this.#engine, out);
    return out[2] === 0n ? undefined : { min: out[0] as bigint, max: out[1] as bigint };
  }

  set settled(settled: HashRange | undefined) {
    const { min, max } = settled ?? { min: 0n, max: 0n };
    this.#native.nx_legacy_set_settled(this.#engine, min, max, settled === undefined ? 0 : 1);
  }

  /** What answers about sizes name. */
  setAddress(address: string, port: number): void {
    const bytes = Buffer.from(address);
    this.#native.nx_legacy_set_address(this.#engine, addressable(bytes), bytes.byteLength, port);
  }

  /** Answers every write 407 until it is called with false. */
  refuseWrites(isRefusing: boolean): void {
    this.#native.nx_legacy_refuse_writes(this.#engine, isRefusing ? 1 : 0);
  }

  connect(): LegacyConnection {
    return this.#native.nx_legacy_connect(this.#engine) as LegacyConnection;
  }

  disconnect(connection: LegacyConnection): void {
    this.#native.nx_legacy_disconnect(this.#engine, connection);
  }

  /** Executes what `chunk` completes; returns LegacyFlags. The chunk may be reused afterwards. */
  feed(connection: LegacyConnection, chunk: Uint8Array, nowMs: number): number {
    return this.#native.nx_legacy_feed(this.#engine, connection, addressable(chunk), chunk.byteLength, nowMs);
  }

  /** Goes on after `More`. */
  resume(connection: LegacyConnection, nowMs: number): number {
    return this.#native.nx_legacy_resume(this.#engine, connection, nowMs);
  }

  /** Sends what waits for a listening connection. */
  pump(connection: LegacyConnection, nowMs: number): number {
    return this.#native.nx_legacy_pump(this.#engine, connection, nowMs);
  }

  /** Updates that wait for a listening connection, or CHANNEL_GONE. */
  waiting(connection: LegacyConnection): number {
    return this.#native.nx_legacy_waiting(connection);
  }

  /** Some listener has much to send or has lost its channel. Reading it forgets it. */
  takeUrgency(): boolean {
    return this.#block.take(Block.urgent);
  }

  /** The answers of the last call. Valid until the next one. */
  replies(): Uint8Array {
    return this.#block.replies();
  }

  /** Bytes that wait in the store's effects buffer, as of the last call. */
  get effectsLength(): number {
    return this.#block.effectsLength;
  }

  /** The Redistribute request behind its code; a copy. */
  takeTask(): Buffer {
    return this.#block.copy(Block.taskAddress, Block.taskLength);
  }

  get hasEvents(): boolean {
    return this.#block.at(Block.eventsLength) !== 0;
  }

  /** Lines for the log since the last call. */
  takeEvents(): string[] {
    const lines = this.#block.lines(Block.eventsAddress, Block.eventsLength);
    this.#native.nx_legacy_clear_events(this.#engine);
    return lines;
  }

  /** Begins to move records of a channel; `migrate` then goes through it. */
  migrateBegin(): void {
    this.#native.nx_legacy_migrate_begin(this.#engine);
  }

  /**
   * Looks for records of `channel` in `range`. `Batch`: `replies()` is a PutBatch request for the other node; call
   * `migrated` once it was acknowledged, before the next `migrate`. `Looking`: call again. `Done`: there are no more.
   */
  migrate(channel: string, { min, max }: HashRange, nowMs: number): number {
    const name = Buffer.from(channel);
    return this.#native.nx_legacy_migrate(this.#engine, name, name.byteLength, min, max, nowMs);
  }

  /** Removes the records of the last batch that have not changed since; returns how many. */
  migrated(channel: string, nowMs: number): number {
    const name = Buffer.from(channel);
    return this.#native.nx_legacy_migrated(this.#engine, name, name.byteLength, nowMs);
  }

  /** The task is done; the next Redistribute is taken. */
  redistributed(): void {
    this.#native.nx_legacy_redistributed(this.#engine);
  }

  /** Swarm records of all channels, and the bytes that the original would report for them. */
  size(): { records: number; bytes: number } {
    const out = new BigUint64Array(new ArrayBuffer(16));
    this.#native.nx_legacy_size(this.#engine, out);
    return { records: Number(out[0]), bytes: Number(out[1]) };
  }

  statistics(): LegacyStatistics {
    this.#native.nx_legacy_read_statistics(this.#engine);
    const figure = (place: number) => this.#block.at(place);
    return {
      requestsTotal: figure(Block.requestsTotal),
      errorsTotal: figure(Block.errorsTotal),
      inputBytes: figure(Block.inputBytes),
      connections: figure(Block.connections),
      listeners: figure(Block.listeners),
    };
  }
}
