/** Golden bytes, written by hand from the byte tables, and round trips of every message of every protocol. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { ByteWriter, WireError } from "../../../src/streams/wire/bytes.ts";
import {
  connectorFrame,
  readConnectorFrame,
  type ConnectorFrame,
} from "../../../src/streams/wire/connector.ts";
import { readCounter, writeCounter } from "../../../src/streams/wire/counter.ts";
import {
  readOrder,
  readQuote,
  readResult,
  writeOrder,
  writeQuote,
  writeResult,
  type Order,
  type Quote,
  type Result,
} from "../../../src/streams/wire/market-spread.ts";
import {
  binOf,
  HISTOGRAM_BINS,
  metricCategories,
  metricsFrame,
  readMetrics,
  type MetricsMessage,
} from "../../../src/streams/wire/metrics.ts";
import {
  checkedName,
  listFrame,
  readList,
  readPiece,
  readReplicaRequest,
  readStatus,
  replicaRequest,
  statusFrame,
  writePiece,
  type ReplicaRequest,
} from "../../../src/streams/wire/replica.ts";
import { readTwoPhase, twoPhasePayload, type TwoPhaseMessage } from "../../../src/streams/wire/two-phase.ts";

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const bytesOf = (text: string) => Buffer.from(text.replace(/\s/g, ""), "hex");
/** A body without the frame's header; a copy of its own, so that reading beyond it would be seen. */
const bodyOf = (frame: Uint8Array) => new Uint8Array(frame.subarray(4));
const written = (write: (writer: ByteWriter) => void) => {
  const writer = new ByteWriter(1);
  write(writer);
  return writer.done();
};

const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const position = fc.maxSafeNat();
const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const text = fc.string({ unit: "grapheme", maxLength: 20 });
const payload = fc.uint8Array({ maxLength: 200 });
const f64 = fc.double({ noNaN: true });
const ascii = (length: number) =>
  fc.string({
    unit: fc.integer({ min: 33, max: 126 }).map((code) => String.fromCharCode(code)),
    minLength: length,
    maxLength: length,
  });
const streamPosition = fc.record({ streamId: u64, position: fc.option(position, { nil: undefined }) });

const connectorFrames: fc.Arbitrary<ConnectorFrame> = fc.oneof(
  fc.record({
    type: fc.constant("hello" as const),
    version: text,
    cookie: text,
    program: text,
    instance: text,
  }),
  fc.record({ type: fc.constant("ok" as const), credits: u32 }),
  fc.record({ type: fc.constant("error" as const), text }),
  fc.record({ type: fc.constant("notify" as const), streamId: u64, name: text, position }),
  fc
    .tuple(streamPosition, fc.boolean())
    .map(([at, isAccepted]) => ({ type: "notifyAck" as const, isAccepted, ...at })),
  fc.record({
    type: fc.constant("message" as const),
    streamId: u64,
    messageId: position,
    eventTimeNs: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    key: payload,
    payload,
  }),
  fc.record({
    type: fc.constant("ack" as const),
    credits: u32,
    positions: fc.array(streamPosition, { maxLength: 5 }),
  }),
  fc.record({ type: fc.constant("restart" as const), address: text }),
  fc.record({ type: fc.constant("endOfStream" as const), streamId: u64 }),
  fc.record({ type: fc.constant("workersLeft" as const), body: payload }),
);

const ranges = fc.array(
  fc
    .tuple(u64, position, position)
    .map(([streamId, a, b]) => ({ streamId, start: Math.min(a, b), end: Math.max(a, b) })),
  { maxLength: 4 },
);
const names = fc.array(text, { maxLength: 5 });
const twoPhaseMessages: fc.Arbitrary<TwoPhaseMessage> = fc.oneof(
  fc.record({ type: fc.constant("listUncommitted" as const), request: u64 }),
  fc.record({ type: fc.constant("replyUncommitted" as const), request: u64, transactions: names }),
  fc.record({ type: fc.constant("phase1" as const), transaction: text, ranges }),
  fc.record({ type: fc.constant("phase1Reply" as const), transaction: text, isCommit: fc.boolean() }),
  fc.record({ type: fc.constant("phase2" as const), transaction: text, isCommit: fc.boolean() }),
  fc.record({ type: fc.constant("workersLeft" as const), request: u64, workers: names }),
);

const metricsMessages: fc.Arbitrary<MetricsMessage> = fc.oneof(
  fc.constant({ type: "connect" as const }),
  fc.record({ type: fc.constant("join" as const), topic: text, worker: text }),
  fc.record({
    type: fc.constant("payload" as const),
    event: text,
    topic: text,
    entry: fc.record({
      name: text,
      category: fc.constantFrom(...metricCategories),
      worker: text,
      pipeline: text,
      id: fc.integer({ min: 0, max: 0xffff }),
      histogram: fc.array(position, { minLength: HISTOGRAM_BINS, maxLength: HISTOGRAM_BINS }),
      minNs: position,
      maxNs: position,
      periodNs: position,
      periodEndNs: u64,
    }),
  }),
);

