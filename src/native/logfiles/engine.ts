/**
 * The engine of the logfiles node's legacy protocol (native/logfiles/engine.h): bytes of clients in, bytes of answers
 * out, one call per chunk.
 *
 * Use: `connect` per socket; `feed` each chunk; write `replies()`; obey the flags: `Close` (write, then close), `More`
 * (call `resume` once the answers are written), `Task` (do `takeTask()`, write its answer, then `resume`).
 *
 * Invariant: no address of JavaScript memory is kept in C, and views over C memory are renewed whenever C moved it.
 * Answers must not reach a client before the effects of the same call are as durable as the role promises.
 */
import type { Pointer } from "bun:ffi";
import { addressable } from "../addressable.ts";
import { EngineBlock } from "../engine-block.ts";
import { linked } from "../library.ts";
import { FiguresView } from "../request-figures.ts";
import type { Logs } from "./logs.ts";

const symbols = {
  nx_logfiles_new: { args: ["ptr", "u64", "u64"], returns: "ptr" },
  nx_logfiles_free: { args: ["ptr"], returns: "void" },
  nx_logfiles_block: { args: ["ptr"], returns: "ptr" },
  nx_logfiles_read_statistics: { args: ["ptr"], returns: "void" },
  nx_logfiles_set_address: { args: ["ptr", "ptr", "u64", "u32"], returns: "void" },
  nx_logfiles_set_range: { args: ["ptr", "u64", "u64"], returns: "void" },
  nx_logfiles_refuse_writes: { args: ["ptr", "u32"], returns: "void" },
  nx_logfiles_clear_events: { args: ["ptr"], returns: "void" },
  nx_logfiles_connect: { args: ["ptr"], returns: "ptr" },
  nx_logfiles_disconnect: { args: ["ptr", "ptr"], returns: "void" },
  nx_logfiles_feed: { args: ["ptr", "ptr", "ptr", "usize"], returns: "u32" },
  nx_logfiles_resume: { args: ["ptr", "ptr"], returns: "u32" },
} as const;

const native = linked(symbols);

/** What `feed` and `resume` return, or-ed. Values of native/logfiles/engine.h. */
export const LogfilesFlag = { Close: 1, More: 2, Task: 4 } as const;

/** Codes of the legacy protocol's requests to a logfiles node. */
export const LogfilesCommand = {
  Put: 3,
  GetChannels: 17,
  GetChannelSize: 18,
  GetSize: 19,
  GetResponsibleRange: 20,
  RemoveChannel: 22,
  GetNumConnections: 23,
  GetVersion: 24,
  GetRange: 28,
  GetAll: 29,
  GetAllKeys: 30,
  GetAllFilter: 31,
  GetRangeFilter: 32,
  GetRangeRegex: 34,
  Redistribute: 35,
  PutBatch: 36,
} as const;

/** Places in the block of doubles behind those of every engine; the order of the enum in native/logfiles/engine.h. */
const Block = {
  taskAddress: 5,
  taskLength: 6,
  eventsAddress: 7,
  eventsLength: 8,
  requestsTotal: 9,
  errorsTotal: 10,
  inputBytes: 11,
  connections: 12,
  removalsTotal: 13,
  memtableBytes: 14,
  figuresAddress: 15,
  length: 16,
} as const;

/** One client's state in C. Dead after `disconnect`. */
export type LogfilesConnection = Pointer;

/** A request that needs files. */
export interface LogfilesTask {
  code: number;
  /** Of GetRangeRegex: 0 substring, 1 PCRE, 2 PCRE ignoring case. */
  mode: number;
  low: bigint;
  high: bigint;
  channel: string;
  /** The filter or the pattern. */
  rest: Buffer;
}

export class LogfilesEngine {
  readonly #native = native();
  readonly #engine: Pointer;
  readonly #block: EngineBlock;

