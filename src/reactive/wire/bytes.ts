/**
 * Fields to bytes and back, for every message and record of the reactive family. Little-endian; what a field is and how
 * lengths are checked stands in core/wire.
 */
import { safeInteger } from "../../core/wire/bytes.ts";
import { FieldReader } from "../../core/wire/field-reader.ts";
import { FieldWriter } from "../../core/wire/field-writer.ts";

export { compareBytes, copyOf, WireError } from "../../core/wire/bytes.ts";

const TWO_32 = 0x1_0000_0000;

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

export class ByteWriter extends FieldWriter {
  u16(value: number): this {
    const at = this.room(2);
    putU16(this.buffer, at, value);
    return this;
  }

  u32(value: number): this {
    const at = this.room(4);
    putU32(this.buffer, at, value);
    return this;
  }

  u64(value: number): this {
    const at = this.room(8);
    putU32(this.buffer, at, value >>> 0);
    putU32(this.buffer, at + 4, Math.floor(value / TWO_32));
    return this;
  }

  /** Signed; wraps at 64 bits. */
  i64(value: bigint): this {
    const at = this.room(8);
    new DataView(this.buffer.buffer).setBigInt64(at, value, true);
    return this;
  }

  f64(value: number): this {
    const at = this.room(8);
    new DataView(this.buffer.buffer).setFloat64(at, value, true);
    return this;
  }

  /** u32 count, then u64 each. */
  numbers(values: readonly number[]): this {
    this.u32(values.length);
    for (const value of values) this.u64(value);
    return this;
  }
}

export class ByteReader extends FieldReader {
  u16(): number {
    return getU16(this.buffer, this.take(2));
  }

  u32(): number {
    return getU32(this.buffer, this.take(4));
  }

  u64(): number {
    const at = this.take(8);
    return safeInteger(getU32(this.buffer, at + 4) * TWO_32 + getU32(this.buffer, at));
  }

  i64(): bigint {
    return this.#view(8).getBigInt64(0, true);
  }

  f64(): number {
    return this.#view(8).getFloat64(0, true);
  }

  /** `countMax` bounds what is allocated. */
  numbers(countMax: number): number[] {
    const values: number[] = [];
    for (let left = this.count(8, countMax); left > 0; left--) values.push(this.u64());
    return values;
  }

  #view(length: number): DataView {
    return new DataView(this.buffer.buffer, this.buffer.byteOffset + this.take(length), length);
  }
}
