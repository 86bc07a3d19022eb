/**
 * What frontends ask of a shard: commands, which its group replicates, and queries, which its primary answers.
 *
 * Invariant: what is decoded is what was encoded; all else is a `WireError`. Each body begins with one byte, its kind; integers
 * are little-endian, `id` is client u64 and number u64 (transaction.ts).
 *
 *   command         kind  fields                          reply
 *   prepare          1    transaction                     vote
 *   decide           2    id, timestamp u64               outcome; at the home: commits unless it is decided otherwise
 *   commit           3    id, timestamp u64               outcome; elsewhere, once the home has decided
 *   abort            4    id                              outcome
 *   resolve          5    id                              outcome; at the home: aborts unless it is decided
 *   finish           6    id                              outcome; at the home: everyone has carried it out
 *   at once          7    timestamp u64, view u64,        vote; commits unless it is refused. `view`: of this group, as its
 *                         transaction                     frontend knew it before it asked for the timestamp (at-once.ts)
 *   preload          8    keys                            empty; an empty shard gets these keys (preload.ts)
 *
 *   vote:     kind u8 (0 yes, 1 no, 2 decided, 3 late), then
 *             yes      largest u64       the largest commit timestamp that the shard knows
 *             no       reason u8, key u32 length and bytes
 *             decided  outcome
 *   outcome:  kind u8 (0 aborted, 1 committed, 2 forgotten), timestamp u64
 *
 *   query           kind  fields                                         reply
 *   read             1    timestamp u64 (0: newest), known u64, keys     horizon u64, position u64, versions
 *   scan             2    timestamp u64, from, after u8, to, count u32   horizon u64, is more u8, entries (versions.h)
 *   changes          3    position u64, waits u8, up to u64              kind u8 (0 changes, 1 too old), position u64, floor u64,
 *                                                                        changes
 *   validate         5    timestamp u64, transaction                     u8 1: nothing that it read has changed up to the timestamp
 *   now              6    key u32 length and bytes                       as read; at least as new as all that was acknowledged
 *   unsettled        4                                                   prepared: id, home; unfinished: id, timestamp, participants
 *
 *   version:  start u64, end u64, type u8, value u32 length and bytes
 *   change:   position u64, timestamp u64, keys u32 count, each u32 length and bytes
 */
import { ByteReader, ByteWriter, WireError } from "../wire/bytes.ts";
import type { Change } from "./feed.ts";
import {
  readId,
  readTransaction,
  type Transaction,
  type TransactionId,
  writeId,
  writeTransaction,
} from "./transaction.ts";

export type ShardCommand =
  | { kind: "prepare"; transaction: Transaction }
  | { kind: "decide" | "commit"; id: TransactionId; timestamp: number }
  | { kind: "abort" | "resolve" | "finish"; id: TransactionId }
  | { kind: "atOnce"; timestamp: number; view: number; transaction: Transaction }
  | { kind: "preload"; keys: Uint8Array[] };

export type FinalOutcome =
  | { kind: "committed"; timestamp: number }
  | { kind: "aborted" }
  /** The client said itself that it is settled. */
  | { kind: "forgotten" };

export const refusals = [
  "prepared", // another transaction holds the key
  "stale", // what was read has changed
  "overwritten", // somebody else committed first (snapshot isolation)
  "tooOld", // the snapshot is older than the versions that are kept
  "invalid", // operations that cannot be read
] as const;
export type Refusal = (typeof refusals)[number];

export type Vote =
  | { kind: "yes"; largest: number }
  | { kind: "no"; reason: Refusal; key: Uint8Array }
  | { kind: "decided"; outcome: FinalOutcome }
  /** It cannot be committed at its timestamp; nothing was done. */
  | { kind: "late" };

const commandKinds = [
  "prepare",
  "decide",
  "commit",
  "abort",
  "resolve",
  "finish",
  "atOnce",
  "preload",
] as const;

/** Whether a command is one of these, without reading all of it. */
export const isAtOnce = (bytes: Uint8Array) => bytes[0] === 1 + commandKinds.indexOf("atOnce");

export function encodeCommand(command: ShardCommand): Uint8Array {
  const writer = new ByteWriter();
  writer.u8(1 + commandKinds.indexOf(command.kind));
  if (command.kind === "prepare") writeTransaction(writer, command.transaction);
  else if (command.kind === "atOnce") {
    writer.u64(command.timestamp).u64(command.view);
    writeTransaction(writer, command.transaction);
  } else if (command.kind === "preload") writeKeys(writer, command.keys);
  else {
    writeId(writer, command.id);
    if ("timestamp" in command) writer.u64(command.timestamp);
  }
  return writer.done();
}

