/**
 * Fields to bytes and back, for every protocol of the streams family. Big-endian, as the original's tools speak; what a
 * field is and how lengths are checked stands in core/wire.
 *
 *   short   u16 length, then the bytes            big   all 64 bits, as a bigint: identifiers and times
 */
import { safeInteger, textOf, WireError } from "../../core/wire/bytes.ts";
import { FieldReader } from "../../core/wire/field-reader.ts";
import { FieldWriter } from "../../core/wire/field-writer.ts";

export { copyOf, textOf, WireError } from "../../core/wire/bytes.ts";

const encoder = new TextEncoder();
const TWO_32 = 0x1_0000_0000;
export const SHORT_BYTES_MAX = 0xffff;

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
  return safeInteger(getU32(bytes, at) * TWO_32 + getU32(bytes, at + 4));
}

export function putU64(bytes: Uint8Array, at: number, value: number): void {
  putU32(bytes, at, Math.floor(value / TWO_32));
  putU32(bytes, at + 4, value >>> 0);
}

export class ByteWriter extends FieldWriter {
  /** Of the buffer that is written into: made once, as a writer is used for many messages. */
  #view = new DataView(this.buffer.buffer);

  u16(value: number): this {
    const at = this.room(2);
    this.buffer[at] = value >>> 8;
    this.buffer[at + 1] = value;
    return this;
  }

  u32(value: number): this {
    const at = this.room(4);
    putU32(this.buffer, at, value);
    return this;
  }

  u64(value: number): this {
    const at = this.room(8);
    putU64(this.buffer, at, value);
    return this;
  }

  /** Wraps. */
  big(value: bigint): this {
    const at = this.room(8);
    this.#viewed().setBigUint64(at, BigInt.asUintN(64, value));
    return this;
  }

  f64(value: number): this {
    const at = this.room(8);
    this.#viewed().setFloat64(at, value);
    return this;
  }

  /** Throws WireError for more than 65 535 bytes. */
  short(value: string | Uint8Array): this {
    const bytes = typeof value === "string" ? encoder.encode(value) : value;
    if (bytes.byteLength > SHORT_BYTES_MAX)
      throw new WireError(`a short text may have ${SHORT_BYTES_MAX} bytes, this one has ${bytes.byteLength}`);
    return this.u16(bytes.byteLength).raw(bytes);
  }

  /** A frame (frame.ts) whose body `write` makes. */
  frame(write: (writer: this) => void): this {
    const at = this.room(4);
    write(this);
    putU32(this.buffer, at, this.length - at - 4);
    return this;
  }

  /** The same with a length of one or two bytes. Throws WireError for a body that is longer than that can say. */
  shortFrame(headerBytes: 1 | 2, write: (writer: this) => void): this {
    const at = this.room(headerBytes);
    write(this);
    const length = this.length - at - headerBytes;
    if (length >= 1 << (8 * headerBytes))
      throw new WireError(`a record of ${length} bytes does not fit its header`);
    if (headerBytes === 2) this.buffer[at] = length >> 8;
    this.buffer[at + headerBytes - 1] = length;
    return this;
  }

  /** Forgets what was written and keeps the memory. */
  clear(): void {
    this.end = 0;
  }

  /** Forgets what was written behind the first `length` bytes. */
  cutTo(length: number): void {
    this.end = length;
  }

  #viewed(): DataView {
    if (this.#view.buffer !== this.buffer.buffer) this.#view = new DataView(this.buffer.buffer);
    return this.#view;
  }
}

export class ByteReader extends FieldReader {
  u16(): number {
    const at = this.take(2);
    return ((this.buffer[at] as number) << 8) | (this.buffer[at + 1] as number);
  }

  u32(): number {
    return getU32(this.buffer, this.take(4));
  }

  u64(): number {
    return getU64(this.buffer, this.take(8));
  }

  /** Unsigned, all 64 bits. */
  big(): bigint {
    const at = this.take(8);
    return (BigInt(getU32(this.buffer, at)) << 32n) | BigInt(getU32(this.buffer, at + 4));
  }

  f64(): number {
    const at = this.take(8);
    return new DataView(this.buffer.buffer, this.buffer.byteOffset + at, 8).getFloat64(0);
  }

  shortBytes(): Uint8Array {
    return this.raw(this.u16());
  }

  short(): string {
    return textOf(this.shortBytes());
  }
}
