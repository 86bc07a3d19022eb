/**
 * Fields to bytes and back, for every message and record of the reactive family. Little-endian.
 *
 * Invariant: the reader checks every length before it uses it and throws `WireError` for bytes that cannot be read; it
 * never reads past its end. u64 fields hold safe integers only: a larger one is an error, not a rounded number.
 */

/** Bytes that are not what they should be: from the network the connection is closed, from a disk it is damage. */
export class WireError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "WireError";
  }
}

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });
const TWO_32 = 0x1_0000_0000;

/** A copy that shares no memory. Not `slice`: chunks of a socket are Buffers, whose `slice` is a view. */
export function copyOf(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const copy = new Uint8Array(new ArrayBuffer(bytes.byteLength));
  copy.set(bytes);
  return copy;
}

/** Ascending; what begins another one comes before it. */
export function compareBytes(one: Uint8Array, other: Uint8Array): number {
  const length = Math.min(one.byteLength, other.byteLength);
  for (let index = 0; index < length; index++) {
    const difference = (one[index] as number) - (other[index] as number);
    if (difference !== 0) return difference;
  }
  return one.byteLength - other.byteLength;
}

/*
 * Integers are put together byte by byte and not through a DataView: the runtime keeps the bytes of a short array beside
 * the object until somebody asks for its buffer, and a message is made for every request.
 */

export function putU16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
}

export function putU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value >>> 16;
  bytes[at + 3] = value >>> 24;
}

export function getU16(bytes: Uint8Array, at: number): number {
  return (bytes[at] as number) | ((bytes[at + 1] as number) << 8);
}

export function getU32(bytes: Uint8Array, at: number): number {
  return (getU16(bytes, at) | (getU16(bytes, at + 2) << 16)) >>> 0;
}

/** Writes one field after the other into a buffer that grows. */
export class ByteWriter {
  #bytes: Uint8Array<ArrayBuffer>;
  #length: number;

  /** `reserve`: bytes left free in front, for a header that is written last. */
  constructor(capacity = 64, reserve = 0) {
    this.#bytes = new Uint8Array(capacity + reserve);
    this.#length = reserve;
  }

  get length(): number {
    return this.#length;
  }

  u8(value: number): this {
    this.#room(1);
    this.#bytes[this.#length] = value;
    this.#length += 1;
    return this;
  }

  u16(value: number): this {
    this.#room(2);
    putU16(this.#bytes, this.#length, value);
    this.#length += 2;
    return this;
  }

  u32(value: number): this {
    this.#room(4);
    putU32(this.#bytes, this.#length, value);
    this.#length += 4;
    return this;
  }

  u64(value: number): this {
    this.#room(8);
    putU32(this.#bytes, this.#length, value >>> 0);
    putU32(this.#bytes, this.#length + 4, Math.floor(value / TWO_32));
    this.#length += 8;
    return this;
  }

  /** Signed; wraps at 64 bits. */
  i64(value: bigint): this {
    this.#room(8);
    new DataView(this.#bytes.buffer).setBigInt64(this.#length, value, true);
    this.#length += 8;
    return this;
  }

  f64(value: number): this {
    this.#room(8);
    new DataView(this.#bytes.buffer).setFloat64(this.#length, value, true);
    this.#length += 8;
    return this;
  }

  raw(bytes: Uint8Array): this {
    this.#room(bytes.byteLength);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.byteLength;
    return this;
  }

  /** u32 length, then the bytes. */
  bytes(bytes: Uint8Array): this {
    return this.u32(bytes.byteLength).raw(bytes);
  }

  /** UTF-8, as `bytes`. */
  text(text: string): this {
    return this.bytes(encoder.encode(text));
  }

  /** u32 count, then u64 each. */
  numbers(values: readonly number[]): this {
    this.u32(values.length);
    for (const value of values) this.u64(value);
    return this;
  }

  /** What was written. The writer is used up. */
  done(): Uint8Array<ArrayBuffer> {
    return this.#length === this.#bytes.byteLength ? this.#bytes : this.#bytes.subarray(0, this.#length);
  }

  #room(bytes: number): void {
    const needed = this.#length + bytes;
    if (needed <= this.#bytes.byteLength) return;
    const larger = new Uint8Array(Math.max(needed, 2 * this.#bytes.byteLength));
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
  }
}

/** Reads one field after the other. */
export class ByteReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get remaining(): number {
    return this.#bytes.byteLength - this.#at;
  }

  u8(): number {
    return this.#bytes[this.#take(1)] as number;
  }

  u16(): number {
    return getU16(this.#bytes, this.#take(2));
  }

  u32(): number {
    return getU32(this.#bytes, this.#take(4));
  }

  u64(): number {
    const at = this.#take(8);
    const value = getU32(this.#bytes, at + 4) * TWO_32 + getU32(this.#bytes, at);
    if (!Number.isSafeInteger(value)) throw new WireError("a number is beyond 2^53");
    return value;
  }

  i64(): bigint {
    const at = this.#take(8);
    return new DataView(this.#bytes.buffer, this.#bytes.byteOffset + at, 8).getBigInt64(0, true);
  }

  f64(): number {
    const at = this.#take(8);
    return new DataView(this.#bytes.buffer, this.#bytes.byteOffset + at, 8).getFloat64(0, true);
  }

  /** The next `length` bytes, not copied: valid as long as what is read from. */
  raw(length: number): Uint8Array {
    const at = this.#take(length);
    return this.#bytes.subarray(at, at + length);
  }

  bytes(): Uint8Array {
    return this.raw(this.u32());
  }

  text(): string {
    try {
      return decoder.decode(this.bytes());
    } catch (error) {
      if (error instanceof WireError) throw error;
      throw new WireError("a text is not UTF-8");
    }
  }

  /** `countMax` bounds what is allocated. */
  numbers(countMax: number): number[] {
    const count = this.count(8, countMax);
    return Array.from({ length: count }, () => this.u64());
  }

  /** A u32 count of items that take at least `itemBytesMin` each. */
  count(itemBytesMin: number, countMax = Number.POSITIVE_INFINITY): number {
    const count = this.u32();
    if (count > countMax || count * itemBytesMin > this.remaining) {
      throw new WireError(`${count} items are announced, ${this.remaining} bytes follow`);
    }
    return count;
  }

  /** To be called behind the last field: nothing may follow. */
  end(): void {
    if (this.remaining > 0) throw new WireError(`${this.remaining} bytes follow the last field`);
  }

  #take(length: number): number {
    const at = this.#at;
    if (length > this.remaining) {
      throw new WireError(`a field of ${length} bytes is cut short: ${this.remaining} are left`);
    }
    this.#at += length;
    return at;
  }
}
