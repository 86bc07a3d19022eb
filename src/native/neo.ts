/**
 * The neo protocol's engine (native/neo/): bytes of authenticated clients in, bytes of answers out, one call per
 * chunk.
 *
 * Use: `connect` per client; `feed` each chunk; write `replies()`; obey the returned flags: `Close` (write, then
 * close the connection), `More` (call `pump` once the answers are written; with `Stopped` not a byte may be fed
 * before), `Streaming` (call `pump` also when `takeUrgency` says so and from time to time, if `waits`). Requests of
 * one connection go on beside each other.
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
  nx_neo_new: { args: ["ptr", "ptr"], returns: "ptr" },
  nx_neo_queue_new: { args: ["ptr", "ptr"], returns: "ptr" },
  nx_neo_queue_refuse_writes: { args: ["ptr", "u32"], returns: "void" },
  nx_neo_free: { args: ["ptr"], returns: "void" },
  nx_neo_block: { args: ["ptr"], returns: "ptr" },
  nx_neo_clear_events: { args: ["ptr"], returns: "void" },
  nx_neo_read_statistics: { args: ["ptr"], returns: "void" },
  nx_neo_connect: { args: ["ptr", "u32"], returns: "ptr" },
  nx_neo_disconnect: { args: ["ptr", "ptr"], returns: "void" },
  nx_neo_feed: { args: ["ptr", "ptr", "ptr", "usize", "f64"], returns: "u32" },
  nx_neo_pump: { args: ["ptr", "ptr", "f64"], returns: "u32" },
  nx_neo_waits: { args: ["ptr", "f64"], returns: "u32" },
  nx_neo_set_range: { args: ["ptr", "u64", "u64"], returns: "void" },
  nx_neo_set_settled: { args: ["ptr", "u64", "u64", "u32"], returns: "void" },
  nx_neo_tell_node: { args: ["ptr", "u32", "u32", "u64", "u64"], returns: "void" },
  nx_neo_refuse_writes: { args: ["ptr", "u32"], returns: "void" },
} as const;

const native = linked(symbols);

/** What `feed` and `pump` return, or-ed: how the connection is afterwards. Values of native/neo/neo.h. */
export const NeoFlag = { Close: 1, More: 2, Streaming: 4, Stopped: 8 } as const;

/** Limits of the engine. All sizes in bytes. */
export interface NeoSettings {
  /** A longer message ends the connection. */
  messageBytesMax: number;
  /** Unfinished input of all connections together. */
  inputBytesMax: number;
  /** Execution pauses for a client once this much of its answers waits to be written. */
  replySoftBytesMax: number;
  /** Requests under way on one connection. */
  requestsMax: number;
  /** Content of one batch; at least 65536, which holds the longest value. */
  batchBytes: number;
  /** Changes that wait for one Mirror; a power of two. Further ones are dropped. */
  updatesMax: number;
  /** Keys outside the range are refused. */
  isOwnershipChecked: boolean;
  /** Of all records, as the legacy GetSize counts them; 0: no limit. */
  sizeBytesMax: number;
}

const mebi = 1024 * 1024;

export const neoDefaults: NeoSettings = {
  messageBytesMax: 10 * mebi,
  inputBytesMax: 1024 * mebi,
  replySoftBytesMax: mebi / 4,
  requestsMax: 1024,
  batchBytes: 65536,
  updatesMax: 16384,
  isOwnershipChecked: true,
  sizeBytesMax: 0,
};

/** Places in the block of doubles behind those of EngineBlock; the order of the enum in native/neo/neo.h. */
const Block = {
  eventsAddress: 5,
  eventsLength: 6,
  requestsTotal: 7,
  errorsTotal: 8,
  inputBytes: 9,
  connections: 10,
  active: 11,
  figures: 12,
  urgent: 13,
  length: 14,
} as const;

/** One client's state in C. Dead after `disconnect`. */
export type NeoConnection = Pointer;

export interface NeoStatistics {
  requestsTotal: number;
  /** Answers that refuse. */
  errorsTotal: number;
  inputBytes: number;
  connections: number;
  /** Requests under way. */
  activeRequests: number;
}

export class NeoEngine {
  readonly #native = native();
  readonly #engine: Pointer;
  readonly #block: EngineBlock;
  /** What it counts of its requests, by code. Dead after `close`. */
  readonly figures: FiguresView;
  readonly #hasQueues: boolean;

