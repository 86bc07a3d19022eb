/**
 * What clients send, as bytes; codec.ts says how they travel and how fields are written.
 *
 *   client → frontend
 *    1 hello     protocols u32 count, u64 each; client u64; token text; unacked max u32
 *    2 begin     request u32
 *    3 read      request u32; at u64; keys
 *    4 scan      request u32; at u64; prefix bytes; after bytes; count max u32
 *    5 commit    request u32; id (client u64, number u64); floor u64; level u8 (255: the tables'); snapshot u64; accesses
 *                (shard/transaction.ts)
 *    6 resolve   request u32; id; keys
 *    7 watch     request u32; watch u32; at u64; delay ms u32; keys; prefixes (as keys)
 *    8 unwatch   request u32; watch u32
 *    9 ack       at u64
 *   10 ping
 *   11 readInTurn  request u32; line u64; id; keys     (version 2)
 *   12 leave     line u64                               (version 2)
 */
import { readAccesses, readId, writeAccesses, writeId } from "../shard/transaction.ts";
import { type ByteReader, type ByteWriter, getU32, WireError } from "../wire/bytes.ts";
import {
  readKey,
  readKeys,
  readOptionalLevel,
  readRequest,
  upTo,
  writeKeys,
  writeOptionalLevel,
} from "./fields.ts";
import { type ClientMessage, type ClientTransaction, limits } from "./messages.ts";

export const clientCodes = {
  hello: 1,
  begin: 2,
  read: 3,
  scan: 4,
  commit: 5,
  resolve: 6,
  watch: 7,
  unwatch: 8,
  ack: 9,
  ping: 10,
  readInTurn: 11,
  leave: 12,
} as const;

export function writeClientMessage(writer: ByteWriter, message: ClientMessage): void {
  writer.u8(clientCodes[message.type]);
  switch (message.type) {
    case "hello":
      writer.numbers(message.protocols).u64(message.client).text(message.token).u32(message.unackedMax);
      return;
    case "begin":
      writer.u32(message.request);
      return;
    case "read":
      writer.u32(message.request).u64(message.at);
      writeKeys(writer, message.keys);
      return;
    case "scan":
      writer.u32(message.request).u64(message.at).bytes(message.prefix).bytes(message.after);
      writer.u32(message.countMax);
      return;
    case "commit":
      writer.u32(message.request);
      writeClientTransaction(writer, message.transaction);
      return;
    case "resolve":
      writer.u32(message.request);
      writeId(writer, message.id);
      writeKeys(writer, message.keys);
      return;
    case "watch":
      writer.u32(message.request).u32(message.watch).u64(message.at).u32(message.delayMs);
      writeKeys(writer, message.keys);
      writeKeys(writer, message.prefixes);
      return;
    case "unwatch":
      writer.u32(message.request).u32(message.watch);
      return;
    case "ack":
      writer.u64(message.at);
      return;
    case "readInTurn":
      writer.u32(message.request).u64(message.line);
      writeId(writer, message.id);
      writeKeys(writer, message.keys);
      return;
    case "leave":
      writer.u64(message.line);
      return;
    case "ping":
  }
}

/**
 * The timestamp of an `ack`; undefined: these bytes are another message, or none. Of all messages a frontend gets this one by
 * far the most.
 */
export function ackOf(bytes: Uint8Array): number | undefined {
  if (bytes[0] !== clientCodes.ack || bytes.byteLength !== 9) return undefined;
  const at = getU32(bytes, 5) * 2 ** 32 + getU32(bytes, 1);
  return Number.isSafeInteger(at) ? at : undefined;
}

export function readClientMessage(reader: ByteReader, code: number): ClientMessage {
  switch (code) {
    case clientCodes.hello:
      return readHello(reader);
    case clientCodes.begin:
      return { type: "begin", request: readRequest(reader) };
    case clientCodes.read:
      return { type: "read", request: readRequest(reader), at: reader.u64(), keys: readKeys(reader) };
    case clientCodes.scan:
      return readScan(reader);
    case clientCodes.commit:
      return {
        type: "commit",
        request: readRequest(reader),
        transaction: readClientTransaction(reader),
      };
    case clientCodes.resolve:
      return { type: "resolve", request: readRequest(reader), id: readId(reader), keys: readKeys(reader) };
    case clientCodes.watch:
      return {
        type: "watch",
        request: readRequest(reader),
        watch: reader.u32(),
        at: reader.u64(),
        delayMs: upTo(reader.u32(), limits.delayMsMax, "delay ms"),
        keys: readKeys(reader),
        prefixes: readKeys(reader, limits.prefixesMax),
      };
    case clientCodes.unwatch:
      return { type: "unwatch", request: readRequest(reader), watch: reader.u32() };
    case clientCodes.ack:
      return { type: "ack", at: reader.u64() };
    case clientCodes.readInTurn:
      return {
        type: "readInTurn",
        request: readRequest(reader),
        line: reader.u64(),
        id: readId(reader),
        keys: readKeys(reader, limits.turnKeysMax),
      };
    case clientCodes.leave:
      return { type: "leave", line: reader.u64() };
    case clientCodes.ping:
      return { type: "ping" };
    default:
      throw new WireError(`${code} is no message of a client`);
  }
}

function readHello(reader: ByteReader): ClientMessage {
  const protocols = reader.numbers(16);
  const client = reader.u64();
  const token = reader.text();
  upTo(token.length, limits.tokenBytesMax, "the length of the token");
  const unackedMax = reader.u32();
  if (unackedMax < 1) throw new WireError("at least one run must be allowed on its way");
  return { type: "hello", protocols, client, token, unackedMax: Math.min(unackedMax, limits.unackedMax) };
}

function readScan(reader: ByteReader): ClientMessage {
  return {
    type: "scan",
    request: readRequest(reader),
    at: reader.u64(),
    prefix: readKey(reader, 0),
    after: readKey(reader, 0),
    countMax: upTo(reader.u32(), limits.scanCountMax, "the count of a scan"),
  };
}

function writeClientTransaction(writer: ByteWriter, transaction: ClientTransaction): void {
  writeId(writer, transaction.id);
  writer.u64(transaction.floor);
  writeOptionalLevel(writer, transaction.level);
  writer.u64(transaction.snapshot);
  writeAccesses(writer, transaction.accesses);
}

function readClientTransaction(reader: ByteReader): ClientTransaction {
  const id = readId(reader);
  const floor = reader.u64();
  const level = readOptionalLevel(reader);
  const snapshot = reader.u64();
  return { id, floor, level, snapshot, accesses: readAccesses(reader) };
}
