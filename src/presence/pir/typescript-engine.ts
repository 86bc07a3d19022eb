/** The PIR engine in plain TypeScript: for browsers, and as the oracle that the C kernels are compared with. */
import type { Decoded, PirEngine } from "./engine.ts";
import { addScaled, lagrangeWeights, multiply } from "./gf256.ts";
import { decodeByte, evaluate } from "./reed-solomon.ts";

export const typescriptEngine: PirEngine = {
  answer(table, rows, rowBytes, queries, count) {
    const out = new Uint8Array(count * rowBytes);
    for (let query = 0; query < count; query++) {
      const target = out.subarray(query * rowBytes, (query + 1) * rowBytes);
      for (let row = 0; row < rows; row++)
        addScaled(
          target,
          queries[query * rows + row] as number,
          table.subarray(row * rowBytes, (row + 1) * rowBytes),
        );
    }
    return out;
  },

  answerXor(table, rows, rowBytes, queries, count) {
    const stride = Math.ceil(rows / 8);
    const bytes = new Uint8Array(count * rows);
    for (let query = 0; query < count; query++)
      for (let row = 0; row < rows; row++)
        bytes[query * rows + row] = ((queries[query * stride + (row >> 3)] as number) >> (row & 7)) & 1;
    return typescriptEngine.answer(table, rows, rowBytes, bytes, count);
  },

  share(points, degree, rows, wanted, coefficients) {
    const bytes = wanted.length * rows;
    return points.map((point) => {
      const queries = new Uint8Array(bytes);
      wanted.forEach((row, query) => {
        queries[query * rows + row] = 1;
      });
      for (let term = 1, power = point; term <= degree; term++, power = multiply(power, point))
        addScaled(queries, power, coefficients.subarray((term - 1) * bytes, term * bytes));
      return queries;
    });
  },

  decode(points, degree, answers) {
    const length = answers[0]?.byteLength ?? 0;
    if (answers.length < degree + 1 || answers.some((answer) => answer.byteLength !== length))
      return undefined;
    return new Correction(points, degree, answers, length).run();
  },
};

/** One decoding: interpolates from answers believed right and checks each byte; a byte that does not fit is corrected. */
class Correction {
  readonly #points: readonly number[];
  readonly #degree: number;
  readonly #answers: readonly Uint8Array[];
  readonly #isRight: boolean[];
  readonly #row: Uint8Array;

  constructor(points: readonly number[], degree: number, answers: readonly Uint8Array[], length: number) {
    this.#points = points;
    this.#degree = degree;
    this.#answers = answers;
    this.#isRight = answers.map(() => true);
    this.#row = new Uint8Array(length);
  }

  run(): Decoded | undefined {
    let misfits = this.#interpolate(0);
    for (let at = 0; at < this.#row.byteLength; at++) {
      if (misfits[at] === 0) continue;
      const values = this.#answers.map((answer) => answer[at] as number);
      const polynomial = decodeByte(this.#points, values, this.#degree);
      if (polynomial === undefined) return undefined;
      this.#row[at] = polynomial[0] ?? 0;
      let isNews = false;
      values.forEach((value, server) => {
        if (evaluate(polynomial, this.#points[server] as number) === value) return;
        isNews ||= this.#isRight[server] === true;
        this.#isRight[server] = false;
      });
      // Without the liar, the bytes behind this one fit at once.
      if (isNews && this.#believed().length > this.#degree) misfits = this.#interpolate(at + 1);
    }
    return { row: this.#row, isRight: this.#isRight };
  }

  #believed(): number[] {
    return this.#isRight.flatMap((isRight, server) => (isRight ? [server] : []));
  }

  /**
   * Fills the row behind `from` from the first t + 1 answers believed right; marks bytes at which another one disagrees.
   * Known liars are not heard any more as long as the others are enough.
   */
  #interpolate(from: number): Uint8Array {
    const believed = this.#believed();
    const base = believed.slice(0, this.#degree + 1);
    const basePoints = base.map((server) => this.#points[server] as number);
    const isEnough = believed.length >= Math.floor((this.#points.length + this.#degree) / 2) + 1;
    const judged = isEnough ? believed : [...this.#answers.keys()];
    const row = new Uint8Array(this.#row.byteLength);
    this.#addWeighted(row, base, lagrangeWeights(basePoints, 0));
    this.#row.set(row.subarray(from), from);
    const misfits = new Uint8Array(row.byteLength);
    for (const server of judged) {
      if (base.includes(server)) continue;
      const residual = (this.#answers[server] as Uint8Array).slice();
      this.#addWeighted(residual, base, lagrangeWeights(basePoints, this.#points[server] as number));
      for (let at = 0; at < misfits.byteLength; at++)
        misfits[at] = (misfits[at] as number) | (residual[at] as number);
    }
    return misfits;
  }

  #addWeighted(target: Uint8Array, base: readonly number[], weights: readonly number[]): void {
    base.forEach((server, index) =>
      addScaled(target, weights[index] as number, this.#answers[server] as Uint8Array),
    );
  }
}
