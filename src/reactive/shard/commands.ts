/**
 * What frontends tell a shard: commands, which its group replicates. What they ask it stands in query-messages.ts.
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
 *   at once          7    timestamp u64, view u64,        vote; commits unless it is refused: alone, or as the home, when all others
 *                         transaction                     have voted. `view`: of this group, as its frontend knew it before it
 *                                                         asked for the timestamp (at-once.ts)
 *   preload          8    keys                            empty; an empty shard gets these keys (preload.ts)
 *   several          9    commands u32 count, each u32    outcomes, one behind the other; of kinds 2 to 6
 *                         length and bytes
 *   retain          10    retention                       empty; from here on (retention.ts)
 *
 *   A shard answers a command that it cannot read with one byte, 255, and does nothing.
 *
 *   vote:     kind u8 (0 yes, 1 no, 2 decided, 3 late), then
 *             yes      largest u64       the largest commit timestamp that the shard knows
 *             no       reason u8, key u32 length and bytes
 *             decided  outcome
 *   outcome:  kind u8 (0 aborted, 1 committed, 2 forgotten), timestamp u64
 */
import { ByteReader, ByteWriter, WireError } from "../wire/bytes.ts";
import { readKeys, writeKeys } from "./key-list.ts";
import { readRetention, type Retention, writeRetention } from "./retention.ts";
import {
  KEY_BYTES_MAX,
  readId,
  readTransaction,
  type Transaction,
  transactionBytes,
  type TransactionId,
  writeId,
  writeTransaction,
} from "./transaction.ts";

/** What is answered by an outcome. */
export type OutcomeCommand =
  | { kind: "decide" | "commit"; id: TransactionId; timestamp: number }
  | { kind: "abort" | "resolve" | "finish"; id: TransactionId };

export interface AtOnceCommand {
  kind: "atOnce";
  timestamp: number;
  view: number;
  transaction: Transaction;
}

export type ShardCommand =
  | OutcomeCommand
  | AtOnceCommand
  | { kind: "prepare"; transaction: Transaction }
  | { kind: "several"; commands: OutcomeCommand[] }
  | { kind: "preload"; keys: Uint8Array[] }
  | { kind: "retain"; retention: Retention };

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
  "several",
  "retain",
] as const;

/** What a command is answered that the shard cannot read, whatever it was to be answered; nothing was done. */
export const UNREADABLE = Uint8Array.of(255);

export const isUnreadable = (reply: Uint8Array) => reply.byteLength === 1 && reply[0] === UNREADABLE[0];

/** Throws WireError. */
function readerOf(reply: Uint8Array): ByteReader {
  if (isUnreadable(reply))
    throw new WireError("the shard cannot read this command: is it of an older version than its frontend?");
  return new ByteReader(reply);
}

/** Of an "at once", in front of its transaction. */
const AT_ONCE_HEAD_BYTES = 17;
/** With an id and a timestamp. */
const OUTCOME_COMMAND_BYTES = 25;
const OUTCOME_BYTES = 9;
/** Of what is not a refusal. */
const VOTE_BYTES = 1 + OUTCOME_BYTES;

/** Whether a command is one of these, without reading all of it. */
export const isAtOnce = (bytes: Uint8Array) => bytes[0] === 1 + commandKinds.indexOf("atOnce");

export const isPrepare = (bytes: Uint8Array) => bytes[0] === 1 + commandKinds.indexOf("prepare");

/** Of an "at once", what stands between its kind and its transaction. Throws WireError. */
export const passAtOnceHead = (reader: ByteReader): void => void reader.raw(16);

/** What a command takes, where that is known beforehand. */
function commandBytes(command: ShardCommand): number {
  if (command.kind === "atOnce") return AT_ONCE_HEAD_BYTES + transactionBytes(command.transaction);
  return command.kind === "prepare" ? 1 + transactionBytes(command.transaction) : OUTCOME_COMMAND_BYTES;
}

