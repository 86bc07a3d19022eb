/**
 * What frontends ask of a shard: queries, which its primary answers and no log holds. What they tell it stands in commands.ts.
 *
 * Invariant: what is decoded is what was encoded; all else is a `WireError`. A query begins with one byte, its kind; integers are
 * little-endian, `id` is client u64 and number u64 (transaction.ts), keys are a list (key-list.ts).
 *
 *   query           kind  fields                                         reply
 *   read             1    timestamp u64 (0: newest), known u64, keys     horizon u64, position u64, versions
 *   scan             2    timestamp u64, from, after u8, to, count u32   horizon u64, is more u8, entries (versions.h)
 *   changes          3    position u64, waits u8, up to u64              kind u8 (0 changes, 1 too old), position u64, floor u64,
 *                                                                        changes
 *   validate         5    timestamp u64, transaction                     u8 1: nothing that it read has changed up to the timestamp
 *   committed        6    keys                                           as read; what is committed now, without waiting
 *   unsettled        4                                                   prepared: id, home; unfinished: id, timestamp, participants
 *
 *   version:  start u64, end u64, type u8, value u32 length and bytes
 *   change:   position u64, timestamp u64, keys u32 count, each u32 length and bytes
 */
import { ByteReader, ByteWriter, WireError } from "../wire/bytes.ts";
import type { Change } from "./feed.ts";
import { KEYS_MAX, keysBytes, readKeys, writeKeys } from "./key-list.ts";
import {
  readId,
  readTransaction,
  type Transaction,
  type TransactionId,
  writeId,
  writeTransaction,
} from "./transaction.ts";

export type ShardQuery =
  /** `timestamp` 0: the newest version. `known`: the largest timestamp that the asker knows was issued. */
  | { kind: "read"; timestamp: number; known: number; keys: readonly Uint8Array[] }
  | { kind: "scan"; timestamp: number; from: Uint8Array; after: boolean; to: Uint8Array; countMax: number }
  /**
   * With `waits` it is answered when there are changes behind the position, else at once; and then nothing is ordered at or below `upTo`
   * any more, so that the answer can say how far it goes.
   */
  | { kind: "changes"; position: number; waits: boolean; upTo: number }
  /** What may wait for a coordinator that is gone. */
  | { kind: "unsettled" }
  /** Whether what a transaction read is still so at the timestamp. */
  | { kind: "validate"; timestamp: number; transaction: Transaction }
  /** What is committed of each key, whatever is under way on it. */
  | { kind: "committed"; keys: Uint8Array[] };

/** A version as a client may keep it: valid from `start` to `end`, both included, whatever is committed later. */
export interface ReadVersion {
  start: number;
  end: number;
  type: number;
  value: Uint8Array;
}

export interface ReadReply {
  /** Reads below this timestamp are refused. */
  horizon: number;
  /** Of the shard's log: changes behind it are not in what was read. */
  position: number;
  versions: ReadVersion[];
}

export interface Unsettled {
  prepared: { id: TransactionId; home: number }[];
  unfinished: { id: TransactionId; timestamp: number; participants: number[] }[];
}

const queryKinds = ["read", "scan", "changes", "unsettled", "validate", "committed"] as const;
/** Before its keys. */
const READ_HEAD_BYTES = 17;

export function encodeQuery(query: ShardQuery): Uint8Array {
  const writer = new ByteWriter(query.kind === "read" ? READ_HEAD_BYTES + keysBytes(query.keys) : undefined);
  writer.u8(1 + queryKinds.indexOf(query.kind));
  if (query.kind === "read") {
    writer.u64(query.timestamp).u64(query.known);
    writeKeys(writer, query.keys);
  } else if (query.kind === "scan") {
    const { timestamp, from, after, to, countMax } = query;
    writer
      .u64(timestamp)
      .bytes(from)
      .u8(after ? 1 : 0)
      .bytes(to)
      .u32(countMax);
  } else if (query.kind === "validate") {
    writer.u64(query.timestamp);
    writeTransaction(writer, query.transaction);
  } else if (query.kind === "committed") writeKeys(writer, query.keys);
  else if (query.kind === "changes")
    writer
      .u64(query.position)
      .u8(query.waits ? 1 : 0)
      .u64(query.upTo);
  return writer.done();
}

export function decodeQuery(bytes: Uint8Array): ShardQuery {
  const reader = new ByteReader(bytes);
  const code = reader.u8();
  const query = readQuery(reader, queryKinds[code - 1], code);
  reader.end();
  return query;
}

function readQuery(reader: ByteReader, kind: ShardQuery["kind"] | undefined, code: number): ShardQuery {
  switch (kind) {
    case "read":
      return { kind, timestamp: reader.u64(), known: reader.u64(), keys: readKeys(reader) };
    case "scan": {
      const timestamp = reader.u64();
      const from = reader.ownBytes();
      const after = reader.u8() !== 0;
      return { kind, timestamp, from, after, to: reader.ownBytes(), countMax: reader.u32() };
    }
    case "changes":
      return { kind, position: reader.u64(), waits: reader.u8() !== 0, upTo: reader.u64() };
    case "unsettled":
      return { kind };
    case "validate":
      return { kind, timestamp: reader.u64(), transaction: readTransaction(reader) };
    case "committed":
      return { kind, keys: readKeys(reader) };
    default:
      throw new WireError(`${code} is no query of a shard`);
  }
}

