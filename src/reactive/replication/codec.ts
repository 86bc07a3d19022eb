/**
 * Replication's messages, requests and entries as bytes: the payload of a `peer` frame, and parts of journal records.
 *
 * Invariant: decoding what was encoded gives an equal value, and nothing but what was encoded is decoded: a count or
 * length that does not fit, an unknown type or bytes behind the last field are a `WireError`. What a decoder returns
 * does not share memory with its input where it is kept (entries, chunks).
 *
 * All integers are little-endian. A peer message (behind the frame's header):
 *
 *   offset  size
 *        0     8  group, 0 from a blank replica
 *        8     1  sender's index
 *        9     8  sender's incarnation, 0 when blank
 *       17     8  sender's view
 *       25     1  message type
 *       26     n  fields of the message
 *
 *   type  message          fields
 *      1  hello            u64 nonce
 *      2  helloReply       u64 echo, u64 nonce, u8 isMember, u64 incarnation
 *      3  form             u32 count, u64 nonce each
 *      4  recover          u64 nonce
 *      5  recoverOk        u64 nonce, u32 count, u64 incarnation each
 *      6  prepare          f64 sentAtMs, u64 op, u64 commit, entries
 *      7  prepareOk        f64 sentAtMs, u64 op
 *      8  startViewChange  u64 proposed, u8 isResigning
 *      9  doViewChange     u64 logView, u64 op, u64 commit, u32 count, u64 incarnation each
 *     10  startView        u64 nonce, u64 sourceView, u64 base, u64 op, u64 commit, u32 count, u64 incarnation each
 *     11  getView          u64 nonce
 *     12  getEntries       u64 first, u64 last
 *     13  entries          u64 first, u64 start, entries
 *     14  getSnapshot      u64 transfer, u32 index
 *     15  snapshotChunk    u64 transfer, u32 index, u64 op, u8 isLast, u32 length, bytes
 *
 * Entries: u32 count, then each
 *
 *   offset  size
 *        0     8  op
 *        8     8  view in which it was made
 *       16     8  timeMs
 *       24     4  payload length
 *       28     n  payload: u32 count of requests, then each
 *                   u64 session, u64 number, u64 floor, u32 length, body
 */
import { ByteReader, ByteWriter, WireError } from "../wire/bytes.ts";
import type { Entry, Envelope, PeerMessage, Request } from "./types.ts";

const REPLICAS_MAX = 255;
const ENTRY_HEADER_BYTES = 28;
const REQUEST_HEADER_BYTES = 28;

// --- entries ---------------------------------------------------------------------------------------------------

export function entryBytes(entry: Entry): number {
  return ENTRY_HEADER_BYTES + entry.payload.byteLength;
}

export function writeEntries(writer: ByteWriter, entries: readonly Entry[]): void {
  writer.u32(entries.length);
  for (const { op, view, timeMs, payload } of entries) writer.u64(op).u64(view).u64(timeMs).bytes(payload);
}

/** The payloads are copies: entries outlive the chunk that they arrived in. */
export function readEntries(reader: ByteReader): Entry[] {
  const count = reader.count(ENTRY_HEADER_BYTES);
  return Array.from({ length: count }, () => ({
    op: reader.u64(),
    view: reader.u64(),
    timeMs: reader.u64(),
    payload: reader.ownBytes(),
  }));
}

/** What one request takes in an entry. */
export function requestBytes(request: Request): number {
  return REQUEST_HEADER_BYTES + request.body.byteLength;
}

export function encodeRequests(requests: readonly Request[]): Uint8Array {
  const bytes = requests.reduce((sum, request) => sum + requestBytes(request), 4);
  const writer = new ByteWriter(bytes).u32(requests.length);
  for (const { session, number, floor, body } of requests) {
    writer.u64(session).u64(number).u64(floor).bytes(body);
  }
  return writer.done();
}

/** The bodies share memory with `payload`. */
export function decodeRequests(payload: Uint8Array): Request[] {
  const reader = new ByteReader(payload);
  const count = reader.count(REQUEST_HEADER_BYTES);
  const requests = Array.from({ length: count }, () => ({
    session: reader.u64(),
    number: reader.u64(),
    floor: reader.u64(),
    body: reader.bytes(),
  }));
  reader.end();
  return requests;
}

// --- peer messages ---------------------------------------------------------------------------------------------

type MessageOf<Type extends PeerMessage["type"]> = Extract<PeerMessage, { type: Type }>;

interface MessageCodec<Type extends PeerMessage["type"]> {
  code: number;
  write(writer: ByteWriter, message: MessageOf<Type>): void;
  read(reader: ByteReader): Omit<MessageOf<Type>, "type">;
}