describe("connector frames", () => {
  test("have the bytes of the table", () => {
    expect(
      hex(connectorFrame({ type: "hello", version: "0.0.1", cookie: "c", program: "p", instance: "" })),
    ).toBe(hex(bytesOf("00000010 00 0005 302e302e31 0001 63 0001 70 0000")));
    expect(hex(connectorFrame({ type: "ok", credits: 67 }))).toBe("000000050100000043");
    expect(hex(connectorFrame({ type: "error", text: "no" }))).toBe("000000050200026e6f");
    expect(hex(connectorFrame({ type: "notify", streamId: 1n, name: "s", position: 0 }))).toBe(
      hex(bytesOf("00000014 03 0000000000000001 0001 73 0000000000000000")),
    );
    expect(
      hex(connectorFrame({ type: "notifyAck", isAccepted: true, streamId: 2n, position: undefined })),
    ).toBe(hex(bytesOf("00000012 04 01 0000000000000002 ffffffffffffffff")));
    const message = { streamId: 1n, messageId: 258, eventTimeNs: -1n, key: Buffer.from("k") };
    expect(hex(connectorFrame({ type: "message", ...message, payload: Buffer.from("xy") }))).toBe(
      hex(bytesOf("0000001e 05 0000000000000001 0000000000000102 ffffffffffffffff 0001 6b 7879")),
    );
    expect(hex(connectorFrame({ type: "ack", credits: 3, positions: [{ streamId: 1n, position: 9 }] }))).toBe(
      hex(bytesOf("00000019 06 00000003 00000001 0000000000000001 0000000000000009")),
    );
    expect(hex(connectorFrame({ type: "restart", address: "" }))).toBe("000000050700000000");
    expect(hex(connectorFrame({ type: "endOfStream", streamId: 7n }))).toBe("00000009080000000000000007");
  });

  test("come back as they were", () => {
    fc.assert(
      fc.property(connectorFrames, (frame) => {
        expect(readConnectorFrame(bodyOf(connectorFrame(frame)))).toEqual(frame);
      }),
    );
  });
});

describe("two-phase messages", () => {
  test("have the bytes of the table", () => {
    expect(hex(twoPhasePayload({ type: "listUncommitted", request: 5n }))).toBe("c90000000000000005");
    const phase1 = { transaction: "w:c_id=3", ranges: [{ streamId: 1n, start: 16, end: 32 }] };
    expect(hex(twoPhasePayload({ type: "phase1", ...phase1 }))).toBe(
      hex(bytesOf("cb 0008 773a635f69643d33 00000001 0000000000000001 0000000000000010 0000000000000020")),
    );
    expect(hex(twoPhasePayload({ type: "phase2", transaction: "t", isCommit: true }))).toBe("cd00017401");
  });

  test("come back as they were", () => {
    fc.assert(
      fc.property(twoPhaseMessages, (message) => {
        expect(readTwoPhase(twoPhasePayload(message))).toEqual(message);
      }),
    );
  });

  test("a range that ends before it starts is refused", () => {
    const range = { streamId: 1n, start: 2, end: 1 };
    const bytes = twoPhasePayload({ type: "phase1", transaction: "t", ranges: [range] });
    expect(() => readTwoPhase(bytes)).toThrow("ends at 1");
  });
});

