/**
 * What a worker and a sink say to each other about transactions: payloads of connector messages on stream 0.
 *
 *   tag  name               sent by   body behind the tag
 *   201  list-uncommitted   worker    u64 request
 *   202  reply-uncommitted  sink      u64 request, u32 count, count x short transaction
 *   203  phase1             worker    short transaction, u32 count, count x (u64 stream, u64 start, u64 end)
 *   204  phase1-reply       sink      short transaction, u8 1 commit, 0 abort
 *   205  phase2             worker    short transaction, u8 1 commit, 0 abort
 *   206  workers-left       worker    u64 request, u32 count, count x short worker
 *
 * Output bytes themselves are messages on stream 1, whose message id is the offset of their first byte in the worker's
 * output; they may end and begin within a record. Invariant: a payload is read to its last byte or refused.
 */
import { ByteReader, ByteWriter, WireError } from "./bytes.ts";
import { readFlag } from "./connector.ts";

/** The stream of these messages, and that of the output. */
export const CONTROL_STREAM = 0n;
export const OUTPUT_STREAM = 1n;
/** A message carries at most so much output: sinks refuse frames that are too long. */
export const OUTPUT_BYTES_MAX = 64 << 10;

const Tag = {
  listUncommitted: 201,
  replyUncommitted: 202,
  phase1: 203,
  phase1Reply: 204,
  phase2: 205,
  workersLeft: 206,
} as const;

/** Output of one stream, from byte `start` to byte `end`, not included. */
export interface OutputRange {
  streamId: bigint;
  start: number;
  end: number;
}

export type TwoPhaseMessage =
  | { type: "listUncommitted"; request: bigint }
  | { type: "replyUncommitted"; request: bigint; transactions: string[] }
  | { type: "phase1"; transaction: string; ranges: OutputRange[] }
  | { type: "phase1Reply"; transaction: string; isCommit: boolean }
  | { type: "phase2"; transaction: string; isCommit: boolean }
  | { type: "workersLeft"; request: bigint; workers: string[] };

export function twoPhasePayload(message: TwoPhaseMessage): Uint8Array<ArrayBuffer> {
  const writer = new ByteWriter();
  writer.u8(Tag[message.type]);
  switch (message.type) {
    case "listUncommitted":
      writer.big(message.request);
      break;
    case "replyUncommitted":
      writeNames(writer.big(message.request), message.transactions);
      break;
    case "workersLeft":
      writeNames(writer.big(message.request), message.workers);
      break;
    case "phase1":
      writer.short(message.transaction).u32(message.ranges.length);
      for (const { streamId, start, end } of message.ranges) writer.big(streamId).u64(start).u64(end);
      break;
    case "phase1Reply":
    case "phase2":
      writer.short(message.transaction).u8(message.isCommit ? 1 : 0);
      break;
  }
  return writer.done();
}

/** Throws WireError. */
export function readTwoPhase(payload: Uint8Array): TwoPhaseMessage {
  const reader = new ByteReader(payload);
  const message = readBody(reader);
  reader.end();
  return message;
}

function readBody(reader: ByteReader): TwoPhaseMessage {
  const tag = reader.u8();
  switch (tag) {
    case Tag.listUncommitted:
      return { type: "listUncommitted", request: reader.big() };
    case Tag.replyUncommitted:
      return { type: "replyUncommitted", request: reader.big(), transactions: readNames(reader) };
    case Tag.phase1:
      return { type: "phase1", transaction: reader.short(), ranges: readRanges(reader) };
    case Tag.phase1Reply:
      return { type: "phase1Reply", transaction: reader.short(), isCommit: readFlag(reader) };
    case Tag.phase2:
      return { type: "phase2", transaction: reader.short(), isCommit: readFlag(reader) };
    case Tag.workersLeft:
      return { type: "workersLeft", request: reader.big(), workers: readNames(reader) };
    default:
      throw new WireError(`there is no two-phase message with tag ${tag}`);
  }
}

function writeNames(writer: ByteWriter, names: readonly string[]): void {
  writer.u32(names.length);
  for (const name of names) writer.short(name);
}

function readNames(reader: ByteReader): string[] {
  return Array.from({ length: reader.count(2) }, () => reader.short());
}

function readRanges(reader: ByteReader): OutputRange[] {
  return Array.from({ length: reader.count(24) }, () => {
    const range = { streamId: reader.big(), start: reader.u64(), end: reader.u64() };
    if (range.start > range.end) throw new WireError(`a range ends at ${range.end}, before it starts`);
    return range;
  });
}
