/**
 * A transaction as one shard sees it: what it read and what it does to keys of this shard, and how strictly it is to be
 * checked.
 *
 *   transaction
 *   size  field
 *      8  client            random name of the client; from 2^52 on it keeps a log (KEPT_CLIENT_MIN)
 *      8  number            of the transaction in the life of that client, from 1
 *      8  floor             transactions of the client below this are settled: it will not ask for them again
 *      1  level             0 read committed, 1 snapshot isolation, 2 strict serializability
 *      8  snapshot          timestamp of its reads under snapshot isolation, else 0
 *      4  home              the shard that keeps the decision
 *      4+ participants      u32 count, then u64 each: the shards that it touches
 *      4+ accesses          u32 count, then for each key, none of them twice
 *            4+ key         u32 length, bytes
 *            4+ reads       u32 count, then for each read
 *                  1  part kind      0 whole, 1 list index, 2 set element, 3 map field
 *                  4+ part data
 *                  8  version        commit timestamp of the version that was read, 0: none
 *                  1  was present
 *            4+ operations  u32 length, operations (native/versions/versions.h); empty: the key is only read
 */
import { type Part, PartKind } from "../../native/version-values.ts";
import { type ByteReader, type ByteWriter, compareBytes, WireError } from "../wire/bytes.ts";

/** Names a transaction for ever: whoever retries uses the same one. */
export interface TransactionId {
  client: number;
  number: number;
}

/**
 * Clients with such a number keep a log of what they have sent: they may ask for an outcome after days, as long as
 * they have not said (`floor`) that they know it.
 */
export const KEPT_CLIENT_MIN = 2 ** 52;

export const Level = { readCommitted: 0, snapshot: 1, strict: 2 } as const;
export type Level = (typeof Level)[keyof typeof Level];

export interface Read {
  part: Part;
  version: number;
  wasPresent: boolean;
}

export interface Access {
  key: Uint8Array;
  reads: Read[];
  /** Encoded; empty when the key is only read. */
  operations: Uint8Array;
}

export interface Transaction {
  id: TransactionId;
  floor: number;
  level: Level;
  snapshot: number;
  home: number;
  participants: number[];
  accesses: Access[];
}

/** Of every key, in bytes. */
export const KEY_BYTES_MAX = 65_535;
const PARTICIPANTS_MAX = 4096;
/** Keys of one transaction, and reads of one key. */
export const ACCESSES_MAX = 100_000;
/** What an access takes at least. */
const ACCESS_BYTES_MIN = 12;

export const idText = ({ client, number }: TransactionId) => `${client}:${number}`;

export function writeId(writer: ByteWriter, { client, number }: TransactionId): void {
  writer.u64(client).u64(number);
}

export function readId(reader: ByteReader): TransactionId {
  return { client: reader.u64(), number: reader.u64() };
}

export function writeTransaction(writer: ByteWriter, transaction: Transaction): void {
  const { id, floor, level, snapshot, home, participants, accesses } = transaction;
  writeId(writer, id);
  writer.u64(floor).u8(level).u64(snapshot).u32(home).numbers(participants);
  writeAccesses(writer, accesses);
}

const HEAD_BYTES = 45;
const READ_BYTES_MIN = 14;

/** What `writeTransaction` takes: who makes room for it first has nothing to copy afterwards. */
export function transactionBytes({ participants, accesses }: Transaction): number {
  let bytes = HEAD_BYTES + 8 * participants.length;
  for (const { key, reads, operations } of accesses) {
    bytes += ACCESS_BYTES_MIN + key.byteLength + operations.byteLength;
    for (const { part } of reads) bytes += READ_BYTES_MIN + part.data.byteLength;
  }
  return bytes;
}

export function writeAccesses(writer: ByteWriter, accesses: readonly Access[]): void {
  writer.u32(accesses.length);
  for (const { key, reads, operations } of accesses) {
    writer.bytes(key).u32(reads.length);
    for (const { part, version, wasPresent } of reads)
      writer
        .u8(part.kind)
        .bytes(part.data)
        .u64(version)
        .u8(wasPresent ? 1 : 0);
    writer.bytes(operations);
  }
}

/** Throws WireError. Nothing in the result shares memory with what is read from. */
export function readTransaction(reader: ByteReader): Transaction {
  return { ...readHead(reader), accesses: readAccesses(reader) };
}

/** Throws WireError. What stands before the accesses. */
export function readHead(reader: ByteReader): Omit<Transaction, "accesses"> {
  const id = readId(reader);
  const floor = reader.u64();
  const level = readLevel(reader);
  const snapshot = reader.u64();
  const home = reader.u32();
  const participants = reader.numbers(PARTICIPANTS_MAX);
  return { id, floor, level, snapshot, home, participants };
}

function readLevel(reader: ByteReader): Level {
  return levelOf(reader.u8());
}

/** Throws WireError. */
export function levelOf(level: number): Level {
  if (level > Level.strict) throw new WireError(`there is no isolation level ${level}`);
  return level as Level;
}

/** Throws WireError. Nothing in the result shares memory with what is read from. */
export function readAccesses(reader: ByteReader): Access[] {
  const accesses: Access[] = [];
  for (let left = readAccessCount(reader); left > 0; left--) accesses.push(readAccess(reader));
  if (accesses.length > 1 && haveTwins(accesses.map(({ key }) => key))) throw namesTwice();
  return accesses;
}

/** Throws WireError. */
export const readAccessCount = (reader: ByteReader) => reader.count(ACCESS_BYTES_MIN, ACCESSES_MAX);

/** A transaction leaves one version of a key. */
export const namesTwice = () => new WireError("a transaction names a key twice");

/** So many keys are compared with each other sooner than they are named. */
const FEW_KEYS = 8;
/** Every byte is a character of its own. Clients in browsers read this too, so keys are not named by a Buffer (wire/key-name.ts). */
const namer = new TextDecoder("latin1");

function haveTwins(keys: readonly Uint8Array[]): boolean {
  if (keys.length > FEW_KEYS) return new Set(keys.map((key) => namer.decode(key))).size < keys.length;
  return keys.some((key, index) =>
    keys.some((other, place) => place < index && compareBytes(key, other) === 0),
  );
}

/** Throws WireError. */
export function readAccess(reader: ByteReader): Access {
  const key = reader.ownBytes();
  if (key.byteLength > KEY_BYTES_MAX) throw new WireError(`a key has more than ${KEY_BYTES_MAX} bytes`);
  const reads: Read[] = [];
  for (let left = reader.count(READ_BYTES_MIN, ACCESSES_MAX); left > 0; left--) reads.push(readRead(reader));
  return { key, reads, operations: reader.ownBytes() };
}

function readRead(reader: ByteReader): Read {
  const kind = reader.u8();
  const data = reader.ownBytes();
  if (kind > PartKind.field || (kind === PartKind.index && data.byteLength !== 4))
    throw new WireError("a part of a value cannot be read");
  const version = reader.u64();
  return { part: { kind: kind as Part["kind"], data }, version, wasPresent: reader.u8() !== 0 };
}
