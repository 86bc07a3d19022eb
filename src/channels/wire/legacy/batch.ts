/**
 * The content of a batch: fields back to back, each a u64 length and its bytes (little-endian).
 *
 *   keys and values   16, key, length, value, 16, key, …        keys only   16, key, 16, key, …
 *
 * On the wire a batch is one array of { u64 length of the content, LZO1X stream of the content }.
 */
import { lzoDecode, lzoEncode } from "../../../native/lzo.ts";

/** A record on the wire: 16 hex digits and a value that is not empty. */
export interface LegacyRecord {
  key: string;
  value: Uint8Array;
}

/** Content longer than this is not decoded: no node makes such batches. */
const CONTENT_BYTES_MAX = 64 * 1024 * 1024;

/** The content of a batch as an array carries it; undefined when it cannot be decoded. */
export function decodeContent(array: Uint8Array): Uint8Array | undefined {
  if (array.byteLength < 8) return undefined;
  const byteLength = Number(new DataView(array.buffer, array.byteOffset).getBigUint64(0, true));
  if (byteLength > CONTENT_BYTES_MAX) return undefined;
  return lzoDecode(array.subarray(8), byteLength);
}

/** The fields of a batch as an array carries it; undefined when it cannot be decoded. Views into one copy. */
export function decodeBatch(array: Uint8Array): Uint8Array[] | undefined {
  const content = decodeContent(array);
  return content === undefined ? undefined : fieldsOf(content);
}

function fieldsOf(content: Uint8Array): Uint8Array[] | undefined {
  const view = new DataView(content.buffer, content.byteOffset, content.byteLength);
  const fields: Uint8Array[] = [];
  for (let at = 0; at < content.byteLength;) {
    if (content.byteLength - at < 8) return undefined;
    const length = Number(view.getBigUint64(at, true));
    if (length > content.byteLength - at - 8) return undefined;
    fields.push(content.subarray(at + 8, at + 8 + length));
    at += 8 + length;
  }
  return fields;
}

/** The array that carries these records. */
export function encodeBatch(records: readonly LegacyRecord[]): Uint8Array {
  const fields = records.flatMap(({ key, value }) => [Buffer.from(key, "latin1"), value]);
  const content = Buffer.alloc(fields.reduce((sum, field) => sum + 8 + field.byteLength, 0));
  let at = 0;
  for (const field of fields) {
    content.writeBigUInt64LE(BigInt(field.byteLength), at);
    content.set(field, at + 8);
    at += 8 + field.byteLength;
  }
  const stream = lzoEncode(content);
  const array = Buffer.alloc(8 + stream.byteLength);
  array.writeBigUInt64LE(BigInt(content.byteLength), 0);
  array.set(stream, 8);
  return array;
}
