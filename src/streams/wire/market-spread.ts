/**
 * The records of the market-spread application, body of a frame each (frame.ts):
 *
 *   order, 53 bytes               quote (NBBO), 42 bytes          result, 55 bytes
 *    0   1  type, 1                0   1  type, 2                  0   1  side
 *    1   1  side: 1 buy, 2 sell    1   4  symbol                   1   4  account
 *    2   4  account                5  21  transact time            5   6  order id
 *    6   6  order id              26   8  bid, f64                11   4  symbol
 *   12   4  symbol                34   8  offer, f64              15   8  quantity, f64
 *   16   8  quantity, f64                                         23   8  price, f64
 *   24   8  price, f64                                            31   8  bid, f64
 *   32  21  transact time                                         39   8  offer, f64
 *                                                                 47   8  nanoseconds since 1970
 *
 * Symbols are padded with spaces on the left, times are `YYYYMMDD-HH:MM:SS.mmm`, both ASCII.
 *
 * Invariant: a record has exactly its length and its type, or it is refused.
 */
import { ByteReader, ByteWriter, textOf, WireError } from "./bytes.ts";

export const ORDER_BYTES = 53;
export const QUOTE_BYTES = 42;
export const RESULT_BYTES = 55;
/** Where the symbol of a record is: for those who route records without reading all of them. */
export const ORDER_SYMBOL_AT = 12;
export const QUOTE_SYMBOL_AT = 1;
export const RESULT_SYMBOL_AT = 11;
export const SYMBOL_BYTES = 4;
/** A result without its last field: what two runs over the same input have in common. */
export const RESULT_COMPARED_BYTES = 47;

const ORDER_TYPE = 1;
const QUOTE_TYPE = 2;
const ORDER_ID_BYTES = 6;
const TIME_BYTES = 21;

export const Side = { buy: 1, sell: 2 } as const;

export interface Order {
  side: number;
  account: number;
  orderId: string;
  symbol: string;
  quantity: number;
  price: number;
  time: string;
}

export interface Quote {
  symbol: string;
  time: string;
  bid: number;
  offer: number;
}

export interface Result extends Omit<Order, "time"> {
  bid: number;
  offer: number;
  timestampNs: bigint;
}

/** Appends the body of an order. */
export function writeOrder(writer: ByteWriter, order: Order): void {
  writer.u8(ORDER_TYPE);
  writeOrderFields(writer, order);
  fixed(writer, order.time, TIME_BYTES);
}

/** Appends the body of a quote. */
export function writeQuote(writer: ByteWriter, { symbol, time, bid, offer }: Quote): void {
  writer.u8(QUOTE_TYPE);
  fixed(writer, symbol.padStart(SYMBOL_BYTES), SYMBOL_BYTES);
  fixed(writer, time, TIME_BYTES);
  writer.f64(bid).f64(offer);
}

/** Appends the body of a result. */
export function writeResult(writer: ByteWriter, result: Result): void {
  writeOrderFields(writer, result);
  writer.f64(result.bid).f64(result.offer).big(result.timestampNs);
}

function writeOrderFields(writer: ByteWriter, order: Omit<Order, "time">): void {
  writer.u8(order.side).u32(order.account);
  fixed(writer, order.orderId, ORDER_ID_BYTES);
  fixed(writer, order.symbol.padStart(SYMBOL_BYTES), SYMBOL_BYTES);
  writer.f64(order.quantity).f64(order.price);
}

/** Throws WireError for anything but an order. */
export function readOrder(bytes: Uint8Array, start = 0, end = bytes.byteLength): Order {
  const reader = bodyOf(bytes, start, end, ORDER_BYTES, ORDER_TYPE, "an order");
  return { ...readOrderFields(reader), time: textOf(reader.raw(TIME_BYTES)) };
}

/** Throws WireError for anything but a quote. */
export function readQuote(bytes: Uint8Array, start = 0, end = bytes.byteLength): Quote {
  const reader = bodyOf(bytes, start, end, QUOTE_BYTES, QUOTE_TYPE, "a quote");
  const [symbol, time] = [textOf(reader.raw(SYMBOL_BYTES)), textOf(reader.raw(TIME_BYTES))];
  return { symbol, time, bid: reader.f64(), offer: reader.f64() };
}

/** Throws WireError for anything but a result. */
export function readResult(bytes: Uint8Array, start = 0, end = bytes.byteLength): Result {
  assertLength(end - start, RESULT_BYTES, "a result");
  const reader = new ByteReader(bytes, start, end);
  return {
    ...readOrderFields(reader),
    bid: reader.f64(),
    offer: reader.f64(),
    timestampNs: reader.big(),
  };
}

function readOrderFields(reader: ByteReader): Omit<Order, "time"> {
  const side = reader.u8();
  if (side !== Side.buy && side !== Side.sell) throw new WireError(`a side is 1 or 2, not ${side}`);
  return {
    side,
    account: reader.u32(),
    orderId: textOf(reader.raw(ORDER_ID_BYTES)),
    symbol: textOf(reader.raw(SYMBOL_BYTES)),
    quantity: reader.f64(),
    price: reader.f64(),
  };
}

function bodyOf(
  bytes: Uint8Array,
  start: number,
  end: number,
  length: number,
  type: number,
  what: string,
): ByteReader {
  assertLength(end - start, length, what);
  const reader = new ByteReader(bytes, start, end);
  const found = reader.u8();
  if (found !== type) throw new WireError(`${what} has type ${type}, not ${found}`);
  return reader;
}

function assertLength(found: number, wanted: number, what: string): void {
  if (found !== wanted) throw new WireError(`${what} has ${wanted} bytes, not ${found}`);
}

/** ASCII of exactly so many bytes. */
function fixed(writer: ByteWriter, text: string, length: number): void {
  if (text.length !== length || !/^[\x20-\x7e]*$/.test(text))
    throw new WireError(`${JSON.stringify(text)} is not ${length} ASCII characters`);
  for (let at = 0; at < length; at++) writer.u8(text.charCodeAt(at));
}
