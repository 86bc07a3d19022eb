/**
 * From an epoch's records to its database in C (native/presence/table.h): order, flattest key, filled buckets.
 *
 * Invariant: the result depends on the records, their order and the keys alone. Runs on a thread of its own; a million
 * records take a second or so.
 */
import { FFIType } from "bun:ffi";
import { assert } from "../core/errors.ts";
import { addressable } from "./addressable.ts";
import { linked } from "./library.ts";

const symbols = {
  nx_presence_order: { args: ["ptr", "u64", "u64", "u64", "u32", "ptr"], returns: FFIType.i64_fast },
  nx_presence_flattest: {
    args: ["ptr", "u64", "u64", "ptr", "u64", "ptr", "u64", "u64", "u64", "u64", "ptr", "ptr"],
    returns: FFIType.i64_fast,
  },
  nx_presence_fill: {
    args: ["ptr", "u64", "u64", "ptr", "u64", "ptr", "u64", "u64", "u64", "u64", "u64", "u32", "ptr", "ptr"],
    returns: FFIType.i64_fast,
  },
} as const;

const library = linked(symbols);

/** Which of several records under one id stays. */
export const duplicateRules = ["largest", "each", "first"] as const;
export type DuplicateRule = (typeof duplicateRules)[number];

/** Records of one epoch, behind each other in the order of their arrival. */
export interface TableRecords {
  records: Uint8Array;
  recordBytes: number;
  idBytes: number;
}

function checked(result: number | bigint, what: string): number {
  const value = Number(result);
  assert(value >= 0, `${what} (errno ${-value})`);
  return value;
}

/** Positions of the records that stay, ascending by id. */
export function orderRecords(
  { records, recordBytes, idBytes }: TableRecords,
  rule: DuplicateRule,
): Uint32Array {
  const count = records.byteLength / recordBytes;
  assert(Number.isInteger(count), "there are whole records");
  const order = new Uint32Array(count);
  const result = library().nx_presence_order(
    addressable(records),
    count,
    recordBytes,
    idBytes,
    duplicateRules.indexOf(rule),
    addressable(order),
  );
  return order.subarray(0, checked(result, "records are ordered"));
}

export interface Flattest {
  key: Uint8Array;
  bucketSize: number;
  /** Records of each bucket. */
  loads: Uint32Array;
}

/** The key among `keys` under which the fullest of `partitions · rows` buckets is smallest. */
export function flattestKey(
  { records, recordBytes, idBytes }: TableRecords,
  order: Uint32Array,
  keys: readonly Uint8Array[],
  rows: number,
  partitions: number,
): Flattest {
  const keyBytes = keys[0]?.byteLength ?? 0;
  const joined = new Uint8Array(keys.length * keyBytes);
  keys.forEach((key, index) => joined.set(key, index * keyBytes));
  const bucketSize = new Uint32Array(1);
  const loads = new Uint32Array(rows * partitions);
  const result = library().nx_presence_flattest(
    addressable(records),
    recordBytes,
    idBytes,
    addressable(order),
    order.length,
    joined,
    keys.length,
    keyBytes,
    rows,
    partitions,
    bucketSize,
    loads,
  );
  const best = checked(result, "a key is chosen");
  return { key: keys[best] as Uint8Array, bucketSize: bucketSize[0] as number, loads };
}

/** Fills buckets `stride` bytes apart into `table`, which holds zeros. `flattest.loads` is used up. */
export function fillTable(
  { records, recordBytes, idBytes }: TableRecords,
  order: Uint32Array,
  flattest: Flattest,
  shape: { rows: number; partitions: number; stride: number; isDescending: boolean },
  table: Uint8Array,
): void {
  const { rows, partitions, stride, isDescending } = shape;
  assert(table.byteLength >= rows * partitions * stride, "the table has all its buckets");
  const result = library().nx_presence_fill(
    addressable(records),
    recordBytes,
    idBytes,
    addressable(order),
    order.length,
    flattest.key,
    flattest.key.byteLength,
    rows,
    partitions,
    flattest.bucketSize,
    stride,
    isDescending ? 1 : 0,
    flattest.loads,
    addressable(table),
  );
  checked(result, "the buckets are filled");
}
