/**
 * The one `Frame` that all decoders of an engine are shown: moved from record to record, so that none costs garbage.
 *
 * Invariant: no read leaves the record's bounds; one that would throws a WireError, which costs that record.
 */
import type { Frame } from "../api/contract.ts";
import { copyOf, getU32, textOf, WireError } from "../wire/bytes.ts";

/** Texts up to this many bytes are looked up by their bytes. */
const INTERNED_BYTES_MAX = 4;
const TABLE_TEXTS_MAX = 65_536;

export class FrameCursor implements Frame {
  source: Uint8Array = new Uint8Array(0);
  start = 0;
  end = 0;
  #view = new DataView(this.source.buffer);
  #viewed: Uint8Array = this.source;
  /** By length, then by the bytes as a number. */
  readonly #texts = Array.from({ length: INTERNED_BYTES_MAX + 1 }, () => new Map<number, string>());

  set(bytes: Uint8Array, start: number, end: number): this {
    this.source = bytes;
    this.start = start;
    this.end = end;
    return this;
  }

  get length(): number {
    return this.end - this.start;
  }

  u8(at: number): number {
    return this.source[this.#at(at, 1)] as number;
  }

  u16(at: number): number {
    const from = this.#at(at, 2);
    return ((this.source[from] as number) << 8) | (this.source[from + 1] as number);
  }

  u32(at: number): number {
    return getU32(this.source, this.#at(at, 4));
  }

  u64(at: number): bigint {
    return this.#viewOf().getBigUint64(this.#at(at, 8));
  }

  f64(at: number): number {
    return this.#viewOf().getFloat64(this.#at(at, 8));
  }

  text(at: number, length = this.length - at): string {
    const from = this.#at(at, length);
    if (length > INTERNED_BYTES_MAX) return textOf(this.source.subarray(from, from + length));
    let packed = 0;
    for (let index = 0; index < length; index++)
      packed = (packed << 8) | (this.source[from + index] as number);
    const table = this.#texts[length] as Map<number, string>;
    return table.get(packed) ?? this.#intern(table, packed, from, length);
  }

  bytes(at = 0, length = this.length - at): Uint8Array {
    const from = this.#at(at, length);
    return copyOf(this.source.subarray(from, from + length));
  }

  #intern(table: Map<number, string>, packed: number, from: number, length: number): string {
    if (table.size >= TABLE_TEXTS_MAX) table.clear();
    const text = textOf(this.source.subarray(from, from + length));
    table.set(packed, text);
    return text;
  }

  #at(at: number, length: number): number {
    const from = this.start + at;
    if (at < 0 || length < 0 || from + length > this.end) {
      throw new WireError(`a record of ${this.length} bytes has no ${length} bytes at ${at}`);
    }
    return from;
  }

  /** One view for each chunk, not for each record. */
  #viewOf(): DataView {
    if (this.#viewed !== this.source) {
      this.#viewed = this.source;
      this.#view = new DataView(this.source.buffer, this.source.byteOffset, this.source.byteLength);
    }
    return this.#view;
  }
}