  constructor(logs: Logs, limits: { arrayBytesMax: number; channelsMax: number }) {
    const { arrayBytesMax, channelsMax } = limits;
    this.#engine = this.#native.nx_logfiles_new(
      logs.pointer,
      BigInt(arrayBytesMax),
      BigInt(channelsMax),
    ) as Pointer;
    const block = this.#native.nx_logfiles_block(this.#engine) as Pointer;
    this.#block = new EngineBlock(block, Block.length);
  }

  /** Frees the engine, before its channels. Every connection must be disconnected. */
  close(): void {
    this.#native.nx_logfiles_free(this.#engine);
  }

  /** What answers about sizes name. */
  setAddress(address: string, port: number): void {
    const bytes = Buffer.from(address);
    this.#native.nx_logfiles_set_address(this.#engine, addressable(bytes), BigInt(bytes.byteLength), port);
  }

  /** What GetResponsibleRange answers; nothing is refused because of it. */
  setRange(min: bigint, max: bigint): void {
    this.#native.nx_logfiles_set_range(this.#engine, min, max);
  }

  /** Answers every write 407 until it is called with false. */
  refuseWrites(isRefusing: boolean): void {
    this.#native.nx_logfiles_refuse_writes(this.#engine, isRefusing ? 1 : 0);
  }

  connect(): LogfilesConnection {
    return this.#native.nx_logfiles_connect(this.#engine) as LogfilesConnection;
  }

  disconnect(connection: LogfilesConnection): void {
    this.#native.nx_logfiles_disconnect(this.#engine, connection);
  }

  /** Executes what `chunk` completes; returns flags. The chunk may be reused afterwards. */
  feed(connection: LogfilesConnection, chunk: Uint8Array): number {
    return this.#native.nx_logfiles_feed(this.#engine, connection, addressable(chunk), chunk.byteLength);
  }

  /** Goes on after `More`, and after `Task` once that is done. */
  resume(connection: LogfilesConnection): number {
    return this.#native.nx_logfiles_resume(this.#engine, connection);
  }

  /** The answers of the last call. Valid until the next one. */
  replies(): Uint8Array {
    return this.#block.replies();
  }

  /** Bytes that wait in the channels' effects, as of the last call. */
  get effectsLength(): number {
    return this.#block.effectsLength;
  }

  /** Channels removed since the start, as of the last call. */
  get removalsTotal(): number {
    return this.#block.at(Block.removalsTotal);
  }

  /** Memory of the records that are in no file, as of the last call. */
  get memtableBytes(): number {
    return this.#block.at(Block.memtableBytes);
  }

  /** The request that the last call could not answer itself. */
  takeTask(): LogfilesTask {
    const bytes = this.#block.copy(Block.taskAddress, Block.taskLength);
    const nameEnd = 32 + bytes.readUInt32LE(24);
    return {
      code: bytes.readUInt32LE(0),
      mode: bytes.readUInt32LE(4),
      low: bytes.readBigUInt64LE(8),
      high: bytes.readBigUInt64LE(16),
      channel: bytes.toString("latin1", 32, nameEnd),
      rest: bytes.subarray(nameEnd, nameEnd + bytes.readUInt32LE(28)),
    };
  }

  get hasEvents(): boolean {
    return this.#block.at(Block.eventsLength) !== 0;
  }

  /** Lines for the log since the last call. */
  takeEvents(): string[] {
    const lines = this.#block.lines(Block.eventsAddress, Block.eventsLength);
    this.#native.nx_logfiles_clear_events(this.#engine);
    return lines;
  }

  /** What it counts of its requests; not to be used after `close`. */
  get requestFigures(): FiguresView {
    return new FiguresView(this.#block.at(Block.figuresAddress) as Pointer);
  }

  statistics() {
    this.#native.nx_logfiles_read_statistics(this.#engine);
    return {
      requestsTotal: this.#block.at(Block.requestsTotal),
      errorsTotal: this.#block.at(Block.errorsTotal),
      inputBytes: this.#block.at(Block.inputBytes),
      connections: this.#block.at(Block.connections),
    };
  }
}