describe("market-spread records", () => {
  const order: Order = {
    ...{ side: 1, account: 7, orderId: "a1B2c3", symbol: "  GE", quantity: 100, price: 1.5 },
    time: "20260101-10:11:12.345",
  };
  const orderHex =
    "01 01 00000007 613142326333 20204745 4059000000000000 3ff8000000000000 " +
    "32303236303130312d31303a31313a31322e333435";
  const quote: Quote = { symbol: "  GE", time: order.time, bid: 1, offer: 1.25 };
  const quoteHex = "02 20204745 32303236303130312d31303a31313a31322e333435 3ff0000000000000 3ff4000000000000";

  test("have the bytes of the table", () => {
    expect(hex(written((writer) => writeOrder(writer, order)))).toBe(hex(bytesOf(orderHex)));
    expect(hex(written((writer) => writeQuote(writer, quote)))).toBe(hex(bytesOf(quoteHex)));
    const { time: _, ...fields } = order;
    const result: Result = { ...fields, bid: 0, offer: 0, timestampNs: 255n };
    expect(hex(written((writer) => writeResult(writer, result)))).toBe(
      hex(
        bytesOf(
          "01 00000007 613142326333 20204745 4059000000000000 3ff8000000000000 0000000000000000 0000000000000000 00000000000000ff",
        ),
      ),
    );
  });

  test("come back as they were, also from the middle of a buffer", () => {
    fc.assert(
      fc.property(
        fc.record({
          side: fc.constantFrom(1, 2),
          account: u32,
          orderId: ascii(6),
          symbol: ascii(4),
          quantity: f64,
          price: f64,
          time: ascii(21),
        }),
        f64,
        f64,
        u64,
        (record, bid, offer, timestampNs) => {
          const around = (write: (writer: ByteWriter) => void) =>
            written((writer) => {
              write(writer.u8(9));
              writer.u8(9);
            });
          const orderBytes = around((writer) => writeOrder(writer, record));
          expect(readOrder(orderBytes, 1, orderBytes.byteLength - 1)).toEqual(record);
          const { symbol, time, ...rest } = record;
          const quoteBytes = around((writer) => writeQuote(writer, { symbol, time, bid, offer }));
          expect(readQuote(quoteBytes, 1, quoteBytes.byteLength - 1)).toEqual({ symbol, time, bid, offer });
          const result = { ...rest, symbol, bid, offer, timestampNs };
          const resultBytes = around((writer) => writeResult(writer, result));
          expect(readResult(resultBytes, 1, resultBytes.byteLength - 1)).toEqual(result);
        },
      ),
    );
  });

  test("a record of another type or length is refused", () => {
    expect(() => readOrder(bytesOf(quoteHex))).toThrow("an order has 53 bytes, not 42");
    expect(() => readQuote(bytesOf(orderHex))).toThrow("a quote has 42 bytes, not 53");
    expect(() => readQuote(Buffer.concat([Buffer.from([1]), bytesOf(quoteHex).subarray(1)]))).toThrow(
      "type 2, not 1",
    );
    expect(() => readOrder(bytesOf(orderHex.replace("01 01", "01 03")))).toThrow("a side is 1 or 2");
  });

  test("a symbol that does not fit is refused, a short one is padded on the left", () => {
    expect(() => written((writer) => writeQuote(writer, { ...quote, symbol: "LARGE" }))).toThrow(WireError);
    expect(readQuote(written((writer) => writeQuote(writer, { ...quote, symbol: "F" }))).symbol).toBe("   F");
  });
});

describe("counters", () => {
  test("are a number and a key", () => {
    const bytes = written((writer) => writeCounter(writer, 1000, Buffer.from("key_3")));
    expect(hex(bytes)).toBe("00000000000003e86b65795f33");
    expect(readCounter(bytes)).toEqual({ value: 1000, key: "key_3" });
    expect(() => readCounter(bytes.subarray(0, 7))).toThrow(WireError);
  });
});

describe("replica messages", () => {
  test("have the bytes of the table", () => {
    expect(Buffer.from(replicaRequest({ command: "g", name: "f", offset: 10, count: 0 })).toString()).toBe(
      "\0\0\0\u0007gf\t10\t0",
    );
    expect(Buffer.from(replicaRequest({ command: "l" })).toString()).toBe("\0\0\0\u0001l");
    expect(Buffer.from(statusFrame({ writtenBytes: 12, syncedBytes: 9 })).toString()).toBe(
      "\0\0\0\u000412\t9",
    );
    expect(Buffer.from(listFrame([{ name: "a", bytes: 3, isAppending: true }])).toString()).toBe(
      "\0\0\0\u0008a\t3\tyes\n",
    );
    // crc32c of "123456789" is e3069283 (RFC 3720).
    const piece = written((writer) => writePiece(writer, Buffer.from("123456789")));
    expect(hex(piece)).toBe("0000000de3069283313233343536373839");
  });

  test("come back as they were", () => {
    const name = fc
      .string({ unit: "binary-ascii", minLength: 1, maxLength: 12 })
      .filter((text) => /^[^./\p{Cc}][^/\p{Cc}]*$/u.test(text));
    const requests: fc.Arbitrary<ReplicaRequest> = fc.oneof(
      fc.record({ command: fc.constantFrom("u" as const, "V" as const), directory: name }),
      fc.constant({ command: "l" as const }),
      fc.record({ command: fc.constant("g" as const), name, offset: fc.nat(), count: fc.nat() }),
      fc.record({ command: fc.constantFrom("a" as const, "A" as const), name, offset: fc.nat() }),
      fc.record({ command: fc.constantFrom("s" as const, "d" as const), name }),
      fc.record({ command: fc.constantFrom("T" as const, "C" as const), name, length: fc.nat() }),
    );
    fc.assert(
      fc.property(requests, (request) => {
        expect(readReplicaRequest(bodyOf(replicaRequest(request)))).toEqual(request);
      }),
    );
    const files = fc.array(fc.record({ name, bytes: fc.nat(), isAppending: fc.boolean() }), { maxLength: 5 });
    fc.assert(fc.property(files, (list) => expect(readList(bodyOf(listFrame(list)))).toEqual(list)));
    const status = { writtenBytes: 12, syncedBytes: 9 };
    expect(readStatus(bodyOf(statusFrame(status)))).toEqual(status);
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 300 }), (bytes) => {
        expect(hex(readPiece(bodyOf(written((writer) => writePiece(writer, bytes)))))).toBe(hex(bytes));
      }),
    );
  });

  test("a negative offset of a read is the beginning, of an append a mistake", () => {
    expect(readReplicaRequest(Buffer.from("gf\t-5\t1"))).toEqual({
      command: "g",
      name: "f",
      offset: 0,
      count: 1,
    });
    expect(() => readReplicaRequest(Buffer.from("af\t-5"))).toThrow("below 0");
  });

  test.each(["", ".", "..", ".hidden", "a/b", "/etc/passwd", "a\0b", "a\nb", "x".repeat(201)])(
    "%j names no file",
    (name) => {
      expect(() => checkedName(name)).toThrow(WireError);
    },
  );

  test("a piece with one flipped bit is refused", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 60 }), fc.nat(), (bytes, chance) => {
        const body = bodyOf(written((writer) => writePiece(writer, bytes)));
        const bit = chance % (body.byteLength * 8);
        body[bit >> 3] = (body[bit >> 3] as number) ^ (1 << (bit & 7));
        expect(() => readPiece(body)).toThrow("checksum");
      }),
    );
  });
});

