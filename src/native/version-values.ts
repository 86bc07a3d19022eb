/**
 * The words for values and their parts that the multi-version store of native/versions/ knows. Apart from `versions.ts`, so
 * that a browser can read what a shard stores.
 */

/** Types of values; native/versions/versions.h draws their bytes. */
export const ValueType = { absent: 0, bytes: 1, counter: 2, list: 3, set: 4, map: 5 } as const;
export type ValueType = (typeof ValueType)[keyof typeof ValueType];

/** The part of a value that a read or an operation is about. */
export const PartKind = { whole: 0, index: 1, element: 2, field: 3 } as const;

export interface Part {
  kind: (typeof PartKind)[keyof typeof PartKind];
  /** The index as four bytes, the element or the field; empty for the whole. */
  data: Uint8Array;
}
