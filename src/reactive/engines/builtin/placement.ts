/** Which shard holds a key: the DJB2 hash of its bytes, as the original has it (diamond.md 3.4), so that data stays where it was. */
const MASK = (1n << 64n) - 1n;

/** The shard of a key, 0 to `shards` - 1. Bytes count as signed, as in the original. */
export function shardOf(key: Uint8Array, shards: number): number {
  if (shards === 1) return 0;
  // Two halves of 32 bits, so that no bigint is made for each byte.
  let low = 5381;
  let high = 0;
  for (const byte of key) {
    const signed = byte < 128 ? byte : byte - 256;
    const product = low * 33 + signed;
    const carry = Math.floor(product / 0x1_0000_0000);
    low = product >>> 0;
    high = (Math.imul(high, 33) + carry) >>> 0;
  }
  return Number((((BigInt(high) << 32n) | BigInt(low)) & MASK) % BigInt(shards));
}
