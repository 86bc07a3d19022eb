/**
 * What a protocol engine counts of its requests, as its memory shows it (native/request-figures.h).
 *
 * A view over memory of the engine: it must not be used after the engine was freed.
 */
import { type Pointer, toArrayBuffer } from "bun:ffi";

/** Places of one kind of request; the order of the enum in native/request-figures.h. */
export const Figure = {
  handled: 0,
  microseconds: 1,
  /** Six classes of time, each ten times as long as the one before. */
  classes: 2,
  active: 8,
  activeMax: 9,
  length: 10,
} as const;

export const figureClasses = 6;

/** Kinds of actions, in the order of native/request-figures.h. */
export const actionKinds = ["written", "read", "forwarded", "iterated", "deleted"] as const;

const KINDS = 40;

export class FiguresView {
  readonly #numbers: Float64Array;

  constructor(address: Pointer) {
    const length = KINDS * Figure.length + actionKinds.length * 2;
    this.#numbers = new Float64Array(toArrayBuffer(address, 0, length * Float64Array.BYTES_PER_ELEMENT));
  }

  /** The figures of requests with this code; a view. */
  kind(code: number): Float64Array {
    return this.#numbers.subarray(code * Figure.length, (code + 1) * Figure.length);
  }

  /** Records and bytes of an action since the start. */
  action(kind: (typeof actionKinds)[number]): { records: number; bytes: number } {
    const at = KINDS * Figure.length + actionKinds.indexOf(kind) * 2;
    return { records: this.#numbers[at] as number, bytes: this.#numbers[at + 1] as number };
  }
}
