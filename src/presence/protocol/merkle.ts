/**
 * The Merkle tree over the buckets of a database: what lets a client tell a right bucket from a wrong one.
 *
 *   leaf(i)        = SHA-256(0x00 ‖ i, 4 bytes big-endian ‖ bucket)
 *   node(l, r)     = SHA-256(0x01 ‖ l ‖ r)
 *
 * Leaves are numbered over all partitions. The tree is filled up to a power of two with leaves of 32 zero bytes. A path
 * lists the siblings from the leaf upwards; it stands in the row behind its bucket.
 */
import { concat, isEqual, viewOf } from "./bytes.ts";
import type { Primitives } from "./primitives.ts";

export const HASH_BYTES = 32;

const LEAF = 0x00;
const NODE = Uint8Array.of(0x01);

/** Levels between a leaf and the root. */
export const pathLength = (leaves: number): number => Math.ceil(Math.log2(Math.max(1, leaves)));

type Hasher = Pick<Primitives, "sha256">;

export function leafHash(hasher: Hasher, index: number, bucket: Uint8Array): Uint8Array {
  const head = new Uint8Array(5);
  head[0] = LEAF;
  viewOf(head).setUint32(1, index);
  return hasher.sha256(concat(head, bucket));
}

/** All levels, leaves first; the last one is the root alone. */
export function merkleTree(hasher: Hasher, leaves: readonly Uint8Array[]): Uint8Array[][] {
  const depth = pathLength(leaves.length);
  const levels: Uint8Array[][] = [[...leaves]];
  const empty = new Uint8Array(HASH_BYTES);
  while ((levels[0] as Uint8Array[]).length < 2 ** depth) (levels[0] as Uint8Array[]).push(empty);
  for (let level = 0; level < depth; level++) {
    const below = levels[level] as Uint8Array[];
    const above: Uint8Array[] = [];
    for (let index = 0; index < below.length; index += 2)
      above.push(hasher.sha256(concat(NODE, below[index] as Uint8Array, below[index + 1] as Uint8Array)));
    levels.push(above);
  }
  return levels;
}

export const rootOf = (levels: readonly Uint8Array[][]): Uint8Array => levels.at(-1)?.[0] as Uint8Array;

/** The siblings of leaf `index`, upwards. */
export function pathOf(levels: readonly Uint8Array[][], index: number): Uint8Array {
  const siblings = levels.slice(0, -1).map((level, height) => level[(index >> height) ^ 1] as Uint8Array);
  return concat(...siblings);
}

/** Whether `bucket` is bucket `index` of the tree with this root. */
export function isAuthentic(
  hasher: Hasher,
  root: Uint8Array,
  index: number,
  bucket: Uint8Array,
  path: Uint8Array,
): boolean {
  let hash = leafHash(hasher, index, bucket);
  for (let at = 0, rest = index; at < path.byteLength; at += HASH_BYTES, rest >>= 1) {
    const sibling = path.subarray(at, at + HASH_BYTES);
    hash = hasher.sha256(rest % 2 === 0 ? concat(NODE, hash, sibling) : concat(NODE, sibling, hash));
  }
  return isEqual(hash, root);
}
