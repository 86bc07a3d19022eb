/**
 * Fields to bytes and back, for every protocol of the streams family. Big-endian, as the original's tools speak.
 *
 * Invariant: the reader checks every length before it uses it and throws `WireError` for bytes that cannot be read; it
 * never reads past its end. Counts and positions are safe integers: a larger one is an error, not a rounded number.
 * Identifiers and times, which may use all 64 bits, are bigints.
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
export const SHORT_BYTES_MAX = 0xffff;

/** A copy that shares no memory. Not `slice`: chunks of a socket are Buffers, whose `slice` is a view. */
export function copyOf(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const copy = new Uint8Array(new ArrayBuffer(bytes.byteLength));
  copy.set(bytes);
  return copy;
}

export function getU32(bytes: Uint8Array, at: number): number {
  return (
    (((bytes[at] as number) << 24) |
      ((bytes[at + 1] as number) << 16) |
      ((bytes[at + 2] as number) << 8) |
      (bytes[at + 3] as number)) >>>
    0
  );
}

export function putU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

/** Throws WireError beyond 2^53. */
export function getU64(bytes: Uint8Array, at: number): number {
  const value = getU32(bytes, at) * TWO_32 + getU32(bytes, at + 4);
  if (!Number.isSafeInteger(value)) throw new WireError("a number is beyond 2^53");
  return value;
}

export function putU64(bytes: Uint8Array, at: number, value: number): void {
  putU32(bytes, at, Math.floor(value / TWO_32));
  putU32(bytes, at + 4, value >>> 0);
}

/** Writes one field after the other into a buffer that grows. */
export class ByteWriter {
  #bytes: Uint8Array<ArrayBuffer>;
  #view: DataView;
  #length = 0;

  constructor(capacity = 64) {
    this.#bytes = new Uint8Array(new ArrayBuffer(capacity));
    this.#view = new DataView(this.#bytes.buffer);
  }

  get length(): number {
    return this.#length;
  }

  u8(value: number): this {
    const at = this.#room(1);
    this.#bytes[at] = value;
    return this;
  }

  u16(value: number): this {
    const at = this.#room(2);
    this.#view.setUint16(at, value);
    return this;
  }

  u32(value: number): this {
    const at = this.#room(4);
    this.#view.setUint32(at, value);
    return this;
  }

  u64(value: number): this {
    const at = this.#room(8);
    putU64(this.#bytes, at, value);
    return this;
  }

  /** All 64 bits; wraps. */
  big(value: bigint): this {
    const at = this.#room(8);
    this.#view.setBigUint64(at, BigInt.asUintN(64, value));
    return this;
  }

  f64(value: number): this {
    const at = this.#room(8);
    this.#view.setFloat64(at, value);
    return this;
  }

  raw(bytes: Uint8Array): this {
    const at = this.#room(bytes.byteLength);
    this.#bytes.set(bytes, at);
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

  /** u16 length, then the bytes; throws WireError for more than 65 535. */
  short(value: string | Uint8Array): this {
    const bytes = typeof value === "string" ? encoder.encode(value) : value;
    if (bytes.byteLength > SHORT_BYTES_MAX)
      throw new WireError(`a short text may have ${SHORT_BYTES_MAX} bytes, this one has ${bytes.byteLength}`);
    return this.u16(bytes.byteLength).raw(bytes);
  }

  /** A frame (frame.ts) whose body `write` makes. */
  frame(write: (writer: this) => void): this {
    const at = this.#room(4);
    write(this);
    this.#view.setUint32(at, this.#length - at - 4);
    return this;
  }

  /** Forgets what was written and keeps the memory. */
  clear(): void {
    this.#length = 0;
  }

  /** What was written, not copied: valid until the next write or `clear`. */
  done(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(0, this.#length);
  }

  /** Makes `length` bytes of room and returns where they are. */
  #room(length: number): number {
    const at = this.#length;
    this.#length = at + length;
    if (this.#length > this.#bytes.byteLength) {
      const larger = new Uint8Array(new ArrayBuffer(Math.max(this.#length, 2 * this.#bytes.byteLength)));
      larger.set(this.#bytes.subarray(0, at));
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    return at;
  }
}

/** Reads one field after the other. */
export class ByteReader {
  readonly #bytes: Uint8Array;
  readonly #end: number;
  #at: number;

  /** Reads `bytes` from `start` to `end`. */
  constructor(bytes: Uint8Array, start = 0, end = bytes.byteLength) {
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
  }

  get remaining(): number {
    return this.#end - this.#at;
  }

  u8(): number {
    return this.#bytes[this.#take(1)] as number;
  }

  u16(): number {
    const at = this.#take(2);
    return ((this.#bytes[at] as number) << 8) | (this.#bytes[at + 1] as number);
  }

  u32(): number {
    return getU32(this.#bytes, this.#take(4));
  }

  u64(): number {
    return getU64(this.#bytes, this.#take(8));
  }

  /** Unsigned, all 64 bits. */
  big(): bigint {
    const at = this.#take(8);
    return (BigInt(getU32(this.#bytes, at)) << 32n) | BigInt(getU32(this.#bytes, at + 4));
  }

  f64(): number {
    const at = this.#take(8);
    return new DataView(this.#bytes.buffer, this.#bytes.byteOffset + at, 8).getFloat64(0);
  }

  /** The next `length` bytes, not copied: valid as long as what is read from. */
  raw(length: number): Uint8Array {
    const at = this.#take(length);
    return this.#bytes.subarray(at, at + length);
  }

  /** What is left, not copied. */
  rest(): Uint8Array {
    return this.raw(this.remaining);
  }

  bytes(): Uint8Array {
    return this.raw(this.u32());
  }

  text(): string {
    return textOf(this.bytes());
  }

  shortBytes(): Uint8Array {
    return this.raw(this.u16());
  }

  short(): string {
    return textOf(this.shortBytes());
  }

  /** A u32 count of items that take at least `itemBytesMin` each, so that nothing is allocated for a lie. */
  count(itemBytesMin: number): number {
    const count = this.u32();
    if (count * itemBytesMin > this.remaining)
      throw new WireError(`${count} items are announced, ${this.remaining} bytes follow`);
    return count;
  }

  /** To be called behind the last field: nothing may follow. */
  end(): void {
    if (this.remaining > 0) throw new WireError(`${this.remaining} bytes follow the last field`);
  }

  #take(length: number): number {
    const at = this.#at;
    if (length > this.remaining)
      throw new WireError(`a field of ${length} bytes is cut short: ${this.remaining} are left`);
    this.#at += length;
    return at;
  }
}

/** Throws WireError for bytes that are not UTF-8. */
export function textOf(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch {
    throw new WireError("a text is not UTF-8");
  }
}