const codecs: { [Type in PeerMessage["type"]]: MessageCodec<Type> } = {
  hello: {
    code: 1,
    write: (writer, { nonce }) => writer.u64(nonce),
    read: (reader) => ({ nonce: reader.u64() }),
  },
  helloReply: {
    code: 2,
    write: (writer, { echo, nonce, isMember, incarnation }) =>
      writer
        .u64(echo)
        .u64(nonce)
        .u8(isMember ? 1 : 0)
        .u64(incarnation),
    read: (reader) => ({
      echo: reader.u64(),
      nonce: reader.u64(),
      isMember: readFlag(reader),
      incarnation: reader.u64(),
    }),
  },
  form: {
    code: 3,
    write: (writer, { nonces }) => writer.numbers(nonces),
    read: (reader) => ({ nonces: reader.numbers(REPLICAS_MAX) }),
  },
  recover: {
    code: 4,
    write: (writer, { nonce }) => writer.u64(nonce),
    read: (reader) => ({ nonce: reader.u64() }),
  },
  recoverOk: {
    code: 5,
    write: (writer, { nonce, incarnations }) => writer.u64(nonce).numbers(incarnations),
    read: (reader) => ({ nonce: reader.u64(), incarnations: reader.numbers(REPLICAS_MAX) }),
  },
  prepare: {
    code: 6,
    write(writer, { sentAtMs, op, commit, entries }) {
      writer.f64(sentAtMs).u64(op).u64(commit);
      writeEntries(writer, entries);
    },
    read: (reader) => ({
      sentAtMs: reader.f64(),
      op: reader.u64(),
      commit: reader.u64(),
      entries: readEntries(reader),
    }),
  },
  prepareOk: {
    code: 7,
    write: (writer, { sentAtMs, op }) => writer.f64(sentAtMs).u64(op),
    read: (reader) => ({ sentAtMs: reader.f64(), op: reader.u64() }),
  },
  startViewChange: {
    code: 8,
    write: (writer, { proposed, isResigning }) => writer.u64(proposed).u8(isResigning ? 1 : 0),
    read: (reader) => ({ proposed: reader.u64(), isResigning: readFlag(reader) }),
  },
  doViewChange: {
    code: 9,
    write: (writer, { logView, op, commit, incarnations }) =>
      writer.u64(logView).u64(op).u64(commit).numbers(incarnations),
    read: (reader) => ({
      logView: reader.u64(),
      op: reader.u64(),
      commit: reader.u64(),
      incarnations: reader.numbers(REPLICAS_MAX),
    }),
  },
  startView: {
    code: 10,
    write: (writer, { nonce, sourceView, base, op, commit, incarnations }) =>
      writer.u64(nonce).u64(sourceView).u64(base).u64(op).u64(commit).numbers(incarnations),
    read: (reader) => ({
      nonce: reader.u64(),
      sourceView: reader.u64(),
      base: reader.u64(),
      op: reader.u64(),
      commit: reader.u64(),
      incarnations: reader.numbers(REPLICAS_MAX),
    }),
  },
  getView: {
    code: 11,
    write: (writer, { nonce }) => writer.u64(nonce),
    read: (reader) => ({ nonce: reader.u64() }),
  },
  getEntries: {
    code: 12,
    write: (writer, { first, last }) => writer.u64(first).u64(last),
    read: (reader) => ({ first: reader.u64(), last: reader.u64() }),
  },
  entries: {
    code: 13,
    write(writer, { first, start, entries }) {
      writer.u64(first).u64(start);
      writeEntries(writer, entries);
    },
    read: (reader) => ({ first: reader.u64(), start: reader.u64(), entries: readEntries(reader) }),
  },
  getSnapshot: {
    code: 14,
    write: (writer, { transfer, index }) => writer.u64(transfer).u32(index),
    read: (reader) => ({ transfer: reader.u64(), index: reader.u32() }),
  },
  snapshotChunk: {
    code: 15,
    write: (writer, { transfer, index, op, isLast, bytes }) =>
      writer
        .u64(transfer)
        .u32(index)
        .u64(op)
        .u8(isLast ? 1 : 0)
        .bytes(bytes),
    read: (reader) => ({
      transfer: reader.u64(),
      index: reader.u32(),
      op: reader.u64(),
      isLast: readFlag(reader),
      bytes: reader.ownBytes(),
    }),
  },
};

const typeOfCode = new Map(
  Object.entries(codecs).map(([type, { code }]) => [code, type as PeerMessage["type"]]),
);

function readFlag(reader: ByteReader): boolean {
  const value = reader.u8();
  if (value > 1) throw new WireError(`a flag is ${value}`);
  return value === 1;
}

/** Appends the message to `writer`, which may have a frame's header in front. */
export function writeEnvelope(writer: ByteWriter, envelope: Envelope): void {
  const { group, from, incarnation, view, message } = envelope;
  const codec = codecs[message.type] as MessageCodec<PeerMessage["type"]>;
  writer.u64(group).u8(from).u64(incarnation).u64(view).u8(codec.code);
  codec.write(writer, message);
}

export function readEnvelope(bytes: Uint8Array): Envelope {
  const reader = new ByteReader(bytes);
  const group = reader.u64();
  const from = reader.u8();
  const incarnation = reader.u64();
  const view = reader.u64();
  const code = reader.u8();
  const type = typeOfCode.get(code);
  if (type === undefined) throw new WireError(`there is no peer message of type ${code}`);
  const fields = codecs[type].read(reader);
  reader.end();
  return { group, from, incarnation, view, message: { type, ...fields } as PeerMessage };
}
