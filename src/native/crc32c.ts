/**
 * CRC-32C (Castagnoli), the checksum of node-x's own files; see native/crc32c.h. One call for each buffer.
 */
import { assert } from "../core/errors.ts";
import { linked } from "./library.ts";

const symbols = { nx_crc32c_part: { args: ["u32", "ptr", "u64", "u64"], returns: "u32" } } as const;

const library = linked(symbols);

/**
 * The checksum of `bytes`, or of those from `start` to `end`. Pieces chain: pass the result for one piece as `seed` of the
 * next. `crc32c("123456789") === 0xe3069283` (RFC 3720).
 */
export function crc32c(bytes: Uint8Array, seed = 0, start = 0, end = bytes.byteLength): number {
  if (start === end) return seed;
  assert(0 <= start && start < end && end <= bytes.byteLength, "a part lies within its bytes");
  return library().nx_crc32c_part(seed, bytes, start, end);
}
