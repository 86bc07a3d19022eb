/**
 * The randomness seam: every coin a role throws comes from here.
 *
 * Invariant: nothing outside `core` calls `Math.random` or `crypto.getRandomValues`, so a simulated
 * run is a function of its seed. Secrets must come from `bytes` of the real source.
 */

export interface Random {
  /** Uniform in [0, 1). */
  float(): number;
  /** Uniform integer in [0, limit); `limit` is an integer from 1 to 2^48. */
  integer(limit: number): number;
  /** `length` bytes. Cryptographically strong in the real world, seeded in a simulation. */
  bytes(length: number): Uint8Array;
}

/** The most that Web Crypto fills in one call. */
const FILL_BYTES_MAX = 65_536;

/** The machine's generator (the kernel's for `bytes`), in Bun, Node and browsers. */
export const realRandom: Random = {
  float: () => Math.random(),
  integer: (limit) => Math.floor(Math.random() * limit),
  bytes(length) {
    const out = new Uint8Array(length);
    for (let at = 0; at < length; at += FILL_BYTES_MAX)
      crypto.getRandomValues(out.subarray(at, at + FILL_BYTES_MAX));
    return out;
  },
};

/**
 * A seeded generator: the same seed gives the same sequence on every machine.
 * sfc32 (Chris Doty-Humphrey's Small Fast Counter, 128 bits of state), seeded through splitmix32.
 */
export function seededRandom(seed: number): Random {
  let mix = seed >>> 0;
  const next32 = () => {
    mix = (mix + 0x9e3779b9) | 0;
    let z = mix ^ (mix >>> 16);
    z = Math.imul(z, 0x21f0aaad);
    z = z ^ (z >>> 15);
    z = Math.imul(z, 0x735a2d97);
    return (z ^ (z >>> 15)) | 0;
  };
  let [a, b, c, counter] = [next32(), next32(), next32(), 1];
  const uint32 = () => {
    const sum = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + sum;
    c |= 0;
    return sum >>> 0;
  };
  for (let warmUp = 0; warmUp < 12; warmUp++) uint32();
  return {
    float: () => uint32() / 0x1_0000_0000,
    integer(limit) {
      // 48 bits, so that the bias of the modulo stays below 2^-16 even for large limits.
      return ((uint32() & 0xffff) * 0x1_0000_0000 + uint32()) % limit;
    },
    bytes(length) {
      const out = new Uint8Array(length);
      for (let index = 0; index < length; index++) out[index] = uint32() & 0xff;
      return out;
    },
  };
}
