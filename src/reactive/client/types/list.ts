/**
 * Lists. Appending never conflicts; setting elements at different places does not either; everything else replaces the
 * list.
 */
import { indexPart, wholePart } from "../../shard/operations.ts";
import { compareBytes } from "../../wire/bytes.ts";
import type { Reader, Writer } from "../transaction-handle.ts";
import { asText, type Encoding } from "./encodings.ts";
import { Variable } from "./variable.ts";

export class ListVariable<T> extends Variable {
  readonly #encoding: Encoding<T>;

  constructor(key: string, encoding: Encoding<T>) {
    super(key);
    this.#encoding = encoding;
  }

  async #elements(transaction: Reader, index?: number): Promise<Uint8Array[]> {
    const part = index === undefined ? wholePart : indexPart(index);
    return (await this.stored(transaction, "list", part))?.elements ?? [];
  }

  /** All elements. */
  async value(transaction: Reader): Promise<T[]> {
    return (await this.#elements(transaction)).map((element) => this.decoded(this.#encoding, element));
  }

  async size(transaction: Reader): Promise<number> {
    return (await this.#elements(transaction)).length;
  }

  /** The element at an index from 0; undefined beyond the end. A later append is no change of it. */
  async at(transaction: Reader, index: number): Promise<T | undefined> {
    const element = (await this.#elements(transaction, checkedIndex(index)))[index];
    if (element !== undefined) return this.decoded(this.#encoding, element);
    // That there is none changes with an append.
    await this.#elements(transaction);
    return undefined;
  }

  /** Of the first equal element, or -1. */
  async indexOf(transaction: Reader, item: T): Promise<number> {
    const wanted = this.#encoding.encode(item);
    return (await this.#elements(transaction)).findIndex((element) => compareBytes(element, wanted) === 0);
  }

  append(transaction: Writer, ...items: T[]): void {
    for (const item of items)
      transaction.apply(this.key, { kind: "append", element: this.#encoding.encode(item) });
  }

  /** Throws RangeError for an index at which there is no element. */
  async set(transaction: Writer, index: number, item: T): Promise<void> {
    const { length } = await this.#elements(transaction, checkedIndex(index));
    if (index >= length) throw noElement(this.key, index, length);
    transaction.apply(this.key, { kind: "setIndex", index, element: this.#encoding.encode(item) });
  }

  /** Throws RangeError for an index beyond the end. */
  async insert(transaction: Writer, index: number, item: T): Promise<void> {
    const elements = await this.#elements(transaction);
    if (checkedIndex(index) > elements.length) throw noElement(this.key, index, elements.length);
    this.#put(transaction, elements.toSpliced(index, 0, this.#encoding.encode(item)));
  }

  /** Removes the element at an index. Throws RangeError where there is none. */
  async erase(transaction: Writer, index: number): Promise<void> {
    const elements = await this.#elements(transaction);
    if (checkedIndex(index) >= elements.length) throw noElement(this.key, index, elements.length);
    this.#put(transaction, elements.toSpliced(index, 1));
  }

  /** Removes the first equal element; says whether there was one. */
  async remove(transaction: Writer, item: T): Promise<boolean> {
    const index = await this.indexOf(transaction, item);
    if (index >= 0) await this.erase(transaction, index);
    return index >= 0;
  }

  /** Replaces the whole list. */
  replace(transaction: Writer, items: readonly T[]): void {
    this.#put(
      transaction,
      items.map((item) => this.#encoding.encode(item)),
    );
  }

  clear(transaction: Writer): void {
    this.#put(transaction, []);
  }

  #put(transaction: Writer, elements: Uint8Array[]): void {
    transaction.apply(this.key, { kind: "put", value: { type: "list", elements } });
  }
}

const INDEX_MAX = 0xffff_ffff;

function checkedIndex(index: number): number {
  if (!Number.isInteger(index) || index < 0 || index > INDEX_MAX)
    throw new RangeError(`an index is an integer from 0, not ${index}`);
  return index;
}

function noElement(key: string, index: number, length: number): RangeError {
  return new RangeError(`"${key}" has ${length} elements, none at ${index}`);
}

/** A list of texts, or of what `encoding` says. Unset: empty. */
export function list<T>(key: string, encoding: Encoding<T>): ListVariable<T>;
export function list(key: string): ListVariable<string>;
export function list(key: string, encoding: Encoding<unknown> = asText as Encoding<unknown>): Variable {
  return new ListVariable(key, encoding);
}
