/**
 * CRC-32C (Castagnoli, reflected, polynomial 0x1EDC6F41), in plain TypeScript.
 *
 * The C library has the fast one; this is the same function for tools and tests that run without it, and the
 * model that the C one is tested against.
 */

/**
 * Continues a CRC: `crc(ab, 0) === crc(b, crc(a, 0))`. The result is an unsigned 32-bit integer. `start` and `end`: of a part
 * of `bytes`, which is cheaper than a view of it.
 */
export type Crc32c = (bytes: Uint8Array, seed: number, start?: number, end?: number) => number;

const table = makeTable();

function makeTable(): Uint32Array {
  const result = new Uint32Array(256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
    result[byte] = crc >>> 0;
  }
  return result;
}

export const crc32c: Crc32c = (bytes, seed, start = 0, end = bytes.length) => {
  let crc = ~seed;
  for (let index = start; index < end; index++) {
    crc = (crc >>> 8) ^ (table[(crc ^ (bytes[index] as number)) & 0xff] as number);
  }
  return ~crc >>> 0;
};
