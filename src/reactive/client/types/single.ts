/**
 * Variables that hold one item: a text, an integer, a boolean, an id, a document; and the counter, whose changes never
 * conflict.
 */
import { wholePart } from "../../shard/operations.ts";
import type { Reader, Writer } from "../transaction-handle.ts";
import { asBoolean, asBytes, asJson, asLong, asText, type Encoding, type Schema } from "./encodings.ts";
import { Variable } from "./variable.ts";

/** One item, set as a whole. Of two transactions that set it at once, one is run again. */
export class SingleVariable<T, Unset = T> extends Variable {
  readonly #encoding: Encoding<T>;
  readonly #unset: Unset;

  constructor(key: string, encoding: Encoding<T>, unset: Unset) {
    super(key);
    this.#encoding = encoding;
    this.#unset = unset;
  }

  /** What is stored; that of an unset variable when nothing is. */
  async value(transaction: Reader): Promise<T | Unset> {
    const stored = await this.stored(transaction, "bytes", wholePart);
    return stored === undefined ? this.#unset : this.decoded(this.#encoding, stored.bytes);
  }

  set(transaction: Writer, item: T): void {
    const bytes = this.#encoding.encode(item);
    transaction.apply(this.key, { kind: "put", value: { type: "bytes", bytes } });
  }
}

/** Reads what it changes, so two at once conflict: a counter does not. */
export class LongVariable extends SingleVariable<bigint> {
  constructor(key: string) {
    super(key, asLong, 0n);
  }

  async add(transaction: Writer, amount: bigint): Promise<void> {
    this.set(transaction, (await this.value(transaction)) + amount);
  }
}

/** Holds a name that nobody else has. */
export class IdVariable extends SingleVariable<string> {
  constructor(key: string) {
    super(key, asText, "");
  }

  /** Sets it to a new one, made of 128 random bits: no two clients need to agree. Returns it. */
  generate(transaction: Writer): string {
    const id = transaction.uniqueName();
    this.set(transaction, id);
    return id;
  }
}

/** A signed 64-bit number that wraps. Any number of transactions may add to it at once; none of them is run again for it. */
export class CounterVariable extends Variable {
  async value(transaction: Reader): Promise<bigint> {
    return (await this.stored(transaction, "counter", wholePart))?.count ?? 0n;
  }

  add(transaction: Writer, amount: bigint | number): void {
    transaction.apply(this.key, { kind: "add", amount: int64(amount) });
  }

  increment(transaction: Writer): void {
    this.add(transaction, 1n);
  }

  decrement(transaction: Writer): void {
    this.add(transaction, -1n);
  }

  set(transaction: Writer, count: bigint | number): void {
    transaction.apply(this.key, { kind: "put", value: { type: "counter", count: int64(count) } });
  }
}

function int64(amount: bigint | number): bigint {
  const integer = BigInt(amount);
  if (integer !== BigInt.asIntN(64, integer)) throw new RangeError(`${integer} does not fit into 64 bits`);
  return integer;
}

/** Unset: "". */
export const text = (key: string) => new SingleVariable<string>(key, asText, "");
/** Unset: 0n. */
export const long = (key: string) => new LongVariable(key);
/** Unset: false. */
export const boolean = (key: string) => new SingleVariable<boolean>(key, asBoolean, false);
/** Unset: 0n. */
export const counter = (key: string) => new CounterVariable(key);
/** Unset: "". */
export const id = (key: string) => new IdVariable(key);
/** Unset: undefined. */
export const bytes = (key: string) => new SingleVariable<Uint8Array, undefined>(key, asBytes, undefined);
/** JSON that `schema` accepts. Unset: undefined. */
export const document = <T>(key: string, schema: Schema<T>) =>
  new SingleVariable<T, undefined>(key, asJson(schema), undefined);
