/**
 * The market-spread application in a demo: orders and quotes go in, what comes out is compared with an oracle.
 *
 * Two sources have no order between them, so the oracle is exact only because every symbol is quoted before the first order
 * and stays rejecting, or not, for good (sender/market.ts). Which quote an order met is not compared, nor the time.
 */
import { textOf, WireError } from "../wire/bytes.ts";
import { FrameReader } from "../wire/frame.ts";
import { RESULT_BYTES } from "../wire/market-spread.ts";
import { Market, type MarketOptions } from "../sender/market.ts";
import { marketResults, multisetDifference, ResultCounts } from "../validate/oracle.ts";
import type { OutputPart } from "../validate/verify.ts";

export const demoMarket: MarketOptions = { symbols: 350, rejectingSymbols: 15, rejectedOneIn: 50, seed: 11 };

export interface MarketVerdict {
  isValid: boolean;
  results: number;
  /** The first difference from the oracle, as a sentence. */
  difference: string | null;
}

/** What came out of `orders` orders, compared with the oracle. */
export async function judgeMarket(parts: Iterable<OutputPart>, orders: number): Promise<MarketVerdict> {
  const market = new Market(demoMarket);
  const wanted = marketResults(market.initialQuotes(), market.orders(orders));
  const found = new ResultCounts();
  let difference: string | undefined;
  for (const { source, chunks } of parts) {
    const reader = new FrameReader();
    try {
      for await (const chunk of chunks)
        reader.feed(chunk, (bytes, start, end) => {
          if (end - start !== RESULT_BYTES)
            throw new WireError(
              `a result of ${end - start} bytes: ${JSON.stringify(textOf(bytes.subarray(start, end)))}`,
            );
          found.add(bytes.subarray(start, end));
        });
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      difference ??= `${source}: ${error.message}`;
    }
    if (reader.waitingBytes > 0) difference ??= `${source}: the last result is torn`;
  }
  difference ??= multisetDifference(found, wanted);
  return { isValid: difference === undefined, results: found.total, difference: difference ?? null };
}
