/**
 * Made-up orders and quotes for the market-spread application, in the proportions of the original's data files: a fifth of
 * the symbols has four fifths of the traffic, a few symbols have spreads that get their orders rejected, and those are
 * traded rarely.
 *
 * Invariant: the records are a function of the seed, and a symbol is rejecting or not for good, so what a correct worker
 * rejects does not depend on how orders and quotes are interleaved once every symbol was quoted.
 */
import { seededRandom, type Random } from "../../core/seams/random.ts";
import { ByteWriter } from "../wire/bytes.ts";
import { Side, writeOrder, writeQuote } from "../wire/market-spread.ts";
import { storedFeed, type Feed } from "./feed.ts";

export interface MarketOptions {
  symbols: number;
  /** How many of them are quoted with a spread that is too wide. */
  rejectingSymbols: number;
  /** One order in so many is for a rejecting symbol. */
  rejectedOneIn: number;
  seed: number;
}

interface Symbol {
  name: string;
  price: number;
  isRejecting: boolean;
}

/** Different records made; a longer stream repeats them, as the original repeats its files. */
const POOL_RECORDS = 70_000;
const BUSY_SHARE = 0.2;
const BUSY_TRAFFIC = 0.8;
const SPREAD_LIMIT = 0.05;
const SPREADS = [0, 0.01, 0.02, 0.03] as const;
const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const ID_ALPHABET = `${ALPHABET}${ALPHABET.toLowerCase()}0123456789`;

function cents(value: number): number {
  return Math.round(value * 100) / 100;
}

/** Names of one to four letters, all different. */
function nameOf(index: number): string {
  let name = "";
  for (let rest = index; rest >= 0; rest = Math.floor(rest / ALPHABET.length) - 1)
    name = `${ALPHABET[rest % ALPHABET.length]}${name}`;
  return name;
}

export class Market {
  readonly symbols: readonly Symbol[];
  readonly #options: MarketOptions;

  constructor(options: MarketOptions) {
    this.#options = options;
    const random = seededRandom(options.seed);
    this.symbols = Array.from({ length: options.symbols }, (_, index) => ({
      name: nameOf(index),
      price: cents(10 + random.float() * 190),
      isRejecting: index >= options.symbols - options.rejectingSymbols,
    }));
  }

  /** One quote for each symbol: sent first, no later order is rejected only because its symbol is unknown. */
  initialQuotes(): Feed {
    const random = seededRandom(this.#options.seed + 1);
    return pool(this.symbols.length, this.symbols.length, (writer, index) =>
      writeQuote(writer, this.#quote(this.symbols[index] as Symbol, random)),
    );
  }

  quotes(records: number): Feed {
    const random = seededRandom(this.#options.seed + 2);
    return pool(records, POOL_RECORDS, (writer) =>
      writeQuote(writer, this.#quote(this.#pick(random), random)),
    );
  }

  orders(records: number): Feed {
    const random = seededRandom(this.#options.seed + 3);
    return pool(records, POOL_RECORDS, (writer) => {
      const { name, price } = this.#pick(random);
      writeOrder(writer, {
        side: random.integer(2) === 0 ? Side.buy : Side.sell,
        account: 1 + random.integer(300),
        orderId: Array.from({ length: 6 }, () => ID_ALPHABET[random.integer(ID_ALPHABET.length)]).join(""),
        symbol: name,
        quantity: 10 * (1 + random.integer(65)),
        price,
        time: timeOf(random),
      });
    });
  }

  #quote({ name, price, isRejecting }: Symbol, random: Random) {
    const bid = cents(price + random.float());
    const spread = isRejecting ? SPREAD_LIMIT + 0.001 + random.float() * 0.03 : pickOf(SPREADS, random);
    return { symbol: name, time: timeOf(random), bid, offer: bid + spread };
  }

  #pick(random: Random): Symbol {
    const { symbols, rejectingSymbols, rejectedOneIn } = this.#options;
    const calm = symbols - rejectingSymbols;
    const isRejected = rejectingSymbols > 0 && (calm === 0 || random.integer(rejectedOneIn) === 0);
    if (isRejected) return this.symbols[calm + random.integer(rejectingSymbols)] as Symbol;
    const busy = Math.max(1, Math.floor(calm * BUSY_SHARE));
    const isBusy = busy === calm || random.float() < BUSY_TRAFFIC;
    return this.symbols[isBusy ? random.integer(busy) : busy + random.integer(calm - busy)] as Symbol;
  }
}

function pickOf<Value>(values: readonly Value[], random: Random): Value {
  return values[random.integer(values.length)] as Value;
}

function timeOf(random: Random): string {
  const two = (limit: number) => String(random.integer(limit)).padStart(2, "0");
  return `20180915-${two(24)}:${two(60)}:${two(60)}.${String(random.integer(1000)).padStart(3, "0")}`;
}

/** At most `different` records are made and kept. */
function pool(records: number, different: number, write: (writer: ByteWriter, index: number) => void): Feed {
  const count = Math.min(records, different);
  const writer = new ByteWriter(count * 56);
  const starts = new Float64Array(count + 1);
  for (let index = 0; index < count; index++) {
    write(writer, index);
    starts[index + 1] = writer.length;
  }
  return storedFeed(writer.done(), starts, records);
}
