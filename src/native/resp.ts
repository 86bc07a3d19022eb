/**
 * The Redis protocol engine (native/resp/): bytes of clients in, bytes of replies out, one call per chunk.
 *
 * Use: `connect` per socket; `feed` each chunk; write `replies()` to the socket; obey the returned flags:
 * `Close` (write, then close), `More` (call `resume` once the replies are written), `Admin` (compute the
 * reply of `adminArguments()` and call `answerAdmin` before any other call).
 * `src/channels/wire/resp/service.ts` does the latter.
 *
 * Invariant: no address of JavaScript memory is kept in C, and views over C memory are renewed whenever C
 * moved it. Replies must not reach a client before the effects that the same call left in the store are as
 * durable as the role promises. Nothing here survives a crash.
 */
import type { Pointer } from "bun:ffi";
import { NxError } from "../core/errors.ts";
import { addressable } from "./addressable.ts";
import { EngineBlock } from "./engine-block.ts";
import { linked } from "./library.ts";

const symbols = {
  nx_resp_glob: { args: ["ptr", "usize", "ptr", "usize"], returns: "bool" },
  nx_resp_new: { args: ["ptr", "ptr"], returns: "ptr" },
  nx_resp_queue_new: { args: ["ptr", "ptr"], returns: "ptr" },
  nx_resp_woken: { args: ["ptr"], returns: "ptr" },
  nx_resp_serve_waiting: { args: ["ptr", "f64"], returns: "void" },
  nx_resp_expire_blocked: { args: ["ptr", "f64"], returns: "void" },
  nx_resp_free: { args: ["ptr"], returns: "void" },
  nx_resp_configure: { args: ["ptr", "ptr"], returns: "i32" },
  nx_resp_block: { args: ["ptr"], returns: "ptr" },
  nx_resp_refuse_writes: { args: ["ptr", "ptr", "usize"], returns: "void" },
  nx_resp_connect: { args: ["ptr"], returns: "ptr" },
  nx_resp_disconnect: { args: ["ptr", "ptr"], returns: "void" },
  nx_resp_feed: { args: ["ptr", "ptr", "ptr", "usize", "f64"], returns: "u32" },
  nx_resp_resume: { args: ["ptr", "ptr", "f64"], returns: "u32" },
  nx_resp_answer: { args: ["ptr", "ptr", "ptr", "usize", "f64"], returns: "u32" },
  nx_resp_connection_set: { args: ["ptr", "u32", "u32"], returns: "void" },
  nx_resp_connection_reset: { args: ["ptr", "ptr"], returns: "void" },
  nx_resp_describe_connection: { args: ["ptr", "ptr"], returns: "void" },
  nx_resp_describe_channels: { args: ["ptr"], returns: "void" },
  nx_resp_describe_commands: { args: ["ptr"], returns: "void" },
  nx_resp_read_statistics: { args: ["ptr"], returns: "void" },
  nx_resp_reset_statistics: { args: ["ptr"], returns: "void" },
} as const;

const native = linked(symbols);

/** What `feed`, `resume` and `answerAdmin` return, or-ed. Values of native/resp/resp.h. */
export const RespFlag = {
  /** Write the replies, then close the connection. */
  Close: 1,
  /** Stopped at the soft reply limit: call `resume` once the replies are written. */
  More: 2,
  /** Stopped at an admin command: call `answerAdmin` before anything else. */
  Admin: 4,
  /** With Admin, inside EXEC: the transaction's effects are not complete, leave them in the store. */
  Hold: 8,
  /** Waits for a key; `woken` will name it. */
  Blocked: 16,
} as const;

/** Limits of the engine. All sizes in bytes. */
export interface RespSettings {
  /** The longest argument and the longest value, 1 to 2^30. Redis' `proto-max-bulk-len`. */
  valueBytesMax: number;
  /** Arguments of one request, at most 2^24. */
  argumentsMax: number;
  /** One unfinished request, or the queue of one transaction. Redis' `client-query-buffer-limit`. */
  requestBytesMax: number;
  /**
   * Everything that all clients together make the engine hold: unfinished requests, transactions, watched
   * keys.
   */
  inputBytesMax: number;
  /** Execution pauses for a client once this much of its replies waits to be written. */
  replySoftBytesMax: number;
  /** A longer reply to one command becomes an error; at least what the longest value takes. */
  replyBytesMax: number;
  /** Connections begin unauthenticated. */
  authenticationRequired: boolean;
  /** The store's memory limit (the engine lifts it while it stores the pairs of one MSET); 0: none. */
  memoryBytesMax: number;
  /** The longest key, at most 524288. */
  keyBytesMax: number;
  /** For RANDOMKEY and hashing, an integer below 2^48. Fixed at construction. */
  seed: number;
}

const mebi = 1024 * 1024;

