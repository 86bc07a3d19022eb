/** Maps from texts to items. What is done to one field does not conflict with what is done to another. */
import { fieldPart, wholePart } from "../../shard/operations.ts";
import { compareBytes } from "../../wire/bytes.ts";
import type { Reader, Writer } from "../transaction-handle.ts";
import { asText, type Encoding } from "./encodings.ts";
import { Variable } from "./variable.ts";

export class MapVariable<T> extends Variable {
  readonly #encoding: Encoding<T>;

  constructor(key: string, encoding: Encoding<T>) {
    super(key);
    this.#encoding = encoding;
  }

  /** All fields, ascending by their bytes. */
  async value(transaction: Reader): Promise<Map<string, T>> {
    const stored = await this.stored(transaction, "map", wholePart);
    return new Map(
      (stored?.entries ?? []).map(([field, item]) => [
        this.decoded(asText, field),
        this.decoded(this.#encoding, item),
      ]),
    );
  }

  async size(transaction: Reader): Promise<number> {
    return (await this.stored(transaction, "map", wholePart))?.entries.length ?? 0;
  }

  async get(transaction: Reader, field: string): Promise<T | undefined> {
    const wanted = asText.encode(field);
    const stored = await this.stored(transaction, "map", fieldPart(wanted));
    const entry = stored?.entries.find(([name]) => compareBytes(name, wanted) === 0);
    return entry === undefined ? undefined : this.decoded(this.#encoding, entry[1]);
  }

  async has(transaction: Reader, field: string): Promise<boolean> {
    return (await this.get(transaction, field)) !== undefined;
  }

  set(transaction: Writer, field: string, item: T): void {
    const value = this.#encoding.encode(item);
    transaction.apply(this.key, { kind: "mapSet", field: asText.encode(field), value });
  }

  remove(transaction: Writer, field: string): void {
    transaction.apply(this.key, { kind: "mapDelete", field: asText.encode(field) });
  }

  /** Replaces the whole map. */
  replace(transaction: Writer, entries: Iterable<readonly [string, T]>): void {
    const encoded = [...entries].map(([field, item]): [Uint8Array, Uint8Array] => [
      asText.encode(field),
      this.#encoding.encode(item),
    ]);
    transaction.apply(this.key, { kind: "put", value: { type: "map", entries: encoded } });
  }

  clear(transaction: Writer): void {
    this.replace(transaction, []);
  }
}

/** A map to texts, or to what `encoding` says. Unset: empty. */
export function map<T>(key: string, encoding: Encoding<T>): MapVariable<T>;
export function map(key: string): MapVariable<string>;
export function map(key: string, encoding: Encoding<unknown> = asText as Encoding<unknown>): Variable {
  return new MapVariable(key, encoding);
}
