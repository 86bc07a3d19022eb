/** The applications that come along, against what the originals' do, record for record. */
import { describe, expect, test } from "bun:test";
import { testApp } from "node-x/stream";
import detector from "../../../src/streams/apps/detector.ts";
import marketSpread from "../../../src/streams/apps/market-spread.ts";
import passthrough from "../../../src/streams/apps/passthrough.ts";
import sequenceWindow from "../../../src/streams/apps/sequence-window.ts";
import { planOf } from "../../../src/streams/plan/plan.ts";
import { Engine } from "../../../src/streams/runtime/engine.ts";
import { RecordWriter } from "../../../src/streams/runtime/record-writer.ts";
import type { SourceNode } from "../../../src/streams/plan/nodes.ts";
import { ByteWriter } from "../../../src/streams/wire/bytes.ts";
import { readResult, writeOrder, writeQuote } from "../../../src/streams/wire/market-spread.ts";

const TIME = "20261125-12:00:00.000";

/** A market-spread engine; `send` takes bodies, `results` are the bodies that came out. */
function market() {
  const writer = new RecordWriter();
  const bad: string[] = [];
  const engine = new Engine(planOf(marketSpread, { now: () => 1_700_000_000_123 }), {
    self: 0,
    ownerOf: () => 0,
    send: () => {},
    sinkWriter: () => writer,
    onBadRecord: (reason, source) => bad.push(`${reason} ${source}`),
  });
  const send = (name: string, write: (out: ByteWriter) => void) => {
    const body = new ByteWriter();
    write(body);
    const node = engine.plan.sources.find((source) => source.name === name) as SourceNode;
    engine.feed(node, body.done(), 0, body.length, 0);
  };
  return {
    bad,
    quote: (symbol: string, bid: number, offer: number) =>
      send("Nbbo", (out) => writeQuote(out, { symbol, time: TIME, bid, offer })),
    order: (symbol: string, orderId: string, port = "Orders") =>
      send(port, (out) =>
        writeOrder(out, { side: 1, account: 7, orderId, symbol, quantity: 100, price: 12.5, time: TIME }),
      ),
    results: () => {
      const bytes = writer.done().slice();
      writer.clear();
      return bytes;
    },
  };
}

describe("market-spread", () => {
  test("a rejected order goes out with its quote, 59 bytes as the original writes them", () => {
    const { quote, order, results } = market();
    quote("ABC", 10, 10.06);
    order("ABC", "ord001");
    const bytes = results();
    expect(bytes.byteLength).toBe(59);
    expect(readResult(bytes, 4)).toEqual({
      ...{ side: 1, account: 7, orderId: "ord001", symbol: " ABC", quantity: 100, price: 12.5 },
      ...{ bid: 10, offer: 10.06, timestampNs: 1_700_000_000_123_000_000n },
    });
  });

  test.each([
    ["5 cents apart", 10, 10.05 + 1e-9, true],
    ["4 cents apart of a dear symbol", 10, 10.04, false],
    ["4 cents apart of a cheap symbol are more than 5 %", 0.5, 0.54, true],
    ["no spread", 10, 10, false],
  ])("%s: rejects is %p %p %p", (_name, bid, offer, isRejecting) => {
    const { quote, order, results } = market();
    quote("A", bid, offer);
    order("A", "ord001");
    expect(results().byteLength > 0).toBe(isRejecting);
  });

  test("an order for a symbol without a quote is rejected with zeros, and the newest quote counts", () => {
    const { quote, order, results } = market();
    order("ZZ", "ord001");
    expect(readResult(results(), 4)).toMatchObject({ bid: 0, offer: 0 });
    quote("ZZ", 10, 11);
    quote("ZZ", 10, 10.01);
    order("ZZ", "ord002");
    expect(results().byteLength).toBe(0);
  });

  test("A22: of 1000 rejecting and 1000 other quotes, and an order for each, exactly the 1000 come out", () => {
    const { quote, order, results } = market();
    const symbols = Array.from({ length: 2000 }, (_, index) => index.toString(36).padStart(4, "Z"));
    symbols.forEach((symbol, index) => quote(symbol, 10, index % 2 === 0 ? 10.06 : 10.02));
    symbols.forEach((symbol, index) => order(symbol, String(index).padStart(6, "0")));
    const bytes = results();
    const found = Array.from({ length: bytes.byteLength / 59 }, (_, index) =>
      readResult(bytes.subarray(59 * index, 59 * (index + 1)), 4),
    );
    expect(found.map(({ symbol }) => symbol)).toEqual(symbols.filter((_, index) => index % 2 === 0));
    expect(found.length).toBe(1000);
  });

  test("an order on the port of quotes is counted and changes nothing", () => {
    const { order, results, bad } = market();
    order("A", "ord001", "Nbbo");
    expect(bad).toEqual(["decode Nbbo"]);
    expect(results().byteLength).toBe(0);
  });
});

const counter = (value: number, key = "") =>
  new ByteWriter().frame((out) => out.u64(value).raw(Buffer.from(key))).done();
const bytes = (parts: Uint8Array[]) => new Uint8Array(Buffer.concat(parts));

test("detector: windows of the last four values of each key, with the traces of each level", () => {
  testApp(detector)
    .feedBytes("Detector", bytes([counter(1, "key_0"), counter(2, "key_0"), counter(1, "key_1")]))
    .expect("windows", [
      { key: "key_0.TraceID-1.TraceWindow-1", last: [0, 0, 0, 1] },
      { key: "key_0.TraceID-1.TraceWindow-1", last: [0, 0, 1, 2] },
      { key: "key_1.TraceID-1.TraceWindow-1", last: [0, 0, 0, 1] },
    ]);
  testApp(detector, ["--depth", "2"])
    .feedBytes("Detector", counter(1, "k"))
    .expect("windows", [{ key: "k.TraceID-1.TraceWindow-1.TraceID-2.TraceWindow-2", last: [0, 0, 0, 1] }]);
});

test("detector: a value that was left out stops it", () => {
  const run = testApp(detector).feedBytes("Detector", counter(1, "k"));
  expect(() => run.feedBytes("Detector", counter(3, "k"))).toThrow("[0,0,1,3]");
});

test("sequence-window: the last windows of both parities are the last eight values", () => {
  const values = Array.from({ length: 10_002 }, (_, index) => counter(index + 1));
  const windows = testApp(sequenceWindow).feedBytes("Sequence", bytes(values)).take("windows");
  expect(windows).toHaveLength(10_002);
  expect(windows.slice(-2)).toEqual([
    [9995, 9997, 9999, 10_001],
    [9996, 9998, 10_000, 10_002],
  ]);
});

test("passthrough: bytes in are bytes out", () => {
  const records = [Buffer.from("abc"), Buffer.from(""), Buffer.from([0, 255])];
  const framed = bytes(records.map((record) => new ByteWriter().bytes(record).done()));
  for (const args of [[], ["--key-by", "first-byte"]]) {
    const out = testApp(passthrough, args).feedBytes("In", framed).take("Out");
    expect(out.map((each) => Buffer.from(each as Uint8Array))).toEqual(records);
  }
});
