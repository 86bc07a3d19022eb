/**
 * CRC-32C (Castagnoli), the checksum of node-x's own files; see native/crc32c.h. One call for each buffer.
 */
import { link } from "./library.ts";

const symbols = { nx_crc32c: { args: ["u32", "ptr", "u64"], returns: "u32" } } as const;

let linked: ReturnType<typeof link<typeof symbols>> | undefined;

/**
 * The checksum of `bytes`. Pieces chain: pass the result for one piece as `seed` of the next.
 * `crc32c("123456789") === 0xe3069283` (RFC 3720).
 */
export function crc32c(bytes: Uint8Array, seed = 0): number {
  if (bytes.byteLength === 0) return seed;
  linked ??= link(symbols);
  return linked.nx_crc32c(seed, bytes, bytes.byteLength);
}
