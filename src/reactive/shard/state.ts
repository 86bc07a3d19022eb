/**
 * What the replicas of a shard have in common beside their versions, and its bytes in a snapshot.
 *
 * Invariant: what is decoded is what was encoded; all else is a `WireError`.
 */
import { finish } from "../replication/steps.ts";
import { ByteReader, ByteWriter, getU32 } from "../wire/bytes.ts";
import { Outcomes } from "./outcomes.ts";
import { PreparedList } from "./prepared.ts";
import { ReadMarks } from "./read-marks.ts";
import { FORGET_NOTHING, readRetention, type Retention, retentionOf, writeRetention } from "./retention.ts";
import { readTransaction, writeTransaction } from "./transaction.ts";

/** Everything but the versions and the feed: the first chunk of a snapshot. */
export interface ShardState {
  /** Of the last entry. */
  position: number;
  /** The group's clock at the last entry. */
  timeMs: number;
  /** The largest commit timestamp. */
  largest: number;
  /** Reads at timestamps below are refused. */
  horizon: number;
  /** Which timestamp was the largest when, oldest first. */
  samples: { timeMs: number; largest: number }[];
  prepared: PreparedList;
  outcomes: Outcomes;
  /** Commit timestamps of what read a key: nothing is committed below them any more. */
  readMarks: ReadMarks;
  retention: Retention;
}

export const emptyState = (retention: Retention): ShardState => ({
  position: 0,
  timeMs: 0,
  largest: 0,
  horizon: 0,
  samples: [],
  prepared: new PreparedList(),
  outcomes: new Outcomes(),
  readMarks: new ReadMarks(),
  retention: retentionOf(retention),
});

/**
 *   position u64, time u64, largest u64, horizon u64,
 *   samples   u32 count, then time u64 and largest u64 each
 *   prepared  u32 count, then at u64, above u64, transaction each
 *   outcomes  the first chunk of them (outcomes.ts)
 *   marks     (read-marks.ts)
 *   retention (retention.ts); absent in what was written before it was part of the state
 *
 * `outcomes`: that chunk. What follows it stands in chunks of its own (`outcomesChunk`), because it may be long.
 */
export function encodeState(state: ShardState, outcomes: Uint8Array): Uint8Array {
  const writer = new ByteWriter(4096);
  writer.u64(state.position).u64(state.timeMs).u64(state.largest).u64(state.horizon);
  writer.u32(state.samples.length);
  for (const { timeMs, largest } of state.samples) writer.u64(timeMs).u64(largest);
  writer.u32(state.prepared.size);
  for (const { transaction, atMs, above } of state.prepared) {
    writer.u64(atMs).u64(above);
    writeTransaction(writer, transaction);
  }
  writer.raw(outcomes);
  state.readMarks.write(writer, state.horizon);
  writeRetention(writer, state.retention);
  return writer.done();
}

export function decodeState(bytes: Uint8Array): ShardState {
  const reader = new ByteReader(bytes);
  const state = emptyState(FORGET_NOTHING);
  state.position = reader.u64();
  state.timeMs = reader.u64();
  state.largest = reader.u64();
  state.horizon = reader.u64();
  for (let left = reader.count(16); left > 0; left--)
    state.samples.push({ timeMs: reader.u64(), largest: reader.u64() });
  for (let left = reader.count(16); left > 0; left--) {
    const atMs = reader.u64();
    const above = reader.u64();
    finish(state.prepared.add({ transaction: readTransaction(reader), atMs, above }));
  }
  state.outcomes.load(reader);
  state.readMarks = ReadMarks.read(reader);
  if (reader.remaining > 0) state.retention = readRetention(reader);
  reader.end();
  return state;
}

/** No chunk of versions begins like this: a key has at most 65535 bytes. */
const OUTCOMES_MARK = 0xffff_ffff;

/** A chunk of outcomes behind the first, as a chunk of a snapshot. */
export function outcomesChunk(outcomes: Uint8Array): Uint8Array {
  return new ByteWriter(4 + outcomes.byteLength).u32(OUTCOMES_MARK).raw(outcomes).done();
}

export const isOutcomesChunk = (chunk: Uint8Array) =>
  chunk.byteLength >= 4 && getU32(chunk, 0) === OUTCOMES_MARK;

/** Throws WireError. */
export function loadOutcomes(state: ShardState, chunk: Uint8Array): void {
  const reader = new ByteReader(chunk, 4);
  state.outcomes.load(reader);
  reader.end();
}
