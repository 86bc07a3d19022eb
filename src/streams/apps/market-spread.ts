/**
 * Rejects orders for symbols whose quotes are too far apart.
 *
 * Sources "Orders" and "Nbbo" (frames), both by symbol, one state: the newest bid and offer. A symbol rejects while offer
 * and bid differ by 5 cents or by 5 %, and before its first quote. Sink "rejects" (frames of 55 bytes, with quote and time).
 *
 *   order, 53 bytes               quote (NBBO), 42 bytes          result, 55 bytes
 *    0   1  type, 1                0   1  type, 2                  0   1  side
 *    1   1  side                   1   4  symbol                   1   4  account
 *    2   4  account                5  21  time                     5   6  order id
 *    6   6  order id              26   8  bid, f64                11   4  symbol
 *   12   4  symbol                34   8  offer, f64              15   8  quantity, f64
 *   16   8  quantity, f64                                         23   8  price, f64
 *   24   8  price, f64                                            31   8  bid, f64
 *   32  21  time                                                  39   8  offer, f64
 *                                                                 47   8  nanoseconds since 1970
 *
 * Both decoders fill one object again and again: an order is only read as far as the rule needs it, and its bytes are
 * copied when it is rejected, about once in 70 000.
 */
import { app, framed } from "node-x/stream";
import type { Codec, Frame } from "node-x/stream";

const ORDER_BYTES = 53;
const QUOTE_BYTES = 42;
const CENTS = 0.05;
const SHARE = 0.05;

interface Message {
  isQuote: boolean;
  symbol: string;
  bid: number;
  offer: number;
  /** Of an order: its bytes, to be read while the record is processed. */
  frame: Frame | undefined;
}

interface Market {
  isRejecting: boolean;
  bid: number;
  offer: number;
}

/** An order as it goes out: the first 31 bytes of a result, and the quote. */
interface Reject {
  order: Uint8Array;
  bid: number;
  offer: number;
}

/** u8 rejecting, f64 bid, f64 offer. */
const marketCodec: Codec<Market> = {
  encode(market, out) {
    out.u8(market.isRejecting ? 1 : 0);
    out.f64(market.bid);
    out.f64(market.offer);
  },
  decode: (frame) => ({ isRejecting: frame.u8(0) === 1, bid: frame.f64(1), offer: frame.f64(9) }),
};

function readInto(message: Message, length: number, type: number, symbolAt: number) {
  return (frame: Frame): Message => {
    if (frame.length !== length || frame.u8(0) !== type) {
      throw new Error(`wanted ${length} bytes of type ${type}, got ${frame.length} of type ${frame.u8(0)}`);
    }
    message.symbol = frame.text(symbolAt, 4);
    if (message.isQuote) {
      message.bid = frame.f64(26);
      message.offer = frame.f64(34);
    } else message.frame = frame;
    return message;
  };
}

/** Side, account, order id, symbol, quantity and price stand in an order as they do in a result, one byte later. */
const resultHead = (frame: Frame): Uint8Array => frame.bytes(1, 31);

export default app("market-spread", (a) => {
  const blank = { symbol: "", bid: 0, offer: 0, frame: undefined };
  const orders = a
    .source("Orders", {
      framing: framed(),
      decode: readInto({ ...blank, isQuote: false }, ORDER_BYTES, 1, 12),
    })
    .keyBy(({ symbol }) => symbol);
  const quotes = a
    .source("Nbbo", { framing: framed(), decode: readInto({ ...blank, isQuote: true }, QUOTE_BYTES, 2, 1) })
    .keyBy(({ symbol }) => symbol);
  orders
    .merge(quotes)
    .state<Market, Reject>(
      "market",
      { init: () => ({ isRejecting: true, bid: 0, offer: 0 }), codec: marketCodec },
      (message, market, out) => {
        if (message.isQuote) {
          const { bid, offer } = message;
          const apart = offer - bid;
          market.isRejecting = apart >= CENTS || apart / ((bid + offer) / 2) >= SHARE;
          market.bid = bid;
          market.offer = offer;
        } else if (market.isRejecting) {
          out.emit({ order: resultHead(message.frame as Frame), bid: market.bid, offer: market.offer });
        }
      },
    )
    .to(
      a.sink<Reject>("rejects", {
        framing: framed(),
        encode({ order, bid, offer }, out) {
          out.raw(order);
          out.f64(bid);
          out.f64(offer);
          out.big(BigInt(a.now()) * 1_000_000n);
        },
      }),
    );
});
