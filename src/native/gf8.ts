/**
 * Products over GF(2^8), sharing and decoding in C (native/gf8/gf8.h): the fast side of the PIR engine.
 *
 * Invariant: every length is checked here and again in C. Typed arrays are passed at each call and not kept.
 */
import { FFIType } from "bun:ffi";
import { assert, NxError } from "../core/errors.ts";
import { addressable } from "./addressable.ts";
import { linked } from "./library.ts";

const product = {
  args: ["ptr", "u64", "u64", "u64", "ptr", "u32", "ptr", "u32", "ptr"],
  returns: "i32",
} as const;

const symbols = {
  nx_gf8_answer: product,
  nx_gf8_answer_bits: product,
  nx_gf8_share: { args: ["ptr", "u32", "u32", "u64", "ptr", "u32", "ptr", "ptr"], returns: "i32" },
  nx_gf8_decode: { args: ["ptr", "u32", "u32", "u64", "ptr", "ptr", "ptr"], returns: "i32" },
  nx_gf8_read: { args: ["ptr", "u64"], returns: FFIType.u64 },
  nx_gf8_kernels: { args: [], returns: FFIType.u32 },
} as const;

const library = linked(symbols);

/** In the order in which they are preferred; `auto` takes the first that this CPU has. */
export const gf8Kernels = ["auto", "gfni512", "gfni256", "avx2", "neon", "portable"] as const;
export type Gf8Kernel = (typeof gf8Kernels)[number];

const ECANCELED = 125;
const EBADMSG = 74;

export function hasKernel(kernel: Gf8Kernel): boolean {
  return kernel === "auto" || ((library().nx_gf8_kernels() >> gf8Kernels.indexOf(kernel)) & 1) === 1;
}

/** The kernel that `auto` stands for here. */
export function bestKernel(): Gf8Kernel {
  return gf8Kernels.find((kernel) => kernel !== "auto" && hasKernel(kernel)) as Gf8Kernel;
}

/** Reads all bytes once: what the memory gives, for a benchmark to compare a scan with. */
export function readAll(bytes: Uint8Array): bigint {
  return library().nx_gf8_read(addressable(bytes), bytes.byteLength);
}

export interface Product {
  table: Uint8Array;
  rows: number;
  rowBytes: number;
  /** `count` queries behind each other: one byte per row, or one bit. */
  queries: Uint8Array;
  count: number;
  isBits?: boolean;
  kernel?: Gf8Kernel;
  /** Another thread sets its first element to stop the work. */
  cancel?: Int32Array;
}

/** The answers behind each other, into `out`; false when the work was cancelled. */
export function multiplyInto(out: Uint8Array, job: Product): boolean {
  const { table, rows, rowBytes, queries, count, isBits = false, kernel = "auto", cancel } = job;
  const queryBytes = isBits ? Math.ceil(rows / 8) : rows;
  assert(table.byteLength >= rows * rowBytes, "the table has all its rows");
  assert(queries.byteLength === count * queryBytes, "the queries have one byte or bit for each row");
  assert(out.byteLength === count * rowBytes, "the answers fit");
  const run = isBits ? library().nx_gf8_answer_bits : library().nx_gf8_answer;
  const result = run(
    addressable(table),
    rows,
    rowBytes,
    rowBytes,
    addressable(queries),
    count,
    addressable(out),
    gf8Kernels.indexOf(kernel),
    cancel ?? null,
  );
  if (result === -ECANCELED) return false;
  if (result !== 0) throw new NxError("NX_INTERNAL", `the product failed (errno ${-result})`);
  return true;
}

/** The queries of each point's server; see nx_gf8_share. */
export function share(
  points: readonly number[],
  degree: number,
  rows: number,
  wanted: readonly number[],
  coefficients: Uint8Array,
): Uint8Array<ArrayBuffer>[] {
  const length = wanted.length * rows;
  assert(coefficients.byteLength === degree * length, "there is a coefficient for each term");
  const out = new Uint8Array(points.length * length);
  const result = library().nx_gf8_share(
    Uint8Array.from(points),
    points.length,
    degree,
    rows,
    Uint32Array.from(wanted),
    wanted.length,
    coefficients,
    out,
  );
  assert(result === 0, `shares are made (errno ${-result})`);
  return points.map((_, server) => out.subarray(server * length, (server + 1) * length));
}

export interface Decoded {
  row: Uint8Array;
  /** Which answers lie on the polynomials. */
  isRight: boolean[];
}

/** The value at zero; undefined when too few answers agree. See nx_gf8_decode. */
export function decode(
  points: readonly number[],
  degree: number,
  answers: readonly Uint8Array[],
): Decoded | undefined {
  const length = answers[0]?.byteLength ?? 0;
  if (answers.length < degree + 1 || answers.some((answer) => answer.byteLength !== length)) return undefined;
  const joined = new Uint8Array(answers.length * length);
  answers.forEach((answer, server) => joined.set(answer, server * length));
  const row = new Uint8Array(length);
  const right = new Uint8Array(answers.length);
  const result = library().nx_gf8_decode(
    Uint8Array.from(points),
    points.length,
    degree,
    length,
    addressable(joined),
    addressable(row),
    right,
  );
  if (result === -EBADMSG) return undefined;
  assert(result === 0, `the answers are decoded (errno ${-result})`);
  return { row, isRight: Array.from(right, (value) => value === 1) };
}
