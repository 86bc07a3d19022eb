/**
 * Requests of the load generator, written into one block of memory that is used over and over.
 *
 * Keys are a prefix and twelve digits (`key:000000000042`, as redis-benchmark writes them). The value of a key is a
 * function of its number and the seed, so any reply can be checked without remembering what was written. A request is
 * a fixed head that is copied, and a few digits that change. Invariant: a block holds whole requests only.
 */
import type { Random } from "../../../core/seams/random.ts";

export const KEY_DIGITS = 12;
/** Values of different keys start at different places of the pool. */
const POOL_SHIFT = 4096;
const DIGIT_0 = 0x30;

/** Index of an operation in the recorder. */
export const Operation = { set: 0, get: 1 } as const;
export const operationNames = ["SET", "GET"] as const;

export interface RequestShape {
  keyPrefix: string;
  /** Requests that one block must hold. */
  requestsMax: number;
}

/** What is written under each key. */
export class Values {
  readonly valueBytes: number;
  readonly #pool: Uint8Array;

  constructor(valueBytes: number, random: Random) {
    this.valueBytes = valueBytes;
    this.#pool = random.bytes(valueBytes + POOL_SHIFT);
  }

  writeTo(target: Uint8Array, at: number, key: number): void {
    const from = key % POOL_SHIFT;
    target.set(this.#pool.subarray(from, from + this.valueBytes), at);
  }

  /** Whether `chunk[start…end)` is what stands at `offset` of the key's value. */
  matches(key: number, chunk: Uint8Array, start: number, end: number, offset: number): boolean {
    const pool = this.#pool;
    let expected = (key % POOL_SHIFT) + offset;
    for (let at = start; at < end; at++) if (chunk[at] !== pool[expected++]) return false;
    return true;
  }
}

export class RequestBlock {
  readonly #buffer: Uint8Array;
  readonly #values: Values;
  readonly #heads: readonly Uint8Array[];
  readonly #valueHead: Uint8Array;
  #length = 0;
  /** The view of the last `take`: blocks are often of one size. */
  #view: Uint8Array;

  constructor(shape: RequestShape, values: Values) {
    const key = `$${shape.keyPrefix.length + KEY_DIGITS}\r\n${shape.keyPrefix}`;
    const head = (text: string) => new TextEncoder().encode(text);
    this.#heads = [head(`*3\r\n$3\r\nSET\r\n${key}`), head(`*2\r\n$3\r\nGET\r\n${key}`)];
    this.#values = values;
    const { valueBytes } = values;
    this.#valueHead = head(`\r\n$${valueBytes}\r\n`);
    const setBytes =
      (this.#heads[0] as Uint8Array).length + KEY_DIGITS + this.#valueHead.length + valueBytes + 2;
    this.#buffer = new Uint8Array(setBytes * shape.requestsMax);
    this.#view = this.#buffer.subarray(0, 0);
  }

  append(operation: number, key: number): void {
    const buffer = this.#buffer;
    const head = this.#heads[operation] as Uint8Array;
    buffer.set(head, this.#length);
    let at = this.#length + head.length;
    writeDigits(buffer, at, key);
    at += KEY_DIGITS;
    if (operation === Operation.set) {
      buffer.set(this.#valueHead, at);
      at += this.#valueHead.length;
      this.#values.writeTo(buffer, at, key);
      at += this.#values.valueBytes;
    }
    buffer[at++] = 13;
    buffer[at++] = 10;
    this.#length = at;
  }

  /** The requests appended since the last `take`; valid until the next `append`. */
  take(): Uint8Array {
    if (this.#view.length !== this.#length) this.#view = this.#buffer.subarray(0, this.#length);
    this.#length = 0;
    return this.#view;
  }
}

function writeDigits(buffer: Uint8Array, at: number, key: number): void {
  let left = key;
  for (let digit = at + KEY_DIGITS - 1; digit >= at; digit--) {
    const tens = (left / 10) | 0;
    buffer[digit] = DIGIT_0 + left - tens * 10;
    left = tens;
  }
}

/** A request in the protocol's general form. */
export function encodeRequest(words: readonly string[]): Uint8Array {
  const parts = words.map((word) => Buffer.from(word));
  const lines = parts.flatMap((part) => [Buffer.from(`$${part.length}\r\n`), part, Buffer.from("\r\n")]);
  return Buffer.concat([Buffer.from(`*${parts.length}\r\n`), ...lines]);
}
