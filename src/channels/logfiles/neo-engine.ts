/**
 * The neo requests of a logfiles node: Put and GetRange, many at once on one connection.
 *
 * In TypeScript, unlike the dht's engine: a request is a record to put or a scan that another thread makes, so there is
 * little to do here but to take messages apart. The port (../neo-port.ts) sees it as it sees the engines in C.
 *
 *   Put       1, version 1: channel, i64 time, value                      → 01 stored, 02 error
 *   GetRange  2, version 2: channel, i64 low, i64 high, filter, u8 mode   → 01 started, 03 error; then batches:
 *             03 u64 length of the content, array stream; the client says 01 go on (or 02 stop → 04 stopped);
 *             05 finished, the client says 06; 07 error
 *
 * Invariant: a message that is none, of a request that waits for none, or longer than any may be, ends the connection.
 * A crash loses connections and unanswered requests.
 */
import type { Clock } from "../../core/seams/clock.ts";
import type { NeoConnection } from "../../native/neo.ts";
import { NeoFlag } from "../../native/neo.ts";
import { FiguresView } from "../../native/request-figures.ts";
import type { NeoSideEngine } from "../neo-side.ts";
import { HEADER_BYTES, message, MessageType, readHeader, u64 } from "../wire/neo/messages.ts";
import { PayloadReader } from "../wire/neo/payload-reader.ts";
import { Support } from "../wire/neo/protocol.ts";
import { isChannelName } from "./channel-name.ts";
import type { Pieces } from "./scan/scan.ts";
import type { LogStore } from "./store/log-store.ts";

export const NeoCode = { Put: 1, GetRange: 2 } as const;
const versions = new Map<number, number>([
  [NeoCode.Put, 1],
  [NeoCode.GetRange, 2],
]);

const MESSAGE_BYTES_MAX = 1024 * 1024;
const REQUESTS_MAX = 1024;
const VALUE_BYTES_MAX = 65_536;
const modes = ["all", "substring", "regex", "regexIgnoringCase"] as const;

/** A GetRange under way. */
interface RangeRequest {
  pieces: Pieces;
  startMs: number;
  /** What the client may say now: go on with batches, acknowledge the end, or nothing yet. */
  awaits: "nothing" | "go on" | "acknowledgement";
}

interface Connection {
  /** What has come of a message that is not whole: joined once, when the rest is there. */
  input: Buffer[];
  inputBytes: number;
  /** So many bytes are needed before something can be done. */
  neededBytes: number;
  requests: Map<bigint, RangeRequest>;
  /** Messages that scans have made and that were not taken yet. */
  ready: Buffer[];
  isClosing: boolean;
}

/** What a client may not send. */
class ProtocolError extends Error {}

const byte = (value: number) => Uint8Array.of(value);

export class LogfilesNeoEngine implements NeoSideEngine {
  readonly #store: LogStore;
  readonly #channelsMax: number;
  readonly #clock: Clock;
  /** For stats.log. */
  readonly figures = new FiguresView();
  readonly #connections = new Map<NeoConnection, Connection>();
  #nextConnection = 1;
  #replies: Buffer[] = [];
  #events: string[] = [];
  #isUrgent = false;
  #requestsTotal = 0;
  #errorsTotal = 0;

  constructor(store: LogStore, channelsMax: number, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
    this.#channelsMax = channelsMax;
  }