export const respDefaults: RespSettings = {
  valueBytesMax: 64 * mebi,
  argumentsMax: mebi,
  requestBytesMax: 1024 * mebi,
  inputBytesMax: 2048 * mebi,
  replySoftBytesMax: mebi / 4,
  replyBytesMax: 256 * mebi,
  authenticationRequired: false,
  memoryBytesMax: 0,
  keyBytesMax: 512 * 1024,
  seed: 1,
};

/** The array that native/resp/resp.h describes. */
function settingsArray(settings: RespSettings): Float64Array {
  return Float64Array.of(
    settings.valueBytesMax,
    settings.argumentsMax,
    settings.requestBytesMax,
    settings.inputBytesMax,
    settings.replySoftBytesMax,
    settings.replyBytesMax,
    settings.authenticationRequired ? 1 : 0,
    settings.memoryBytesMax,
    settings.seed,
    settings.keyBytesMax,
  );
}

/** Places in the block of doubles behind those of EngineBlock; the order of the enum in native/resp/resp.h. */
const Block = {
  textAddress: 5,
  textLength: 6,
  commandsTotal: 7,
  errorsTotal: 8,
  keyspaceHits: 9,
  keyspaceMisses: 10,
  inputBytes: 11,
  connections: 12,
  watchedKeys: 13,
  protocol: 14,
  woken: 15,
  deadlineMs: 16,
  signals: 17,
  length: 18,
} as const;

/** What an engine serves: a record store, or queues. */
export interface RespEngineState {
  readonly pointer: Pointer;
  readonly hasQueues?: boolean;
}

/** One client's state in C. Dead after `disconnect`. */
export type RespConnection = Pointer;

export interface RespStatistics {
  commandsTotal: number;
  errorsTotal: number;
  keyspaceHits: number;
  keyspaceMisses: number;
  /** Bytes held for unfinished requests, transactions and watched keys. */
  inputBytes: number;
  connections: number;
  watchedKeys: number;
}

/** One row of the command table; a subcommand is named `client|id`. */
export interface RespCommandFacts {
  name: string;
  /** Arguments with the name; negative: at least that many. */
  arity: number;
  flags: string[];
  /** Positions of keys, 0: none; `lastKey` -1: up to the last argument. */
  firstKey: number;
  lastKey: number;
  keyStep: number;
  calls: number;
  rejected: number;
  failed: number;
}

const decoder = new TextDecoder();
export class RespEngine {
  readonly #native = native();
  readonly #engine: Pointer;
  readonly #block: EngineBlock;

  /**
   * Becomes an observer of what it serves: the record store of a dht node, or the queues of a queue node. Throws
   * NX_CONFIG_INVALID for settings out of range.
   */
  constructor(state: RespEngineState, settings: RespSettings = respDefaults) {
    const { nx_resp_new, nx_resp_queue_new } = this.#native;
    const create = state.hasQueues === true ? nx_resp_queue_new : nx_resp_new;
    const engine = create(state.pointer, settingsArray(settings)) as Pointer | null;
    if (engine === null)
      throw new NxError("NX_CONFIG_INVALID", "a limit of the Redis protocol is out of range");
    this.#engine = engine;
    this.#block = new EngineBlock(this.#native.nx_resp_block(engine) as Pointer, Block.length);
  }

  /** Frees the engine, before its store. Every connection must be disconnected. */
  close(): void {
    this.#native.nx_resp_free(this.#engine);
  }

  /**
   * Applies changed limits to everything that follows; `seed` stays. Throws NX_CONFIG_INVALID and changes
   * nothing.
   */
  configure(settings: RespSettings): void {
    if (this.#native.nx_resp_configure(this.#engine, settingsArray(settings)) !== 0) {
      throw new NxError("NX_CONFIG_INVALID", "a limit of the Redis protocol is out of range");
    }
  }

  /** Answers every write with `text` (an error code and a sentence) until it is called with undefined. */
  refuseWrites(text: string | undefined): void {
    const bytes = Buffer.from(text ?? "");
    this.#native.nx_resp_refuse_writes(this.#engine, addressable(bytes), bytes.byteLength);
  }

  connect(): RespConnection {
    return this.#native.nx_resp_connect(this.#engine) as RespConnection;
  }

  disconnect(connection: RespConnection): void {
    this.#native.nx_resp_disconnect(this.#engine, connection);
  }

  /** Executes what `chunk` completes; returns RespFlags. The chunk may be reused afterwards. */
  feed(connection: RespConnection, chunk: Uint8Array, nowMs: number): number {
    return this.#native.nx_resp_feed(this.#engine, connection, addressable(chunk), chunk.byteLength, nowMs);
  }

