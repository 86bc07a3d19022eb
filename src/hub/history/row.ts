/**
 * One moment of every series, as bytes:
 *
 *   offset            bytes      what
 *   0                 4          n, how many series (little endian, as all of it)
 *   4                 4 n        their numbers, u32, ascending
 *   4 + 4 n           4 n        the mean of each over the step, f32
 *   4 + 8 n           4 n        the largest value of each, f32
 *
 * One row for a moment and not one for each series: a step costs one insertion however many instances there are.
 */
export interface Sample {
  mean: number;
  max: number;
}

export type Row = Map<number, Sample>;

export function encodeRow(row: Row): Uint8Array {
  const numbers = [...row.keys()].sort((a, b) => a - b);
  const bytes = new Uint8Array(4 + 12 * numbers.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, numbers.length, true);
  numbers.forEach((number, index) => {
    const { mean, max } = row.get(number) as Sample;
    view.setUint32(4 + 4 * index, number, true);
    view.setFloat32(4 + 4 * (numbers.length + index), mean, true);
    view.setFloat32(4 + 4 * (2 * numbers.length + index), max, true);
  });
  return bytes;
}

/** Reads single series out of a row without decoding the rest. Undefined for bytes that are no row. */
export class RowReader {
  readonly #view: DataView;
  readonly count: number;

  private constructor(view: DataView, count: number) {
    this.#view = view;
    this.count = count;
  }

  static of(bytes: Uint8Array): RowReader | undefined {
    if (bytes.byteLength < 4) return undefined;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const count = view.getUint32(0, true);
    return bytes.byteLength === 4 + 12 * count ? new RowReader(view, count) : undefined;
  }

  numberAt(index: number): number {
    return this.#view.getUint32(4 + 4 * index, true);
  }

  sampleAt(index: number): Sample {
    return {
      mean: this.#view.getFloat32(4 + 4 * (this.count + index), true),
      max: this.#view.getFloat32(4 + 4 * (2 * this.count + index), true),
    };
  }

  get(number: number): Sample | undefined {
    let low = 0;
    let high = this.count - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const found = this.numberAt(middle);
      if (found === number) return this.sampleAt(middle);
      if (found < number) low = middle + 1;
      else high = middle - 1;
    }
    return undefined;
  }
}
