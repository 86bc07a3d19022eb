/**
 * The serializer of WalB's packets and metadata files.
 *
 *   bool, u8      1 byte                       u16   2 bytes
 *   u32, u64      variable: one byte when that byte, read as a signed number, is the value; else a mark and the shortest
 *                 of 80+u8 81+u16 82+u32 83+u64 84+i8 85+i16 86+i32 (87+i64 is only read). A value whose byte would be
 *                 80…87 gets the mark 84.
 *   string, bytes variable length, then the bytes      list   variable count, then the elements
 *   uuid, hash    16 bytes
 *
 * Invariant: what is read was announced by a length that was checked first.
 */
import { NxError } from "../../core/errors.ts";

/** Where a reader takes its bytes from: a connection, or a file in memory. */
export interface ByteFeed {
  /** Resolves with exactly `length` bytes, valid until the next call. Throws when there are not so many. */
  take(length: number): Promise<Uint8Array>;
}

export function malformed(what: string): NxError {
  return new NxError("NX_DATA_CORRUPT", `malformed: ${what}`, {
    hint: "the sender is damaged or speaks another protocol",
  });
}

/** Bytes of a metadata file as a feed. */
export class MemoryFeed implements ByteFeed {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get left(): number {
    return this.#bytes.byteLength - this.#at;
  }

  async take(length: number): Promise<Uint8Array> {
    if (length > this.left) throw malformed("it ends too early");
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }
}

const STRING_BYTES_MAX = 64 << 10;
const LIST_MAX = 1 << 20;
const U64 = 1n << 64n;

export class Writer {
  #bytes = new Uint8Array(64);
  #length = 0;

  #room(extra: number): DataView {
    if (this.#length + extra > this.#bytes.byteLength) {
      const larger = new Uint8Array(Math.max(this.#length + extra, this.#bytes.byteLength * 2));
      larger.set(this.#bytes.subarray(0, this.#length));
      this.#bytes = larger;
    }
    return new DataView(this.#bytes.buffer);
  }

  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  u8(value: number): this {
    this.#room(1).setUint8(this.#length, value);
    this.#length += 1;
    return this;
  }

  bool(value: boolean): this {
    return this.u8(value ? 1 : 0);
  }

  u16(value: number): this {
    this.#room(2).setUint16(this.#length, value, true);
    this.#length += 2;
    return this;
  }

  /** Bytes as they are. */
  raw(bytes: Uint8Array): this {
    this.#room(bytes.byteLength);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.byteLength;
    return this;
  }

  u32(value: number): this {
    return this.#variable(BigInt(value >>> 0), 32n);
  }

  u64(value: bigint | number): this {
    return this.#variable(BigInt(value), 64n);
  }

  #variable(value: bigint, bits: bigint): this {
    const signed = BigInt.asIntN(Number(bits), value);
    if (signed >= -128n && signed <= 127n) {
      const byte = Number(BigInt.asUintN(8, signed));
      return byte >= 0x80 && byte <= 0x87 ? this.u8(0x84).u8(byte) : this.u8(byte);
    }
    if (value < 0x100n) return this.u8(0x80).u8(Number(value));
    if (value < 0x10000n) return this.u8(0x81).u16(Number(value));
    if (signed >= -0x8000n && signed < 0n) return this.u8(0x85).u16(Number(BigInt.asUintN(16, signed)));
    if (value < 0x1_0000_0000n) return this.u8(0x82).#fixed32(Number(value));
    if (signed >= -0x8000_0000n && signed < 0n)
      return this.u8(0x86).#fixed32(Number(BigInt.asUintN(32, signed)));
    this.u8(0x83);
    this.#room(8).setBigUint64(this.#length, value, true);
    this.#length += 8;
    return this;
  }

  #fixed32(value: number): this {
    this.#room(4).setUint32(this.#length, value, true);
    this.#length += 4;
    return this;
  }

  text(value: string): this {
    const bytes = Buffer.from(value);
    return this.u64(bytes.byteLength).raw(bytes);
  }

  texts(values: readonly string[]): this {
    this.u64(values.length);
    for (const value of values) this.text(value);
    return this;
  }
}

const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

export class Reader {
  readonly #feed: ByteFeed;

  constructor(feed: ByteFeed) {
    this.#feed = feed;
  }

  async u8(): Promise<number> {
    return (await this.#feed.take(1))[0] as number;
  }

  async bool(): Promise<boolean> {
    return (await this.u8()) !== 0;
  }

  async u16(): Promise<number> {
    return viewOf(await this.#feed.take(2)).getUint16(0, true);
  }

  /** A copy of the next bytes. */
  async raw(length: number): Promise<Uint8Array> {
    return (await this.#feed.take(length)).slice();
  }

  /** The next bytes in place, valid until the next read. */
  view(length: number): Promise<Uint8Array> {
    return this.#feed.take(length);
  }

  async u32(): Promise<number> {
    return Number(await this.#variable(32));
  }

  u64(): Promise<bigint> {
    return this.#variable(64);
  }

  /** A u64 that counts something; refused above `limit`. */
  async count(limit: number, what: string): Promise<number> {
    const value = await this.u64();
    if (value > BigInt(Math.floor(limit)))
      throw malformed(`${what} is ${value}, at most ${limit} are possible`);
    return Number(value);
  }

  async #variable(bits: 32 | 64): Promise<bigint> {
    const byte = await this.u8();
    if (byte < 0x80 || byte > 0x87) return BigInt.asUintN(bits, BigInt.asIntN(8, BigInt(byte)));
    const lengths = [1, 2, 4, 8, 1, 2, 4, 8] as const;
    const length = lengths[byte - 0x80] as 1 | 2 | 4 | 8;
    if (bits === 32 && length === 8) throw malformed("a number of 64 bits where one of 32 is wanted");
    const bytes = await this.#feed.take(length);
    let value = 0n;
    for (let index = length - 1; index >= 0; index--) value = (value << 8n) | BigInt(bytes[index] as number);
    const isSigned = byte >= 0x84;
    return BigInt.asUintN(bits, isSigned ? BigInt.asIntN(length * 8, value) : value);
  }

  async text(bytesMax = STRING_BYTES_MAX): Promise<string> {
    const length = await this.count(bytesMax, "the length of a text");
    return length === 0 ? "" : Buffer.from(await this.#feed.take(length)).toString();
  }

  async texts(): Promise<string[]> {
    const count = await this.count(LIST_MAX, "the length of a list");
    const values: string[] = [];
    for (let index = 0; index < count; index++) values.push(await this.text());
    return values;
  }
}

export const isU64 = (value: bigint): boolean => value >= 0n && value < U64;
