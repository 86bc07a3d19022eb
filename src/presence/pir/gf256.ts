/**
 * Arithmetic in GF(2^8) with the reduction polynomial x^8 + x^4 + x^3 + x + 1 (0x11B), as AES and GF2P8MULB use.
 *
 * Addition is XOR. The tables are made once from the generator 3.
 */

interface Tables {
  exp: Uint8Array;
  log: Uint8Array;
  /** `product[a * 256 + b]` is a·b. */
  product: Uint8Array;
}

function makeTables(): Tables {
  const exp = new Uint8Array(512);
  const log = new Uint8Array(256);
  for (let power = 0, value = 1; power < 255; power++) {
    exp[power] = value;
    exp[power + 255] = value;
    log[value] = power;
    const doubled = value << 1;
    value ^= doubled > 0xff ? doubled ^ 0x11b : doubled;
  }
  const product = new Uint8Array(65_536);
  for (let a = 1; a < 256; a++)
    for (let b = 1; b < 256; b++)
      product[a * 256 + b] = exp[(log[a] as number) + (log[b] as number)] as number;
  return { exp, log, product };
}

export const gf: Readonly<Tables> = makeTables();

export const multiply = (a: number, b: number): number => gf.product[a * 256 + b] as number;

/** The inverse of an element that is not zero. */
export const inverse = (a: number): number => gf.exp[255 - (gf.log[a] as number)] as number;

/** `target ^= coefficient · source`, byte by byte. */
export function addScaled(target: Uint8Array, coefficient: number, source: Uint8Array): void {
  if (coefficient === 0) return;
  const row = gf.product.subarray(coefficient * 256, coefficient * 256 + 256);
  for (let index = 0; index < source.byteLength; index++)
    target[index] = (target[index] as number) ^ (row[source[index] as number] as number);
}

/** The weights with which values at `points` give the value at `at` of the polynomial through them. */
export function lagrangeWeights(points: readonly number[], at: number): number[] {
  return points.map((point, index) => {
    let weight = 1;
    points.forEach((other, otherIndex) => {
      if (otherIndex !== index) weight = multiply(weight, multiply(at ^ other, inverse(point ^ other)));
    });
    return weight;
  });
}
