/**
 * Sets. Adding never conflicts with adding, not even of the same element; looking for or removing one element concerns that
 * element only.
 */
import { elementPart, wholePart } from "../../shard/operations.ts";
import { compareBytes } from "../../wire/bytes.ts";
import type { Reader, Writer } from "../transaction-handle.ts";
import { asText, type Encoding } from "./encodings.ts";
import { Variable } from "./variable.ts";

export class SetVariable<T> extends Variable {
  readonly #encoding: Encoding<T>;

  constructor(key: string, encoding: Encoding<T>) {
    super(key);
    this.#encoding = encoding;
  }

  /** Ascending by their bytes. */
  async value(transaction: Reader): Promise<T[]> {
    const stored = await this.stored(transaction, "set", wholePart);
    return (stored?.elements ?? []).map((element) => this.decoded(this.#encoding, element));
  }

  async size(transaction: Reader): Promise<number> {
    return (await this.stored(transaction, "set", wholePart))?.elements.length ?? 0;
  }

  async has(transaction: Reader, item: T): Promise<boolean> {
    const wanted = this.#encoding.encode(item);
    const stored = await this.stored(transaction, "set", elementPart(wanted));
    return stored?.elements.some((element) => compareBytes(element, wanted) === 0) ?? false;
  }

  add(transaction: Writer, ...items: T[]): void {
    for (const item of items)
      transaction.apply(this.key, { kind: "insert", element: this.#encoding.encode(item) });
  }

  remove(transaction: Writer, item: T): void {
    transaction.apply(this.key, { kind: "remove", element: this.#encoding.encode(item) });
  }

  /** Replaces the whole set. */
  replace(transaction: Writer, items: Iterable<T>): void {
    const elements = [...items].map((item) => this.#encoding.encode(item));
    transaction.apply(this.key, { kind: "put", value: { type: "set", elements } });
  }

  clear(transaction: Writer): void {
    this.replace(transaction, []);
  }
}

/** A set of texts, or of what `encoding` says. Unset: empty. */
export function set<T>(key: string, encoding: Encoding<T>): SetVariable<T>;
export function set(key: string): SetVariable<string>;
export function set(key: string, encoding: Encoding<unknown> = asText as Encoding<unknown>): Variable {
  return new SetVariable(key, encoding);
}
