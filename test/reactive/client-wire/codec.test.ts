/** The client protocol as bytes: every message comes out as it went in; whatever else arrives is refused; it runs in browsers. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import fc from "fast-check";
import {
  decodeClientMessage,
  decodeServerMessage,
  encodeClientMessage,
  encodeServerMessage,
} from "../../../src/reactive/client-wire/codec.ts";
import { ackOf } from "../../../src/reactive/client-wire/from-client.ts";
import {
  type ClientMessage,
  COMMITTED,
  failureCodes,
  limits,
  NEWEST,
  NOW,
  type ServerMessage,
} from "../../../src/reactive/client-wire/messages.ts";
import { encodeOperations, fieldPart, wholePart } from "../../../src/reactive/shard/operations.ts";
import { Level } from "../../../src/reactive/shard/transaction.ts";
import { ByteWriter, WireError } from "../../../src/reactive/wire/bytes.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const version = { start: 3, end: 9, type: 1, value: bytes("v") };
const id = { client: 2 ** 53 - 1, number: 7 };

const clientMessages: ClientMessage[] = [
  { type: "hello", protocols: [1], client: 5, token: "secret ü", unackedMax: 4 },
  { type: "begin", request: 1 },
  { type: "read", request: 2, at: NEWEST, keys: [bytes("a"), bytes("ü")] },
  { type: "read", request: 2, at: COMMITTED, keys: [bytes("a")] },
  { type: "scan", request: 3, at: NOW, prefix: bytes("p"), after: bytes(""), countMax: 100 },
  {
    type: "commit",
    request: 4,
    transaction: {
      id,
      floor: 6,
      level: undefined,
      snapshot: 0,
      accesses: [
        {
          key: bytes("k"),
          reads: [
            { part: wholePart, version: 3, wasPresent: true },
            { part: fieldPart(bytes("f")), version: 0, wasPresent: false },
          ],
          operations: encodeOperations([{ kind: "add", amount: -1n }]),
        },
      ],
    },
  },
  {
    type: "commit",
    request: 5,
    transaction: { id, floor: 0, level: Level.snapshot, snapshot: 12, accesses: [] },
  },
  { type: "resolve", request: 6, id, keys: [bytes("k")] },
  {
    type: "watch",
    request: 7,
    watch: 1,
    at: 11,
    delayMs: 5000,
    keys: [bytes("k")],
    prefixes: [bytes("list:")],
  },
  { type: "unwatch", request: 8, watch: 1 },
  { type: "ack", at: 12 },
  { type: "readInTurn", request: 9, line: 13, id, keys: [bytes("k"), bytes("l")] },
  { type: "leave", line: 13 },
  { type: "ping" },
];

const serverMessages: ServerMessage[] = [
  {
    type: "welcome",
    protocol: 1,
    known: 17,
    principal: "alice",
    messageBytesMax: 1024,
    watchesMax: 10,
    watchedKeysMax: 100,
    tables: [
      { prefix: bytes("game:"), level: Level.strict, valueType: 2, mayRead: true, mayWrite: false },
      { prefix: bytes(""), level: undefined, valueType: 0, mayRead: false, mayWrite: true },
    ],
  },
  { type: "begun", request: 1, at: 4 },
  { type: "values", request: 2, at: 0, versions: [version, { ...version, type: 0, value: bytes("") }] },
  { type: "scanned", request: 3, at: 8, isMore: true, entries: [{ key: bytes("k"), ...version }] },
  { type: "settled", request: 4, outcome: { kind: "committed", timestamp: 5 } },
  { type: "settled", request: 4, outcome: { kind: "aborted" } },
  { type: "settled", request: 4, outcome: { kind: "forgotten" } },
  { type: "settled", request: 4, outcome: { kind: "refused", reason: "stale", key: bytes("k") } },
  { type: "watching", request: 5, watch: 1, at: 3 },
  { type: "unwatched", request: 5, watch: 1 },
  {
    type: "runs",
    at: 9,
    runs: [
      { watch: 1, since: 3, cause: "changed", changes: 2, values: [{ key: bytes("k"), ...version }] },
      { watch: 2, since: 0, cause: "first", changes: 0, values: [] },
      { watch: 3, since: 1, cause: "refetch", changes: 1, values: [] },
    ],
  },
  { type: "progress", at: 9 },
  { type: "pong" },
  ...failureCodes.map((code): ServerMessage => ({ type: "failed", request: 0, code, text: "because" })),
];

test.each(clientMessages)("a client's $type comes out as it went in", (message) => {
  expect(decodeClientMessage(Buffer.from(encodeClientMessage(message)))).toEqual(message);
});

test.each(serverMessages)("a frontend's $type comes out as it went in", (message) => {
  expect(decodeServerMessage(Buffer.from(encodeServerMessage(message)))).toEqual(message);
});

test("what is decoded keeps no hold of the buffer that it came in", () => {
  const buffer = Buffer.from(encodeClientMessage({ type: "read", request: 1, at: 0, keys: [bytes("abc")] }));
  const message = decodeClientMessage(buffer);
  buffer.fill(0);
  expect(message).toEqual({ type: "read", request: 1, at: 0, keys: [bytes("abc")] });
});

const whole = [
  ...clientMessages.map((message) => [decodeClientMessage, encodeClientMessage(message)] as const),
  ...serverMessages.map((message) => [decodeServerMessage, encodeServerMessage(message)] as const),
];

test("every message that is cut short, or has a byte too many, is a WireError", () => {
  for (const [decode, encoded] of whole) {
    for (let length = 0; length < encoded.byteLength; length++)
      expect(() => decode(encoded.subarray(0, length))).toThrow(WireError);
    expect(() => decode(new Uint8Array([...encoded, 0]))).toThrow(WireError);
  }
});

test("arbitrary bytes, and messages with flipped bytes, are a message or a WireError", () => {
  const quietly = (decode: (bytes: Uint8Array) => unknown, input: Uint8Array) => {
    try {
      decode(input);
    } catch (error) {
      expect(error).toBeInstanceOf(WireError);
    }
  };
  fc.assert(
    fc.property(
      fc.constantFrom(...whole),
      fc.nat(),
      fc.integer({ min: 1, max: 255 }),
      fc.uint8Array({ maxLength: 60 }),
      ([decode, encoded], place, flip, noise) => {
        const flipped = encoded.slice();
        const at = place % flipped.byteLength;
        flipped[at] = (flipped[at] as number) ^ flip;
        quietly(decode, flipped);
        quietly(decode, noise);
      },
    ),
    { numRuns: 2000 },
  );
});

test("an acknowledgement is told from every other message by its bytes", () => {
  for (const message of clientMessages)
    expect(ackOf(encodeClientMessage(message))).toBe(
      (message.type === "ack" ? message.at : undefined) as never,
    );
  const largest = encodeClientMessage({ type: "ack", at: Number.MAX_SAFE_INTEGER });
  expect(ackOf(largest)).toBe(Number.MAX_SAFE_INTEGER);
  expect(ackOf(largest.fill(255, 1))).toBeUndefined();
  expect(ackOf(new Uint8Array([9]))).toBeUndefined();
});

test("lengths and counts beyond their limits are refused before anything is allocated", () => {
  const refused = (write: (writer: ByteWriter) => ByteWriter) =>
    expect(() => decodeClientMessage(write(new ByteWriter()).done())).toThrow(WireError);
  refused((writer) => writer.u8(3).u32(1).u64(0).u32(0xffff_ffff));
  refused((writer) => writer.u8(3).u32(1).u64(0).u32(1).u32(0x7fff_ffff));
  refused((writer) => writer.u8(3).u32(1).u64(0).u32(1).bytes(new Uint8Array(65_536)));
  refused((writer) => writer.u8(3).u32(1).u64(0).u32(1).bytes(new Uint8Array(0)));
  refused((writer) => writer.u8(2).u32(0));
  refused((writer) =>
    writer
      .u8(1)
      .numbers([1])
      .u64(1)
      .text("x".repeat(limits.tokenBytesMax + 1))
      .u32(1),
  );
  refused((writer) => writer.u8(1).numbers([1]).u64(1).text("").u32(0));
  refused((writer) => writer.u8(9).u32(0xffff_ffff).u32(0xffff_ffff));
});

test("the protocol's module needs no server: it is bundled for browsers", async () => {
  const built = await Bun.build({
    entrypoints: [join(import.meta.dir, "../../../src/reactive/client-wire/codec.ts")],
    target: "browser",
  });
  expect(built.success).toBe(true);
  const code = await (built.outputs[0] as Blob).text();
  expect(code).not.toMatch(/node:|bun:|\bBuffer\b|\bprocess\b/);
});
