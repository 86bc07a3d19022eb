/**
 * Reads one field after the other. A family's codec adds the order of bytes (field-writer.ts lists the fields).
 *
 * Invariant: every length is checked before it is used; bytes that cannot be read throw `WireError`, and nothing is read
 * past the end or allocated for a count that cannot be true.
 */
import { copyOf, textOf, WireError } from "./bytes.ts";

export abstract class FieldReader {
  protected readonly buffer: Uint8Array;
  readonly #end: number;
  #at: number;

  /** Reads `bytes` from `start` to `end`. */
  constructor(bytes: Uint8Array, start = 0, end = bytes.byteLength) {
    this.buffer = bytes;
    this.#at = start;
    this.#end = end;
  }

  abstract u16(): number;
  abstract u32(): number;
  /** A safe integer. */
  abstract u64(): number;

  get remaining(): number {
    return this.#end - this.#at;
  }

  u8(): number {
    return this.buffer[this.take(1)] as number;
  }

  /** The next `length` bytes, not copied: valid as long as what is read from. */
  raw(length: number): Uint8Array {
    const at = this.take(length);
    return this.buffer.subarray(at, at + length);
  }

  /** What is left, not copied. */
  rest(): Uint8Array {
    return this.raw(this.remaining);
  }

  bytes(): Uint8Array {
    return this.raw(this.u32());
  }

  /** What is left, as a copy. */
  ownRest(): Uint8Array<ArrayBuffer> {
    return this.#own(this.remaining);
  }

  /** As `bytes`, but a copy. */
  ownBytes(): Uint8Array<ArrayBuffer> {
    return this.#own(this.u32());
  }

  #own(length: number): Uint8Array<ArrayBuffer> {
    const at = this.take(length);
    return copyOf(this.buffer, at, length);
  }

  text(): string {
    return textOf(this.bytes());
  }

  /** A u32 count of items that take at least `itemBytesMin` each. */
  count(itemBytesMin: number, countMax = Number.POSITIVE_INFINITY): number {
    const count = this.u32();
    if (count > countMax || count * itemBytesMin > this.remaining)
      throw new WireError(`${count} items are announced, ${this.remaining} bytes follow`);
    return count;
  }

  /** To be called behind the last field: nothing may follow. */
  end(): void {
    if (this.remaining > 0) throw new WireError(`${this.remaining} bytes follow the last field`);
  }

  /** Passes over `length` bytes and returns where they begin. */
  protected take(length: number): number {
    const at = this.#at;
    if (length > this.remaining)
      throw new WireError(`a field of ${length} bytes is cut short: ${this.remaining} are left`);
    this.#at += length;
    return at;
  }
}
