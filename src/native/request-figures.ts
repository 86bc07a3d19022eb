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
export type ActionKind = (typeof actionKinds)[number];

const KINDS = 40;

export class FiguresView {
  readonly #numbers: Float64Array;

  /** Of an engine in C; without an address, figures of an engine in TypeScript, which counts in them itself. */
  constructor(address?: Pointer) {
    const length = KINDS * Figure.length + actionKinds.length * 2;
    this.#numbers =
      address === undefined
        ? new Float64Array(length)
        : new Float64Array(toArrayBuffer(address, 0, length * Float64Array.BYTES_PER_ELEMENT));
  }

  /** A request is under way. */
  begin(code: number): void {
    const figures = this.kind(code);
    const active = (figures[Figure.active] as number) + 1;
    figures[Figure.active] = active;
    figures[Figure.activeMax] = Math.max(active, figures[Figure.activeMax] as number);
  }

  /** It was handled in this time. */
  end(code: number, milliseconds: number): void {
    const figures = this.kind(code);
    const add = (place: number, amount: number) => (figures[place] = (figures[place] as number) + amount);
    add(Figure.active, -1);
    add(Figure.handled, 1);
    add(Figure.microseconds, milliseconds * 1000);
    const tenths = Math.ceil(Math.log10(Math.max(milliseconds, 0.01) / 0.01));
    add(Figure.classes + Math.min(figureClasses - 1, tenths), 1);
  }

  /** Something was done to a record with a value of this length. */
  count(kind: ActionKind, bytes: number): void {
    const at = KINDS * Figure.length + actionKinds.indexOf(kind) * 2;
    this.#numbers[at] = (this.#numbers[at] as number) + 1;
    this.#numbers[at + 1] = (this.#numbers[at + 1] as number) + bytes;
  }

  /** The figures of requests with this code; a view. */
  kind(code: number): Float64Array {
    return this.#numbers.subarray(code * Figure.length, (code + 1) * Figure.length);
  }

  /** Records and bytes of an action since the start. */
  action(kind: ActionKind): { records: number; bytes: number } {
    const at = KINDS * Figure.length + actionKinds.indexOf(kind) * 2;
    return { records: this.#numbers[at] as number, bytes: this.#numbers[at + 1] as number };
  }
}
