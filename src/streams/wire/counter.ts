/**
 * The record of the verifying applications, body of a frame (frame.ts):
 *
 *   offset  size
 *        0     8  value, u64
 *        8     n  key, UTF-8
 *
 * Without a key it is the number of the sequence-window application.
 */
import { ByteReader, type ByteWriter, textOf } from "./bytes.ts";

export const VALUE_BYTES = 8;

export interface Counter {
  value: number;
  key: string;
}

/** Appends the body of a record. `key` is UTF-8. */
export function writeCounter(writer: ByteWriter, value: number, key: Uint8Array): void {
  writer.u64(value).raw(key);
}

/** Throws WireError for less than a value, or a key that is not UTF-8. */
export function readCounter(bytes: Uint8Array, start = 0, end = bytes.byteLength): Counter {
  const reader = new ByteReader(bytes, start, end);
  return { value: reader.u64(), key: textOf(reader.rest()) };
}
