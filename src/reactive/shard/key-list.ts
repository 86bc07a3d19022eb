/** Several keys in one message: u32 count, then u32 length and bytes of each. Throws WireError for bytes that are no such list. */
import type { ByteReader, ByteWriter } from "../wire/bytes.ts";

export const KEYS_MAX = 100_000;

/** What `writeKeys` takes. */
export const keysBytes = (keys: readonly Uint8Array[]) =>
  keys.reduce((sum, key) => sum + 4 + key.byteLength, 4);

export function writeKeys(writer: ByteWriter, keys: readonly Uint8Array[]): void {
  writer.u32(keys.length);
  for (const key of keys) writer.bytes(key);
}

export function readKeys(reader: ByteReader): Uint8Array[] {
  const keys: Uint8Array[] = [];
  for (let left = reader.count(4, KEYS_MAX); left > 0; left--) keys.push(reader.ownBytes());
  return keys;
}
