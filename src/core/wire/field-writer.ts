/**
 * Writes one field after the other into a buffer that grows. A family's codec adds the order of bytes.
 *
 *   u8 1 byte    u16, u32, u64 2, 4, 8 bytes in the family's order
 *   bytes        u32 length, then the bytes
 *   text         UTF-8, as bytes
 *
 * Invariant: a field is written whole; what is long is handed out without a copy.
 */

const encoder = new TextEncoder();

/**
 * The runtime keeps the bytes of an array up to this length beside the object. A view of it would move them to a buffer of
 * their own, which takes four times as long as a copy and is dear to collect.
 */
const INLINE_BYTES_MAX = 1000;

export abstract class FieldWriter {
  protected buffer: Uint8Array<ArrayBuffer>;
  protected end: number;

  /** `reserve`: bytes left free in front, for a header that is written last. */
  constructor(capacity = 64, reserve = 0) {
    this.buffer = new Uint8Array(capacity + reserve);
    this.end = reserve;
  }

  abstract u16(value: number): this;
  abstract u32(value: number): this;
  /** A safe integer. */
  abstract u64(value: number): this;

  get length(): number {
    return this.end;
  }

  u8(value: number): this {
    const at = this.room(1);
    this.buffer[at] = value;
    return this;
  }

  raw(bytes: Uint8Array): this {
    const at = this.room(bytes.byteLength);
    this.buffer.set(bytes, at);
    return this;
  }

  bytes(bytes: Uint8Array): this {
    return this.u32(bytes.byteLength).raw(bytes);
  }

  text(text: string): this {
    return this.bytes(encoder.encode(text));
  }

  /** What was written: valid until the next write. */
  done(): Uint8Array<ArrayBuffer> {
    const { buffer, end } = this;
    if (end === buffer.byteLength) return buffer;
    return buffer.byteLength <= INLINE_BYTES_MAX ? buffer.slice(0, end) : buffer.subarray(0, end);
  }

  /** Makes `length` bytes of room and returns where they are. */
  protected room(length: number): number {
    const at = this.end;
    this.end = at + length;
    if (this.end > this.buffer.byteLength) {
      const larger = new Uint8Array(Math.max(this.end, 2 * this.buffer.byteLength));
      larger.set(this.buffer);
      this.buffer = larger;
    }
    return at;
  }
}