export function decodeCommand(bytes: Uint8Array): ShardCommand {
  const reader = new ByteReader(bytes);
  const code = reader.u8();
  const kind = commandKinds[code - 1];
  const command = readCommand(reader, kind, code);
  reader.end();
  return command;
}

function readCommand(reader: ByteReader, kind: ShardCommand["kind"] | undefined, code: number): ShardCommand {
  switch (kind) {
    case "prepare":
      return { kind, transaction: readTransaction(reader) };
    case "decide":
    case "commit":
      return { kind, id: readId(reader), timestamp: reader.u64() };
    case "abort":
    case "resolve":
    case "finish":
      return { kind, id: readId(reader) };
    case "atOnce":
      return {
        kind,
        timestamp: reader.u64(),
        view: reader.u64(),
        transaction: readTransaction(reader),
      };
    case "preload":
      return { kind, keys: readKeys(reader) };
    default:
      throw new WireError(`${code} is no command of a shard`);
  }
}

const outcomeKinds = ["aborted", "committed", "forgotten"] as const;

function writeOutcome(writer: ByteWriter, outcome: FinalOutcome): void {
  writer.u8(outcomeKinds.indexOf(outcome.kind)).u64(outcome.kind === "committed" ? outcome.timestamp : 0);
}

function readOutcome(reader: ByteReader): FinalOutcome {
  const kind = outcomeKinds[reader.u8()];
  const timestamp = reader.u64();
  if (kind === undefined) throw new WireError("an outcome cannot be read");
  return kind === "committed" ? { kind, timestamp } : { kind };
}

export function encodeOutcome(outcome: FinalOutcome): Uint8Array {
  const writer = new ByteWriter();
  writeOutcome(writer, outcome);
  return writer.done();
}

export function decodeOutcome(bytes: Uint8Array): FinalOutcome {
  const reader = new ByteReader(bytes);
  const outcome = readOutcome(reader);
  reader.end();
  return outcome;
}

export function encodeVote(vote: Vote): Uint8Array {
  const writer = new ByteWriter();
  if (vote.kind === "yes") writer.u8(0).u64(vote.largest);
  else if (vote.kind === "no") writer.u8(1).u8(refusals.indexOf(vote.reason)).bytes(vote.key);
  else if (vote.kind === "late") writer.u8(3);
  else {
    writer.u8(2);
    writeOutcome(writer, vote.outcome);
  }
  return writer.done();
}

export function decodeVote(bytes: Uint8Array): Vote {
  const reader = new ByteReader(bytes);
  switch (reader.u8()) {
    case 0:
      return { kind: "yes", largest: reader.u64() };
    case 1: {
      const reason = refusals[reader.u8()];
      if (reason === undefined) throw new WireError("a refusal cannot be read");
      return { kind: "no", reason, key: reader.ownBytes() };
    }
    case 2:
      return { kind: "decided", outcome: readOutcome(reader) };
    case 3:
      return { kind: "late" };
    default:
      throw new WireError("a vote cannot be read");
  }
}

// --- queries ---------------------------------------------------------------------------------------------------

export type ShardQuery =
  /** `timestamp` 0: the newest version. `known`: the largest timestamp that the asker knows was issued. */
  | { kind: "read"; timestamp: number; known: number; keys: Uint8Array[] }
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
  /** One key, at least as new as everything that was acknowledged before. */
  | { kind: "now"; key: Uint8Array };

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

const queryKinds = ["read", "scan", "changes", "unsettled", "validate", "now"] as const;
const KEYS_MAX = 100_000;

function writeKeys(writer: ByteWriter, keys: readonly Uint8Array[]): void {
  writer.u32(keys.length);
  for (const key of keys) writer.bytes(key);
}

function readKeys(reader: ByteReader): Uint8Array[] {
  const keys: Uint8Array[] = [];
  for (let left = reader.count(4, KEYS_MAX); left > 0; left--) keys.push(reader.ownBytes());
  return keys;
}

export function encodeQuery(query: ShardQuery): Uint8Array {
  const writer = new ByteWriter();
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
  } else if (query.kind === "now") writer.bytes(query.key);
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
    case "now":
      return { kind, key: reader.ownBytes() };
    default:
      throw new WireError(`${code} is no query of a shard`);
  }
}

export function encodeReadReply({ horizon, position, versions }: ReadReply): Uint8Array {
  const writer = new ByteWriter();
  writer.u64(horizon).u64(position).u32(versions.length);
  for (const { start, end, type, value } of versions) writer.u64(start).u64(end).u8(type).bytes(value);
  return writer.done();
}

export function decodeReadReply(bytes: Uint8Array): ReadReply {
  const reader = new ByteReader(bytes);
  const horizon = reader.u64();
  const position = reader.u64();
  const versions: ReadVersion[] = [];
  for (let left = reader.count(21, KEYS_MAX); left > 0; left--)
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