describe("metrics messages", () => {
  test("have the bytes of the table", () => {
    expect(hex(metricsFrame({ type: "connect" }))).toBe("0000000101");
    expect(hex(metricsFrame({ type: "join", topic: "metrics:m", worker: "w" }))).toBe(
      hex(bytesOf("00000013 02 00000009 6d6574726963733a6d 00000001 77")),
    );
  });

  test("come back as they were", () => {
    fc.assert(
      fc.property(metricsMessages, (message) => {
        expect(readMetrics(bodyOf(metricsFrame(message)))).toEqual(message);
      }),
    );
  });

  test("a sample is in the bin of its bits", () => {
    expect([0, 1, 2, 3, 4, 7, 8].map(binOf)).toEqual([0, 1, 2, 2, 3, 3, 4]);
    for (let bits = 1; bits <= 53; bits++) {
      expect(binOf(2 ** (bits - 1))).toBe(bits);
      expect(binOf(2 ** bits - 1)).toBe(bits);
    }
  });
});

describe("hostile bytes", () => {
  const readers = {
    connector: readConnectorFrame,
    "two-phase": readTwoPhase,
    order: readOrder,
    quote: readQuote,
    result: readResult,
    counter: readCounter,
    "replica request": readReplicaRequest,
    "replica list": readList,
    "replica status": readStatus,
    "replica piece": readPiece,
    metrics: readMetrics,
  } satisfies Record<string, (bytes: Uint8Array) => unknown>;

  /** Real messages, some of whose bytes are changed, cut off or repeated. */
  const damaged = fc
    .tuple(
      fc.oneof(
        fc.uint8Array({ maxLength: 100 }),
        connectorFrames.map((frame) => bodyOf(connectorFrame(frame))),
        twoPhaseMessages.map(twoPhasePayload),
        metricsMessages.map((message) => bodyOf(metricsFrame(message))),
      ),
      fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }),
      fc.nat(),
    )
    .map(([bytes, changes, cut]) => {
      const result = new Uint8Array(bytes);
      for (const [at, value] of changes) if (result.byteLength > 0) result[at % result.byteLength] = value;
      return cut % 3 === 0 ? result.subarray(0, cut % (result.byteLength + 1)) : result;
    });

  test.each(Object.entries(readers))("%s: a WireError or a message, nothing else", (_name, read) => {
    fc.assert(
      fc.property(damaged, (bytes) => {
        try {
          read(bytes);
        } catch (error) {
          if (!(error instanceof WireError)) throw error;
        }
      }),
      { numRuns: 1500 },
    );
  });

  test("every prefix of a message is refused", () => {
    fc.assert(
      fc.property(twoPhaseMessages, (message) => {
        const bytes = twoPhasePayload(message);
        for (let length = 0; length < bytes.byteLength; length++)
          expect(() => readTwoPhase(bytes.subarray(0, length))).toThrow(WireError);
      }),
      { numRuns: 50 },
    );
  });
});