  /** Whether `text` matches a pattern of KEYS. */
  globMatches(pattern: string, text: string): boolean {
    const [left, right] = [Buffer.from(pattern), Buffer.from(text)];
    return this.#native.nx_resp_glob(
      addressable(left),
      left.byteLength,
      addressable(right),
      right.byteLength,
    );
  }

  /** Goes on after `More`. */
  resume(connection: RespConnection, nowMs: number): number {
    return this.#native.nx_resp_resume(this.#engine, connection, nowMs);
  }

  /**
   * Gives the RESP bytes that answer the admin command, appended to the replies so far; goes on executing.
   */
  answerAdmin(connection: RespConnection, reply: Uint8Array, nowMs: number): number {
    return this.#native.nx_resp_answer(this.#engine, connection, addressable(reply), reply.byteLength, nowMs);
  }

  /** The replies of the last `feed` or `resume` (with its `answerAdmin` calls). Valid until the next call. */
  replies(): Uint8Array {
    return this.#block.replies();
  }

  /** Bytes that wait in the effects buffer, as of the last call. */
  get effectsLength(): number {
    return this.#block.effectsLength;
  }

  /** Somebody who waited for a key was served: `woken` tells who. */
  get hasWoken(): boolean {
    return this.#block.at(Block.woken) !== 0;
  }

  /** A connection that was served and must be resumed, or undefined. */
  woken(): RespConnection | undefined {
    return (this.#native.nx_resp_woken(this.#engine) as RespConnection | null) ?? undefined;
  }

  /** When the next waiting connection has waited long enough; 0: none will. */
  get deadlineMs(): number {
    return this.#block.at(Block.deadlineMs);
  }

  /** Ends the waiting of connections whose time has come; see `hasWoken`. */
  expireBlocked(nowMs: number): void {
    this.#native.nx_resp_expire_blocked(this.#engine, nowMs);
  }

  /** Another engine of the node brought what somebody waits for: call `serveWaiting`. */
  get hasSignals(): boolean {
    return this.#block.at(Block.signals) !== 0;
  }

  /** Serves those who wait for what another engine of the node brought; see `hasWoken`. */
  serveWaiting(nowMs: number): void {
    this.#native.nx_resp_serve_waiting(this.#engine, nowMs);
  }

  /** Arguments of the waiting admin command, name first; copies. */
  adminArguments(): Buffer[] {
    const text = this.#text();
    const words: Buffer[] = [];
    let offset = 4;
    for (let missing = text.readUInt32LE(0); missing > 0; missing--) {
      const length = text.readUInt32LE(offset);
      words.push(text.subarray(offset + 4, offset + 4 + length));
      offset += 4 + length;
    }
    return words;
  }

  /** Protocol version (2 or 3) of the connection whose admin command waits. */
  get adminProtocol(): 2 | 3 {
    return this.#block.at(Block.protocol) === 3 ? 3 : 2;
  }

  setProtocol(connection: RespConnection, version: 2 | 3): void {
    this.#native.nx_resp_connection_set(connection, 0, version);
  }

  setAuthenticated(connection: RespConnection, authenticated: boolean): void {
    this.#native.nx_resp_connection_set(connection, 1, authenticated ? 1 : 0);
  }

  /** RESET: no transaction, no watched keys, channel 0, RESP2, authentication as at the start. */
  resetConnection(connection: RespConnection): void {
    this.#native.nx_resp_connection_reset(this.#engine, connection);
  }

  /** `name=value` words of CLIENT LIST that the engine knows. */
  describeConnection(connection: RespConnection): string {
    this.#native.nx_resp_describe_connection(this.#engine, connection);
    return decoder.decode(this.#text());
  }

  /** Channels that have records. */
  channels(): { name: string; records: number }[] {
    this.#native.nx_resp_describe_channels(this.#engine);
    return this.#lines().map(([name, records]) => ({ name: name as string, records: Number(records) }));
  }

  /** The command table with its counters. */
  commands(): RespCommandFacts[] {
    this.#native.nx_resp_describe_commands(this.#engine);
    return this.#lines().map((words) => {
      const [name = "", arity, flags = "-", ...figures] = words;
      const [firstKey = 0, lastKey = 0, keyStep = 0, calls = 0, rejected = 0, failed = 0] =
        figures.map(Number);
      const names = flags === "-" ? [] : flags.split(",");
      return {
        name,
        arity: Number(arity),
        flags: names,
        firstKey,
        lastKey,
        keyStep,
        calls,
        rejected,
        failed,
      };
    });
  }

  statistics(): RespStatistics {
    this.#native.nx_resp_read_statistics(this.#engine);
    const figure = (place: number) => this.#block.at(place);
    return {
      commandsTotal: figure(Block.commandsTotal),
      errorsTotal: figure(Block.errorsTotal),
      keyspaceHits: figure(Block.keyspaceHits),
      keyspaceMisses: figure(Block.keyspaceMisses),
      inputBytes: figure(Block.inputBytes),
      connections: figure(Block.connections),
      watchedKeys: figure(Block.watchedKeys),
    };
  }

  resetStatistics(): void {
    this.#native.nx_resp_reset_statistics(this.#engine);
  }

  /** A copy of the engine's text buffer. */
  #text(): Buffer {
    return this.#block.copy(Block.textAddress, Block.textLength);
  }

  #lines(): string[][] {
    const lines = decoder.decode(this.#text()).split("\n");
    return lines.filter((line) => line !== "").map((line) => line.split(" "));
  }
}