const READ_REPLY_BYTES_MIN = 20;
/** Without its value. */
const VERSION_BYTES_MIN = 21;

export function encodeReadReply({ horizon, position, versions }: ReadReply): Uint8Array {
  const bytes = versions.reduce(
    (sum, { value }) => sum + VERSION_BYTES_MIN + value.byteLength,
    READ_REPLY_BYTES_MIN,
  );
  const writer = new ByteWriter(bytes);
  writer.u64(horizon).u64(position).u32(versions.length);
  for (const { start, end, type, value } of versions) writer.u64(start).u64(end).u8(type).bytes(value);
  return writer.done();
}

export function decodeReadReply(bytes: Uint8Array): ReadReply {
  const reader = new ByteReader(bytes);
  const horizon = reader.u64();
  const position = reader.u64();
  const versions: ReadVersion[] = [];
  for (let left = reader.count(VERSION_BYTES_MIN, KEYS_MAX); left > 0; left--)
    versions.push({
      start: reader.u64(),
      end: reader.u64(),
      type: reader.u8(),
      value: reader.ownBytes(),
    });
  reader.end();
  return { horizon, position, versions };
}

export interface ScanReply {
  horizon: number;
  /** A limit ended it: go on behind the last key. */
  isMore: boolean;
  /** As nx_versions_scan writes them. */
  entries: Uint8Array;
}

export function encodeScanReply({ horizon, isMore, entries }: ScanReply): Uint8Array {
  return new ByteWriter(entries.byteLength + 16)
    .u64(horizon)
    .u8(isMore ? 1 : 0)
    .raw(entries)
    .done();
}

export interface ScanEntry {
  key: Uint8Array;
  start: number;
  /** Of the version above it; 0: none. */
  next: number;
  type: number;
  value: Uint8Array;
}

export function decodeScanReply(bytes: Uint8Array): {
  horizon: number;
  isMore: boolean;
  entries: ScanEntry[];
} {
  const reader = new ByteReader(bytes);
  const horizon = reader.u64();
  const isMore = reader.u8() !== 0;
  const entries: ScanEntry[] = [];
  while (reader.remaining > 0)
    entries.push({
      key: reader.ownBytes(),
      start: reader.u64(),
      next: reader.u64(),
      type: reader.u8(),
      value: reader.ownBytes(),
    });
  return { horizon, isMore, entries };
}

export interface ChangesReply {
  /** Go on from here. */
  position: number;
  /**
   * What is committed behind `position` has a timestamp above this one. At most `upTo`; 0: not known.
   */
  floor: number;
  /** Undefined: some behind the asked position are no longer kept; read again and go on from `position`. */
  changes: Change[] | undefined;
}

export function encodeChanges({ position, floor, changes }: ChangesReply): Uint8Array {
  const writer = new ByteWriter();
  writer
    .u8(changes === undefined ? 1 : 0)
    .u64(position)
    .u64(Math.min(floor, Number.MAX_SAFE_INTEGER))
    .u32(changes?.length ?? 0);
  for (const change of changes ?? []) {
    writer.u64(change.position).u64(change.timestamp);
    writeKeys(writer, change.keys);
  }
  return writer.done();
}

export function decodeChanges(bytes: Uint8Array): ChangesReply {
  const reader = new ByteReader(bytes);
  const isTooOld = reader.u8() !== 0;
  const position = reader.u64();
  const floor = reader.u64();
  const changes: Change[] = [];
  for (let left = reader.count(20); left > 0; left--)
    changes.push({ position: reader.u64(), timestamp: reader.u64(), keys: readKeys(reader) });
  reader.end();
  return { position, floor, changes: isTooOld ? undefined : changes };
}

export function encodeUnsettled({ prepared, unfinished }: Unsettled): Uint8Array {
  const writer = new ByteWriter();
  writer.u32(prepared.length);
  for (const { id, home } of prepared) {
    writeId(writer, id);
    writer.u32(home);
  }
  writer.u32(unfinished.length);
  for (const { id, timestamp, participants } of unfinished) {
    writeId(writer, id);
    writer.u64(timestamp).numbers(participants);
  }
  return writer.done();
}

export function decodeUnsettled(bytes: Uint8Array): Unsettled {
  const reader = new ByteReader(bytes);
  const prepared: Unsettled["prepared"] = [];
  for (let left = reader.count(20); left > 0; left--)
    prepared.push({ id: readId(reader), home: reader.u32() });
  const unfinished: Unsettled["unfinished"] = [];
  for (let left = reader.count(28); left > 0; left--)
    unfinished.push({ id: readId(reader), timestamp: reader.u64(), participants: reader.numbers(4096) });
  reader.end();
  return { prepared, unfinished };
}
