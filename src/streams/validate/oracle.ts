/**
 * What a correct stream puts out, worked out by one thread that does one thing after the other: the oracles that outputs
 * are compared with, byte for byte.
 *
 * Invariant: an oracle shares no code with the engine, only the codecs.
 */
import { ByteWriter } from "../wire/bytes.ts";
import {
  readOrder,
  readQuote,
  RESULT_COMPARED_BYTES,
  writeResult,
  type Order,
  type Quote,
} from "../wire/market-spread.ts";
import type { Feed } from "../sender/feed.ts";

const WINDOW = 4;

/** The bodies that the detector writes for the values 1 … `until` of `key`, in order. */
export function* detectorOutput(key: string, until: number, depth = 1): Generator<string> {
  const trace = Array.from({ length: depth }, (_, index) => `.TraceID-${index + 1}.TraceWindow-${index + 1}`);
  const window = new Array<number>(WINDOW).fill(0);
  for (let value = 1; value <= until; value++) {
    window.shift();
    window.push(value);
    yield `(${key}${trace.join("")},[${window.join(",")}])`;
  }
}

const CENTS = 0.05;

/** The rule of the market-spread application for one symbol. */
class Spread {
  isRejecting = true;
  bid = 0;
  offer = 0;

  quote({ bid, offer }: Quote): void {
    const difference = offer - bid;
    const middle = (bid + offer) / 2;
    this.isRejecting = difference >= CENTS || difference / middle >= CENTS;
    this.bid = bid;
    this.offer = offer;
  }
}

export class MarketOracle {
  readonly #spreads = new Map<string, Spread>();

  #spread(symbol: string): Spread {
    let spread = this.#spreads.get(symbol);
    if (spread === undefined) this.#spreads.set(symbol, (spread = new Spread()));
    return spread;
  }

  quote(quote: Quote): void {
    this.#spread(quote.symbol).quote(quote);
  }

  /** The body of the result without its time, where the order is rejected. */
  order(order: Order): Uint8Array | undefined {
    const { isRejecting, bid, offer } = this.#spread(order.symbol);
    if (!isRejecting) return undefined;
    const writer = new ByteWriter(64);
    writeResult(writer, { ...order, bid, offer, timestampNs: 0n });
    return writer.done().slice(0, RESULT_COMPARED_BYTES);
  }
}

/** Where the bid of a result begins: two sources have no order, so the quote that an order met is not determined. */
const DETERMINED_BYTES = 31;

export interface Multiset {
  total: number;
  /** How often each content is there. */
  counts: Map<string, number>;
}

/** Results of all `orders` after all `quotes`, as far as they are determined: side to price. */
export function marketResults(quotes: Feed, orders: Feed): Multiset {
  const oracle = new MarketOracle();
  const writer = new ByteWriter(64);
  const bodyOf = (feed: Feed, index: number) => {
    writer.clear();
    feed.write(writer, index);
    return writer.done();
  };
  for (let index = 0; index < quotes.records; index++) oracle.quote(readQuote(bodyOf(quotes, index)));
  const results = new ResultCounts();
  for (let index = 0; index < orders.records; index++) {
    const result = oracle.order(readOrder(bodyOf(orders, index)));
    if (result !== undefined) results.add(result);
  }
  return results;
}

/** Collects results of either side for a comparison. */
export class ResultCounts implements Multiset {
  readonly counts = new Map<string, number>();
  total = 0;

  /** `body` with or without its time. */
  add(body: Uint8Array): void {
    const content = Buffer.from(
      body.buffer,
      body.byteOffset,
      Math.min(DETERMINED_BYTES, body.byteLength),
    ).toString("latin1");
    this.counts.set(content, (this.counts.get(content) ?? 0) + 1);
    this.total++;
  }
}

/** Where two multisets differ, as a sentence; undefined when they are equal. */
export function multisetDifference(found: Multiset, wanted: Multiset): string | undefined {
  for (const [content, count] of wanted.counts) {
    const has = found.counts.get(content) ?? 0;
    if (has !== count) return `${describe(content)} is there ${has} times and not ${count}`;
  }
  for (const [content, count] of found.counts)
    if (!wanted.counts.has(content)) return `${describe(content)} is there ${count} times and should not be`;
  return undefined;
}

function describe(content: string): string {
  return `the result of order ${JSON.stringify(content.slice(5, 11))} of symbol ${JSON.stringify(content.slice(11, 15))}`;
}
