/**
 * Reed-Solomon decoding of one byte by Berlekamp and Welch: the polynomial of degree t that agrees with the most of k
 * values, at least floor((k + t) / 2) + 1 of them. No two polynomials can both do that.
 *
 * With e = floor((k - t - 1) / 2) errors at most, there are polynomials E (degree e, zero at every error) and
 * Q = f·E (degree e + t) with Q(x) = y·E(x) at every point; any solution that is not zero gives f = Q / E.
 */
import { inverse, multiply } from "./gf256.ts";

/** The coefficients of f, lowest first; undefined when no polynomial agrees with enough values. */
export function decodeByte(
  points: readonly number[],
  values: readonly number[],
  degree: number,
): number[] | undefined {
  const count = points.length;
  const errors = Math.floor((count - degree - 1) / 2);
  const errorTerms = errors + 1;
  const unknowns = errorTerms + errors + degree + 1;
  const matrix = points.map((point, index) => {
    const row: number[] = [];
    for (let term = 0, power = 1; term < errorTerms; term++, power = multiply(power, point))
      row.push(multiply(values[index] as number, power));
    for (let term = errorTerms, power = 1; term < unknowns; term++, power = multiply(power, point))
      row.push(power);
    return row;
  });
  const solution = kernelVector(matrix, unknowns);
  if (solution === undefined) return undefined;
  const quotient = divide(solution.slice(errorTerms), solution.slice(0, errorTerms));
  if (quotient === undefined || quotient.length > degree + 1) return undefined;
  const agreeing = points.filter((point, index) => evaluate(quotient, point) === values[index]).length;
  return agreeing >= Math.floor((count + degree) / 2) + 1 ? quotient : undefined;
}

export function evaluate(coefficients: readonly number[], point: number): number {
  return coefficients.reduceRight((sum, coefficient) => multiply(sum, point) ^ coefficient, 0);
}

/** A vector that is not zero and that every row maps to zero; undefined when only zero is. */
function kernelVector(matrix: number[][], columns: number): number[] | undefined {
  const pivots: number[] = [];
  let rank = 0;
  for (let column = 0; column < columns && rank < matrix.length; column++) {
    const found = matrix.findIndex((row, index) => index >= rank && row[column] !== 0);
    if (found < 0) continue;
    const pivot = matrix[found] as number[];
    matrix[found] = matrix[rank] as number[];
    const scale = inverse(pivot[column] as number);
    matrix[rank] = pivot.map((value) => multiply(value, scale));
    matrix.forEach((row, index) => {
      const factor = row[column] as number;
      if (index === rank || factor === 0) return;
      matrix[index] = row.map(
        (value, at) => value ^ multiply(factor, (matrix[rank] as number[])[at] as number),
      );
    });
    pivots.push(column);
    rank += 1;
  }
  const free = Array.from({ length: columns }, (_, column) => column).find(
    (column) => !pivots.includes(column),
  );
  if (free === undefined) return undefined;
  const vector = new Array<number>(columns).fill(0);
  vector[free] = 1;
  pivots.forEach((column, index) => {
    vector[column] = (matrix[index] as number[])[free] as number;
  });
  return vector;
}

/** The quotient of two polynomials, without leading zeros; undefined when a remainder is left or the divisor is zero. */
function divide(dividend: number[], divisor: number[]): number[] | undefined {
  let top = divisor.length - 1;
  while (top >= 0 && divisor[top] === 0) top -= 1;
  if (top < 0) return undefined;
  const rest = [...dividend];
  const scale = inverse(divisor[top] as number);
  const quotient: number[] = [];
  for (let at = rest.length - 1 - top; at >= 0; at--) {
    const factor = multiply(rest[at + top] as number, scale);
    quotient[at] = factor;
    for (let term = 0; term <= top; term++)
      rest[at + term] = (rest[at + term] as number) ^ multiply(factor, divisor[term] as number);
  }
  if (rest.some((value) => value !== 0)) return undefined;
  while (quotient.length > 0 && quotient.at(-1) === 0) quotient.pop();
  return quotient;
}