  /**
   * Becomes an observer of what it serves: the record store of a dht node, or the queues of a queue node. Throws
   * NX_CONFIG_INVALID for settings out of range.
   */
  constructor(
    state: { readonly pointer: Pointer; readonly hasQueues?: boolean },
    settings: NeoSettings = neoDefaults,
  ) {
    this.#hasQueues = state.hasQueues === true;
    const array = BigUint64Array.of(
      BigInt(settings.messageBytesMax),
      BigInt(settings.inputBytesMax),
      BigInt(settings.replySoftBytesMax),
      BigInt(settings.requestsMax),
      BigInt(settings.batchBytes),
      BigInt(settings.updatesMax),
      settings.isOwnershipChecked ? 1n : 0n,
      BigInt(settings.sizeBytesMax),
    );
    const { nx_neo_new, nx_neo_queue_new } = this.#native;
    const create = this.#hasQueues ? nx_neo_queue_new : nx_neo_new;
    const engine = create(state.pointer, array) as Pointer | null;
    if (engine === null)
      throw new NxError("NX_CONFIG_INVALID", "a limit of the neo protocol is out of range");
    this.#engine = engine;
    this.#block = new EngineBlock(this.#native.nx_neo_block(engine) as Pointer, Block.length);
    this.#native.nx_neo_read_statistics(engine);
    this.figures = new FiguresView(this.#block.at(Block.figures) as Pointer);
  }

  /** Frees the engine, before its store. Every connection must be disconnected. */
  close(): void {
    this.#native.nx_neo_free(this.#engine);
  }

  /** The hashes that this node owns, compared with bit-reversed keys; clients that asked are told. min > max: none. */
  setRange({ min, max }: { min: bigint; max: bigint }): void {
    this.#native.nx_neo_set_range(this.#engine, min, max);
  }

  /** The part of the range whose records are all here; undefined: all of it. */
  setSettled(settled: { min: bigint; max: bigint } | undefined): void {
    const { min, max } = settled ?? { min: 0n, max: 0n };
    this.#native.nx_neo_set_settled(this.#engine, min, max, settled === undefined ? 0 : 1);
  }

  /** Tells clients of another node. Only IPv4 addresses can be told; others are left out. */
  tellNode(host: string, port: number, { min, max }: { min: bigint; max: bigint }): void {
    const parts = host.split(".").map(Number);
    if (parts.length !== 4 || parts.some((part) => !Number.isInteger(part) || part < 0 || part > 255)) return;
    const address = parts.reduce((sum, part) => sum * 256 + part, 0);
    this.#native.nx_neo_tell_node(this.#engine, address, port, min, max);
  }

  /** Answers every write with an error until it is called with false. */
  refuseWrites(isRefusing: boolean): void {
    const { nx_neo_refuse_writes, nx_neo_queue_refuse_writes } = this.#native;
    const refuse = this.#hasQueues ? nx_neo_queue_refuse_writes : nx_neo_refuse_writes;
    refuse(this.#engine, isRefusing ? 1 : 0);
  }

  /** `mayAdministrate`: the client may remove channels. */
  connect(mayAdministrate: boolean): NeoConnection {
    return this.#native.nx_neo_connect(this.#engine, mayAdministrate ? 1 : 0) as NeoConnection;
  }

  disconnect(connection: NeoConnection): void {
    this.#native.nx_neo_disconnect(this.#engine, connection);
  }

  /** Works off what `chunk` completes; returns NeoFlags. The chunk may be reused afterwards. */
  feed(connection: NeoConnection, chunk: Uint8Array, nowMs: number): number {
    return this.#native.nx_neo_feed(this.#engine, connection, addressable(chunk), chunk.byteLength, nowMs);
  }

  /** Goes on with what waits. */
  pump(connection: NeoConnection, nowMs: number): number {
    return this.#native.nx_neo_pump(this.#engine, connection, nowMs);
  }

  /** A pump would have something to say. */
  waits(connection: NeoConnection, nowMs: number): boolean {
    return this.#native.nx_neo_waits(connection, nowMs) !== 0;
  }

  /** Some stream has something to say, whoever caused it. Reading it forgets it. */
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

  get hasEvents(): boolean {
    return this.#block.at(Block.eventsLength) !== 0;
  }

  /** Lines for the log since the last call. */
  takeEvents(): string[] {
    const lines = this.#block.lines(Block.eventsAddress, Block.eventsLength);
    this.#native.nx_neo_clear_events(this.#engine);
    return lines;
  }

  statistics(): NeoStatistics {
    this.#native.nx_neo_read_statistics(this.#engine);
    return {
      requestsTotal: this.#block.at(Block.requestsTotal),
      errorsTotal: this.#block.at(Block.errorsTotal),
      inputBytes: this.#block.at(Block.inputBytes),
      connections: this.#block.at(Block.connections),
      activeRequests: this.#block.at(Block.active),
    };
  }
}