export function encodeCommand(command: ShardCommand): Uint8Array {
  const writer = new ByteWriter(commandBytes(command));
  writer.u8(1 + commandKinds.indexOf(command.kind));
  if (command.kind === "prepare") writeTransaction(writer, command.transaction);
  else if (command.kind === "atOnce") {
    writer.u64(command.timestamp).u64(command.view);
    writeTransaction(writer, command.transaction);
  } else if (command.kind === "preload") writeKeys(writer, command.keys);
  else if (command.kind === "retain") writeRetention(writer, command.retention);
  else if (command.kind === "several") {
    writer.u32(command.commands.length);
    for (const each of command.commands) writer.bytes(encodeCommand(each));
  } else {
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
    case "several":
      return { kind, commands: readSeveral(reader) };
    case "decide":
    case "commit":
    case "abort":
    case "resolve":
    case "finish":
      return readOutcomeCommand(reader, kind);
    case "atOnce":
      return {
        kind,
        timestamp: reader.u64(),
        view: reader.u64(),
        transaction: readTransaction(reader),
      };
    case "preload":
      return { kind, keys: readPreloaded(reader) };
    case "retain":
      return { kind, retention: readRetention(reader) };
    default:
      throw new WireError(`${code} is no command of a shard`);
  }
}

function readOutcomeCommand(reader: ByteReader, kind: OutcomeCommand["kind"]): OutcomeCommand {
  const id = readId(reader);
  return kind === "decide" || kind === "commit" ? { kind, id, timestamp: reader.u64() } : { kind, id };
}

function readPreloaded(reader: ByteReader): Uint8Array[] {
  const keys = readKeys(reader);
  if (keys.some(({ byteLength }) => byteLength > KEY_BYTES_MAX))
    throw new WireError(`a key has more than ${KEY_BYTES_MAX} bytes`);
  return keys;
}

/** What is asked of transactions that were brought before. */
export function outcomesIn(command: ShardCommand): readonly OutcomeCommand[] {
  if (command.kind === "several") return command.commands;
  return isOutcome(command) ? [command] : [];
}

const isOutcome = (command: ShardCommand): command is OutcomeCommand => isOutcomeKind(command.kind);

/** None of them is of several, or brings a transaction. */
function readSeveral(reader: ByteReader): OutcomeCommand[] {
  const commands: OutcomeCommand[] = [];
  for (let left = reader.count(21); left > 0; left--) {
    const length = reader.u32();
    const end = reader.remaining - length;
    const kind = commandKinds[reader.u8() - 1];
    if (!isOutcomeKind(kind)) throw new WireError("a command of several is of a kind that cannot be one");
    commands.push(readOutcomeCommand(reader, kind));
    if (reader.remaining !== end) throw new WireError("a command of several is not as long as it says");
  }
  return commands;
}

const isOutcomeKind = (kind: ShardCommand["kind"] | undefined): kind is OutcomeCommand["kind"] =>
  kind === "decide" || kind === "commit" || kind === "abort" || kind === "resolve" || kind === "finish";

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
  const writer = new ByteWriter(OUTCOME_BYTES);
  writeOutcome(writer, outcome);
  return writer.done();
}

export function decodeOutcome(bytes: Uint8Array): FinalOutcome {
  const reader = readerOf(bytes);
  const outcome = readOutcome(reader);
  reader.end();
  return outcome;
}

export function encodeOutcomes(outcomes: readonly FinalOutcome[]): Uint8Array {
  const writer = new ByteWriter(outcomes.length * OUTCOME_BYTES);
  for (const outcome of outcomes) writeOutcome(writer, outcome);
  return writer.done();
}

export function decodeOutcomes(bytes: Uint8Array, count: number): FinalOutcome[] {
  const reader = readerOf(bytes);
  const outcomes = Array.from({ length: count }, () => readOutcome(reader));
  reader.end();
  return outcomes;
}

export function encodeVote(vote: Vote): Uint8Array {
  const writer = new ByteWriter(VOTE_BYTES);
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
  const reader = readerOf(bytes);
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
