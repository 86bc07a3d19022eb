/**
 * From an epoch's records to its database: duplicates out, buckets laid out and filled, the Merkle tree over them.
 *
 * Pure: bytes in, bytes out. Runs on a worker thread, because a million records take a second.
 */
import { fillTable, flattestKey, orderRecords, type DuplicateRule } from "../../native/presence-table.ts";
import { bucketCount, dataBytes, partitionsFor, PARTITION_CHOICES, rowBytes } from "../protocol/layout.ts";
import { HASH_BYTES, leafHash, merkleTree, pathLength, pathOf, rootOf } from "../protocol/merkle.ts";
import type { Metadata } from "../protocol/metadata.ts";
import { nodePrimitives } from "../protocol/primitives-node.ts";
import { schemeOf, type ProtocolVersion } from "../protocol/scheme.ts";

export interface DatabaseSpec {
  version: ProtocolVersion;
  isCombined: boolean;
  payloadBytes: number;
  epoch: number;
  epochSeconds: number;
  maxBuddies: number;
  isBatched: boolean;
  /** Candidates for the bucket-hash key, from a strong generator. */
  prfKeys: Uint8Array[];
}

export interface BuiltDatabase {
  /** In version 3 not signed yet: signer and signature are zeros. */
  metadata: Metadata;
  data: Uint8Array<ArrayBuffer>;
  /** SHA-256 of the data. */
  digest: Uint8Array;
}

/** Bucket-hash keys that are tried for the flattest table. */
export const PRF_KEY_CANDIDATES = 10;

const duplicateRules: Record<ProtocolVersion, DuplicateRule> = { 1: "largest", 2: "each", 3: "first" };

/** `records` are `id ‖ sealed status`, behind each other in the order of arrival. */
export function buildDatabase(records: Uint8Array, spec: DatabaseSpec): BuiltDatabase {
  const { version, payloadBytes, maxBuddies } = spec;
  const { recordBytes, sealedBytes, idBytes, countMax } = schemeOf(version, payloadBytes);
  const source = { records, recordBytes, idBytes };
  const order = orderRecords(source, duplicateRules[version]);
  const partitions = spec.isBatched ? partitionsFor(maxBuddies) : 1;
  const copies = spec.isBatched ? PARTITION_CHOICES : 1;
  const rows = Math.min(countMax, bucketCount((order.length * copies) / partitions, recordBytes));
  const flattest = flattestKey(source, order, spec.prfKeys, rows, partitions);
  if (flattest.bucketSize > countMax)
    throw new Error(`a bucket of ${flattest.bucketSize} records is too large`);
  const metadata: Metadata = {
    version,
    epoch: spec.epoch,
    isCombined: spec.isCombined,
    sealedBytes,
    epochSeconds: spec.epochSeconds,
    maxBuddies,
    prfKey: flattest.key,
    proof: undefined,
    partitions,
    rows,
    bucketSize: flattest.bucketSize,
    recordBytes,
    proofBytes: version === 3 ? pathLength(partitions * rows) * HASH_BYTES : 0,
  };
  const data = new Uint8Array(dataBytes(metadata));
  const shape = { rows, partitions, stride: rowBytes(metadata), isDescending: version === 2 };
  fillTable(source, order, flattest, shape, data);
  const root = version === 3 ? authenticate(metadata, data) : undefined;
  const digest = nodePrimitives.sha256(data);
  if (root !== undefined) {
    const unsigned = { signer: new Uint8Array(32), signature: new Uint8Array(64) };
    metadata.proof = { root, digest, records: order.length, ...unsigned };
  }
  return { metadata, data, digest };
}

/** Writes each bucket's Merkle path behind it; returns the root. */
function authenticate(metadata: Metadata, data: Uint8Array): Uint8Array {
  const stride = rowBytes(metadata);
  const bucketBytes = stride === 0 ? 0 : stride - metadata.proofBytes;
  const leaves = Array.from({ length: metadata.partitions * metadata.rows }, (_, index) =>
    leafHash(nodePrimitives, index, data.subarray(index * stride, index * stride + bucketBytes)),
  );
  const tree = merkleTree(nodePrimitives, leaves);
  if (stride > 0) leaves.forEach((_, index) => data.set(pathOf(tree, index), index * stride + bucketBytes));
  return rootOf(tree);
}
