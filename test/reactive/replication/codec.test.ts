/** The codecs of replication: what goes in comes out, and nothing else does. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  decodeRequests,
  encodeRequests,
  readEnvelope,
  writeEnvelope,
} from "../../../src/reactive/replication/codec.ts";
import {
  readCommand,
  readQuery,
  readResult,
  writeCommand,
  writeQuery,
  writeResult,
} from "../../../src/reactive/replication/client-codec.ts";
import type { Envelope, PeerMessage } from "../../../src/reactive/replication/types.ts";
import { ByteWriter, WireError } from "../../../src/reactive/wire/bytes.ts";

const entry = (op: number) => ({
  op,
  view: 3,
  timeMs: 1_767_225_600_000,
  payload: new Uint8Array([op, 2, 3]),
});

/** One of each kind: the type says when one is missing. */
const samples: { [Type in PeerMessage["type"]]: Extract<PeerMessage, { type: Type }> } = {
  hello: { type: "hello", nonce: 2 ** 47 + 1 },
  helloReply: { type: "helloReply", echo: 1, nonce: 2, isMember: true, incarnation: 3 },
  form: { type: "form", nonces: [1, 2, 3] },
  recover: { type: "recover", nonce: 9 },
  recoverOk: { type: "recoverOk", nonce: 9, incarnations: [1, 2, 1] },
  prepare: { type: "prepare", sentAtMs: 12.125, op: 8, commit: 6, entries: [entry(7), entry(8)] },
  prepareOk: { type: "prepareOk", sentAtMs: 12.125, op: 8 },
  startViewChange: { type: "startViewChange", proposed: 5, isResigning: true },
  doViewChange: { type: "doViewChange", logView: 4, op: 9, commit: 7, incarnations: [1, 1, 2] },
  startView: {
    type: "startView",
    nonce: 5,
    sourceView: 4,
    base: 8,
    op: 9,
    commit: 7,
    incarnations: [1, 1, 2],
  },
  getView: { type: "getView", nonce: 5 },
  getEntries: { type: "getEntries", first: 3, last: 9 },
  entries: { type: "entries", first: 3, start: 1, entries: [entry(3)] },
  getSnapshot: { type: "getSnapshot", transfer: 77, index: 2 },
  snapshotChunk: {
    type: "snapshotChunk",
    transfer: 77,
    index: 2,
    op: 40,
    isLast: false,
    bytes: new Uint8Array([1, 2]),
  },
};

const envelopeOf = (message: PeerMessage): Envelope => ({
  group: 2 ** 48 - 1,
  from: 2,
  incarnation: 1,
  view: 5,
  message,
});

function encode(envelope: Envelope): Uint8Array {
  const writer = new ByteWriter();
  writeEnvelope(writer, envelope);
  return writer.done();
}

describe.each(Object.values(samples))("peer message $type", (message) => {
  test("comes out as it went in", () => {
    expect(readEnvelope(encode(envelopeOf(message)))).toEqual(envelopeOf(message));
  });

  test("is refused when it is cut short anywhere or has more behind it", () => {
    const bytes = encode(envelopeOf(message));
    for (let length = 0; length < bytes.byteLength; length++) {
      expect(() => readEnvelope(bytes.slice(0, length))).toThrow(WireError);
    }
    expect(() => readEnvelope(new Uint8Array([...bytes, 0]))).toThrow(WireError);
  });
});

test("arbitrary bytes are a message or a WireError, nothing else", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 90 }), fc.integer({ min: 1, max: 16 }), (bytes, type) => {
      if (bytes.byteLength > 25) bytes[25] = type;
      try {
        const envelope = readEnvelope(bytes);
        expect(Buffer.compare(encode(envelope), bytes)).toBe(0);
      } catch (error) {
        expect(error).toBeInstanceOf(WireError);
      }
    }),
    { numRuns: 3000 },
  );
});

const request = fc.record({
  session: fc.maxSafeNat(),
  number: fc.maxSafeNat(),
  floor: fc.maxSafeNat(),
  body: fc.uint8Array({ maxLength: 40 }),
});

test("the requests of an entry come out as they went in", () => {
  fc.assert(
    fc.property(fc.array(request), (requests) => {
      expect(decodeRequests(encodeRequests(requests))).toEqual(requests);
    }),
  );
});

test("commands, queries and results come out as they went in", () => {
  fc.assert(
    fc.property(request, fc.integer({ min: 0, max: 4 }), (command, status) => {
      const writer = () => new ByteWriter();
      const commandBytes = writer();
      writeCommand(commandBytes, command);
      expect(readCommand(commandBytes.done())).toEqual(command);
      const query = { number: command.number, body: command.body };
      const queryBytes = writer();
      writeQuery(queryBytes, query);
      expect(readQuery(queryBytes.done())).toEqual(query);
      const result = { ...query, session: command.session, status: status as 0, view: command.floor };
      const resultBytes = writer();
      writeResult(resultBytes, result);
      expect(readResult(resultBytes.done())).toEqual(result);
    }),
  );
});

test("entries do not share memory with the chunk of a socket", () => {
  const chunk = Buffer.from(encode(envelopeOf(samples.prepare)));
  const { message } = readEnvelope(chunk);
  chunk.fill(0xee);
  expect(message).toEqual(samples.prepare);
});

test("a number beyond 2^53 is refused, not rounded", () => {
  const bytes = encode(envelopeOf({ type: "hello", nonce: 1 }));
  bytes[26 + 7] = 0x20;
  expect(() => readEnvelope(bytes)).toThrow("beyond 2^53");
});