  connect(_mayAdministrate: boolean): NeoConnection {
    const name = this.#nextConnection++ as unknown as NeoConnection;
    this.#connections.set(name, {
      ...{ input: [], inputBytes: 0, neededBytes: HEADER_BYTES },
      ...{ requests: new Map(), ready: [], isClosing: false },
    });
    return name;
  }

  disconnect(name: NeoConnection): void {
    const connection = this.#connections.get(name);
    this.#connections.delete(name);
    if (connection === undefined) return;
    connection.isClosing = true;
    for (const id of connection.requests.keys()) this.#end(connection, id);
  }

  #of(name: NeoConnection): Connection {
    return this.#connections.get(name) as Connection;
  }

  feed(name: NeoConnection, chunk: Uint8Array, _nowMs: number): number {
    const connection = this.#of(name);
    this.#replies = [];
    connection.input.push(Buffer.from(chunk)); // the chunk is only lent
    connection.inputBytes += chunk.byteLength;
    try {
      if (connection.inputBytes >= connection.neededBytes) this.#serve(connection);
    } catch (error) {
      // Fields that end before their message does are an NxError of the reader.
      this.#events.push(`a neo client broke the protocol: ${(error as Error).message}`);
      connection.isClosing = true;
    }
    return this.#flags(connection);
  }

  pump(name: NeoConnection, _nowMs: number): number {
    const connection = this.#of(name);
    this.#replies = connection.ready;
    connection.ready = [];
    return this.#flags(connection);
  }

  #flags({ isClosing, requests, ready }: Connection): number {
    if (isClosing) return NeoFlag.Close;
    const isAwaited = ready.length > 0 || [...requests.values()].some(({ awaits }) => awaits === "nothing");
    return isAwaited ? NeoFlag.Streaming : 0;
  }

  waits(name: NeoConnection, _nowMs: number): boolean {
    return this.#of(name).ready.length > 0;
  }

  takeUrgency(): boolean {
    const isUrgent = this.#isUrgent;
    this.#isUrgent = false;
    return isUrgent;
  }

  replies(): Uint8Array {
    return this.#replies.length === 1 ? (this.#replies[0] as Buffer) : Buffer.concat(this.#replies);
  }

  get effectsLength(): number {
    return this.#store.logs.effects.length;
  }

  get hasEvents(): boolean {
    return this.#events.length > 0;
  }

  takeEvents(): string[] {
    return this.#events.splice(0);
  }

  statistics() {
    return { requestsTotal: this.#requestsTotal, errorsTotal: this.#errorsTotal };
  }

  /** Nothing to do: the store is asked before each write. */
  refuseWrites(): void {}

  /** Nothing to do: it owns no memory in C. */
  close(): void {}

  // --- messages --------------------------------------------------------------------------------------------------

  #serve(connection: Connection): void {
    let at = 0;
    let neededBytes = HEADER_BYTES;
    const input = Buffer.concat(connection.input);
    while (input.byteLength - at >= HEADER_BYTES) {
      const header = readHeader(input.subarray(at, at + HEADER_BYTES));
      if (header?.type !== MessageType.request || header.length < 8 || header.length > MESSAGE_BYTES_MAX)
        throw new ProtocolError("what it sent is no request");
      const end = at + HEADER_BYTES + header.length;
      neededBytes = end - at;
      if (input.byteLength < end) break;
      const id = input.readBigUInt64LE(at + HEADER_BYTES);
      this.#receive(connection, id, input.subarray(at + HEADER_BYTES + 8, end));
      at = end;
      neededBytes = HEADER_BYTES;
    }
    const rest = Buffer.from(input.subarray(at)); // a copy: what was served may go
    connection.input = [rest];
    connection.inputBytes = rest.byteLength;
    connection.neededBytes = neededBytes;
  }

  #receive(connection: Connection, id: bigint, payload: Buffer): void {
    const request = connection.requests.get(id);
    if (request !== undefined) this.#continue(connection, id, request, payload);
    else this.#begin(connection, id, payload);
  }

  #begin(connection: Connection, id: bigint, payload: Buffer): void {
    if (payload.byteLength < 2 || id === 0n) throw new ProtocolError("no request begins so");
    this.#requestsTotal += 1;
    const [code = 0, version = 0] = payload;
    const known = versions.get(code);
    if (known !== version) {
      this.#say(id, byte(known === undefined ? Support.codeNotSupported : Support.versionNotSupported));
      return;
    }
    this.#say(id, byte(Support.supported));
    const reader = new PayloadReader(payload.subarray(2));
    if (code === NeoCode.Put) this.#put(id, reader);
    else this.#getRange(connection, id, reader);
  }

  #say(id: bigint, ...parts: Uint8Array[]): void {
    this.#replies.push(message(MessageType.request, u64(id), ...parts));
  }

  #put(id: bigint, reader: PayloadReader): void {
    const startMs = this.#clock.monotonicMs();
    this.figures.begin(NeoCode.Put);
    const channel = Buffer.from(reader.array()).toString("latin1");
    const time = BigInt.asIntN(64, reader.u64());
    const value = reader.array();
    if (!reader.isAtEnd) throw new ProtocolError("a Put is longer than its fields");
    const isStored = time >= 0n && this.#mayPut(channel, value);
    if (isStored) {
      this.#store.put(channel, time, value);
      this.figures.count("written", value.byteLength);
    } else this.#errorsTotal += 1;
    this.figures.end(NeoCode.Put, this.#clock.monotonicMs() - startMs);
    this.#say(id, byte(isStored ? 1 : 2));
  }

  #mayPut(channel: string, value: Uint8Array): boolean {
    const isValue = value.byteLength > 0 && value.byteLength <= VALUE_BYTES_MAX;
    if (!isValue || !isChannelName(channel) || this.#store.refusal !== undefined) return false;
    return this.#store.channel(channel) !== undefined || this.#store.channels().length < this.#channelsMax;
  }

  // --- GetRange --------------------------------------------------------------------------------------------------

  #getRange(connection: Connection, id: bigint, reader: PayloadReader): void {
    const channel = Buffer.from(reader.array()).toString("latin1");
    const low = BigInt.asIntN(64, reader.u64());
    const high = BigInt.asIntN(64, reader.u64());
    const pattern = reader.array();
    const mode = modes[reader.u8()];
    if (!reader.isAtEnd) throw new ProtocolError("a GetRange is longer than its fields");
    if (connection.requests.size >= REQUESTS_MAX) throw new ProtocolError("too many requests at once");
    if (mode === undefined || !isChannelName(channel) || low < 0n || low > high) {
      this.#errorsTotal += 1;
      this.#say(id, byte(3));
      return;
    }
    const filter = { mode, pattern: Uint8Array.from(pattern) };
    const request = { low, high, filter, output: "neo" as const, batchBytes: 0 };
    const pieces = this.#store.scan(channel, request) ?? this.#store.scanNothing(request);
    this.figures.begin(NeoCode.GetRange);
    connection.requests.set(id, { pieces, startMs: this.#clock.monotonicMs(), awaits: "nothing" });
    void this.#nextBatch(connection, id, true);
  }

  #continue(connection: Connection, id: bigint, request: RangeRequest, payload: Buffer): void {
    const word = payload.byteLength === 1 ? payload[0] : undefined;
    if (request.awaits === "go on" && word === 1) {
      request.awaits = "nothing";
      void this.#nextBatch(connection, id, false);
    } else if (request.awaits === "go on" && word === 2) {
      this.#end(connection, id);
      this.#say(id, byte(4));
    } else if (request.awaits === "acknowledgement" && word === 6) {
      this.#end(connection, id);
    } else {
      throw new ProtocolError("a message that its request does not wait for");
    }
  }

  #end(connection: Connection, id: bigint): void {
    const request = connection.requests.get(id);
    connection.requests.delete(id);
    if (request === undefined) return;
    this.figures.end(NeoCode.GetRange, this.#clock.monotonicMs() - request.startMs);
    void request.pieces.close();
  }

  /** Leaves the next messages of a request for the port to take. Never rejects. */
  async #nextBatch(connection: Connection, id: bigint, isFirst: boolean): Promise<void> {
    const request = connection.requests.get(id) as RangeRequest;
    const leave = (...parts: Uint8Array[]) =>
      connection.ready.push(message(MessageType.request, u64(id), ...parts));
    try {
      let piece = await request.pieces.next();
      while (piece !== undefined && piece.byteLength === 0) piece = await request.pieces.next();
      if (connection.isClosing) return;
      if (isFirst) leave(byte(1));
      if (piece === undefined) leave(byte(5));
      else leave(byte(3), piece);
      request.awaits = piece === undefined ? "acknowledgement" : "go on";
    } catch (error) {
      if (connection.isClosing) return;
      this.#events.push(`a request for records failed: ${(error as Error).message}`);
      this.#errorsTotal += 1;
      leave(byte(isFirst ? 3 : 7));
      this.#end(connection, id);
    }
    this.#isUrgent = true;
  }
}
