/**
 * Private information retrieval by secret sharing over GF(2^8) (Goldberg 2007), as an interface with two sides: the C
 * library (`native/gf8.ts`) and plain TypeScript (`typescript-engine.ts`), which is also what the C is tested against.
 *
 * A client shares, for each query, the unit vector of the wanted row with polynomials of degree t, one point for each
 * server. A server multiplies its share with the database. Any t servers together see uniformly random bytes; t + 1
 * answers give the row, and further ones show, or correct, wrong answers.
 */

export interface Decoded {
  row: Uint8Array;
  /** Which answers lie on the polynomials. */
  isRight: boolean[];
}

export interface PirEngine {
  /**
   * `count` products of a query (one byte per row) with the table of `rows` rows of `rowBytes` bytes; the answers stand
   * behind each other.
   */
  answer(
    table: Uint8Array,
    rows: number,
    rowBytes: number,
    queries: Uint8Array,
    count: number,
  ): Uint8Array<ArrayBuffer>;
  /** As `answer`, with queries of one bit per row (Chor's XOR scheme), lowest bit first. */
  answerXor(
    table: Uint8Array,
    rows: number,
    rowBytes: number,
    queries: Uint8Array,
    count: number,
  ): Uint8Array<ArrayBuffer>;
  /**
   * The queries of each server for `wanted` rows. `points` are distinct and not zero; `coefficients` are `degree ·
   * wanted.length · rows` bytes from a strong generator, used once.
   */
  share(
    points: readonly number[],
    degree: number,
    rows: number,
    wanted: readonly number[],
    coefficients: Uint8Array,
  ): Uint8Array<ArrayBuffer>[];
  /**
   * The value at zero of the polynomials of degree `degree` through the answers. With more than `degree + 1` answers,
   * wrong ones are corrected as far as that is unambiguous; undefined when it is not.
   */
  decode(points: readonly number[], degree: number, answers: readonly Uint8Array[]): Decoded | undefined;
}

/** Distinct points that are not zero, chosen by `random` (bytes from a strong generator). */
export function choosePoints(count: number, random: (length: number) => Uint8Array): number[] {
  const points = new Set<number>();
  while (points.size < count)
    for (const byte of random(count)) if (byte !== 0 && points.size < count) points.add(byte);
  return [...points];
}
