/** The market-spread oracle against the rule as it is written down, and the made-up market against its proportions. */
import { describe, expect, test } from "bun:test";
import { Market } from "../../../src/streams/sender/market.ts";
import {
  MarketOracle,
  marketResults,
  multisetDifference,
  ResultCounts,
} from "../../../src/streams/validate/oracle.ts";
import { ByteWriter } from "../../../src/streams/wire/bytes.ts";
import { readOrder, readQuote, readResult, RESULT_BYTES } from "../../../src/streams/wire/market-spread.ts";
import type { Feed } from "../../../src/streams/sender/feed.ts";

const order = {
  side: 1,
  account: 1,
  orderId: "abcdef",
  symbol: "   A",
  quantity: 10,
  price: 10,
  time: "x".repeat(21),
};
const quote = (bid: number, offer: number) => ({ symbol: "   A", time: order.time, bid, offer });
const read = <Record>(feed: Feed, index: number, reader: (bytes: Uint8Array) => Record) => {
  const writer = new ByteWriter();
  feed.write(writer, index);
  return reader(writer.done());
};

describe("the oracle", () => {
  test("rejects every order of a symbol that was never quoted, with zeros", () => {
    const result = new MarketOracle().order(order) as Uint8Array;
    const whole = new Uint8Array(RESULT_BYTES);
    whole.set(result);
    expect(readResult(whole)).toMatchObject({ orderId: "abcdef", bid: 0, offer: 0 });
  });

  test.each([
    [10, 10.04, false],
    [10, 10.06, true],
    [0.5, 0.52, false],
    [0.5, 0.53, true],
  ])("bid %d and offer %d: rejected is %p", (bid, offer, isRejected) => {
    const oracle = new MarketOracle();
    oracle.quote(quote(bid, offer));
    expect(oracle.order(order) !== undefined).toBe(isRejected);
  });

  test("a difference of two multisets is named", () => {
    const [left, right] = [new ResultCounts(), new ResultCounts()];
    const body = new MarketOracle().order(order) as Uint8Array;
    left.add(body);
    expect(multisetDifference(left, right)).toContain('"abcdef"');
    right.add(body);
    expect(multisetDifference(left, right)).toBeUndefined();
    right.add(body);
    expect(multisetDifference(left, right)).toContain("1 times and not 2");
  });
});

describe("the made-up market", () => {
  const options = { symbols: 350, rejectingSymbols: 15, rejectedOneIn: 1000, seed: 7 };
  const market = new Market(options);

  test("is a function of its seed", () => {
    const again = new Market(options);
    for (const index of [0, 1, 999])
      expect(read(again.orders(1000), index, readOrder)).toEqual(read(market.orders(1000), index, readOrder));
    const other = new Market({ ...options, seed: 8 }).orders(1000);
    expect(read(other, 0, readOrder)).not.toEqual(read(market.orders(1000), 0, readOrder));
  });

  test("quotes each symbol once in the beginning, all different, four characters", () => {
    const quotes = market.initialQuotes();
    expect(quotes.records).toBe(350);
    const symbols = Array.from({ length: 350 }, (_, index) => read(quotes, index, readQuote).symbol);
    expect(new Set(symbols).size).toBe(350);
    expect(symbols.every((symbol) => symbol.length === 4)).toBe(true);
  });

  test("a fifth of the symbols has four fifths of the orders, one order in rejectedOneIn is rejected", () => {
    const orders = market.orders(50_000);
    const counts = new Map<string, number>();
    for (let index = 0; index < orders.records; index++) {
      const { symbol } = read(orders, index, readOrder);
      counts.set(symbol, (counts.get(symbol) ?? 0) + 1);
    }
    const busiest = [...counts.values()].sort((a, b) => b - a).slice(0, 67);
    const share = busiest.reduce((sum, count) => sum + count, 0) / orders.records;
    expect(share).toBeGreaterThan(0.75);
    expect(share).toBeLessThan(0.85);
    const { total } = marketResults(market.initialQuotes(), orders);
    expect(total).toBeGreaterThan(20);
    expect(total).toBeLessThan(100);
  });

  test("rejections do not depend on which quotes came last", () => {
    const orders = market.orders(20_000);
    const first = marketResults(market.initialQuotes(), orders);
    expect(multisetDifference(marketResults(market.quotes(70_000), orders), first)).toBeUndefined();
  });
});
