/**
 * The metadata of an epoch's database, as file and on the wire. All integers are big-endian.
 *
 * Version 1, 12 bytes (in a reply behind `0x01 ‖ epoch`):
 *
 *   offset  size
 *        0     8  bucket-hash key
 *        8     2  number of buckets
 *       10     2  records per bucket
 *
 * Version 2, 30 bytes (as it is in a reply):
 *
 *        0     1  0x02
 *        1     1  1: combined
 *        2     4  epoch
 *        6     4  bytes of a sealed status
 *       10     4  seconds of an epoch
 *       14     4  number of buckets
 *       18     4  records per bucket
 *       22     8  bucket-hash key
 *
 * Version 3, 216 bytes (as it is in a reply):
 *
 *        0     1  0x03
 *        1     1  1: combined
 *        2     2  friends that every client asks for
 *        4     4  epoch
 *        8     4  seconds of an epoch
 *       12     4  bytes of a sealed status
 *       16     4  partitions; 1: one table
 *       20     4  buckets in each partition
 *       24     4  records per bucket
 *       28     4  bytes of a bucket's Merkle path
 *       32    16  bucket-hash key
 *       48    32  Merkle root over all buckets
 *       80    32  SHA-256 of the data file
 *      112     8  number of records
 *      120    32  the signer's Ed25519 key
 *      152    64  signature over "node-x presence v3 metadata" ‖ bytes 0-151
 *
 * Invariant: what `decodeMetadata` returns is consistent: sizes fit each other and none is absurd. A signature is checked
 * by `isSigned`, not by decoding.
 */
import { concat, epochBytes, utf8, viewOf } from "./bytes.ts";
import { dataBytes, partitionsFor, rowBytes, type Layout } from "./layout.ts";
import { HASH_BYTES, pathLength } from "./merkle.ts";
import type { Primitives } from "./primitives.ts";
import { MAX_BUDDIES, schemeOf, type ProtocolVersion } from "./scheme.ts";
import { ID_BYTES } from "./scheme-v3.ts";

export interface Metadata extends Layout {
  version: ProtocolVersion;
  epoch: number;
  isCombined: boolean;
  sealedBytes: number;
  /** Undefined where the version does not tell (1). */
  epochSeconds: number | undefined;
  maxBuddies: number;
  prfKey: Uint8Array;
  /** Version 3. */
  proof: MetadataProof | undefined;
}

export interface MetadataProof {
  root: Uint8Array;
  /** SHA-256 of the data file. */
  digest: Uint8Array;
  records: number;
  signer: Uint8Array;
  signature: Uint8Array;
}

export const METADATA_BYTES = { 1: 12, 2: 30, 3: 216 } as const;
const SIGNED_BYTES = 152;
const LABEL = utf8("node-x presence v3 metadata");

/** A database larger than this is refused, whatever its metadata says. */
export const DATA_BYTES_MAX = 64 * 2 ** 30;

export function encodeMetadata(metadata: Metadata): Uint8Array {
  switch (metadata.version) {
    case 1:
      return encodeV1(metadata);
    case 2:
      return encodeV2(metadata);
    case 3:
      return concat(signedPart(metadata), metadata.proof?.signature ?? new Uint8Array(64));
  }
}

function encodeV1({ prfKey, rows, bucketSize }: Metadata): Uint8Array {
  const bytes = new Uint8Array(METADATA_BYTES[1]);
  const view = viewOf(bytes);
  bytes.set(prfKey, 0);
  view.setUint16(8, rows);
  view.setUint16(10, bucketSize);
  return bytes;
}

function encodeV2({ isCombined, epoch, sealedBytes, epochSeconds, rows, bucketSize, prfKey }: Metadata) {
  const bytes = new Uint8Array(METADATA_BYTES[2]);
  const view = viewOf(bytes);
  bytes[0] = 2;
  bytes[1] = isCombined ? 1 : 0;
  [epoch, sealedBytes, epochSeconds ?? 0, rows, bucketSize].forEach((value, index) =>
    view.setUint32(2 + 4 * index, value),
  );
  bytes.set(prfKey, 22);
  return bytes;
}

function signedPart(metadata: Metadata): Uint8Array {
  const { epoch, epochSeconds, sealedBytes, partitions, rows, bucketSize, proofBytes, proof } = metadata;
  const bytes = new Uint8Array(SIGNED_BYTES);
  const view = viewOf(bytes);
  bytes[0] = 3;
  bytes[1] = metadata.isCombined ? 1 : 0;
  view.setUint16(2, metadata.maxBuddies);
  [epoch, epochSeconds ?? 0, sealedBytes, partitions, rows, bucketSize, proofBytes].forEach((value, index) =>
    view.setUint32(4 + 4 * index, value),
  );
  bytes.set(metadata.prfKey, 32);
  if (proof !== undefined) {
    bytes.set(proof.root, 48);
    bytes.set(proof.digest, 80);
    view.setBigUint64(112, BigInt(proof.records));
    bytes.set(proof.signer, 120);
  }
  return bytes;
}

/** The message that the registration server signs. */
export const metadataMessage = (metadata: Metadata): Uint8Array => concat(LABEL, signedPart(metadata));

/** Whether the metadata carries a valid signature of `signer` (of its own signer, when that is undefined). */
export function isSigned(primitives: Primitives, metadata: Metadata, signer?: Uint8Array): boolean {
  const { proof } = metadata;
  if (proof === undefined) return false;
  const key = signer ?? proof.signer;
  return primitives.ed25519Verify(key, metadataMessage(metadata), proof.signature);
}

/** The metadata in a file of version `version`, or undefined when it is not valid. Version 1 does not say its epoch. */
export function decodeMetadata(
  bytes: Uint8Array,
  version: ProtocolVersion,
  epoch: number,
): Metadata | undefined {
  if (bytes.byteLength !== METADATA_BYTES[version]) return undefined;
  const metadata = version === 1 ? decodeV1(bytes, epoch) : version === 2 ? decodeV2(bytes) : decodeV3(bytes);
  return metadata?.epoch === epoch && isConsistent(metadata) ? metadata : undefined;
}

function decodeV1(bytes: Uint8Array, epoch: number): Metadata {
  const view = viewOf(bytes);
  const { sealedBytes, recordBytes } = schemeOf(1);
  return {
    version: 1,
    epoch,
    isCombined: false,
    sealedBytes,
    epochSeconds: undefined,
    maxBuddies: MAX_BUDDIES,
    prfKey: bytes.slice(0, 8),
    proof: undefined,
    partitions: 1,
    rows: view.getUint16(8),
    bucketSize: view.getUint16(10),
    recordBytes,
    proofBytes: 0,
  };
}

function decodeV2(bytes: Uint8Array): Metadata | undefined {
  const view = viewOf(bytes);
  const sealedBytes = view.getUint32(6);
  if (bytes[0] !== 2 || (bytes[1] as number) > 1) return undefined;
  return {
    version: 2,
    epoch: view.getUint32(2),
    isCombined: bytes[1] === 1,
    sealedBytes,
    epochSeconds: view.getUint32(10),
    maxBuddies: MAX_BUDDIES,
    prfKey: bytes.slice(22, 30),
    proof: undefined,
    partitions: 1,
    rows: view.getUint32(14),
    bucketSize: view.getUint32(18),
    recordBytes: schemeOf(2).idBytes + sealedBytes,
    proofBytes: 0,
  };
}

function decodeV3(bytes: Uint8Array): Metadata | undefined {
  const view = viewOf(bytes);
  const records = Number(view.getBigUint64(112));
  if (bytes[0] !== 3 || (bytes[1] as number) > 1 || !Number.isSafeInteger(records)) return undefined;
  const sealedBytes = view.getUint32(12);
  return {
    version: 3,
    epoch: view.getUint32(4),
    isCombined: bytes[1] === 1,
    sealedBytes,
    epochSeconds: view.getUint32(8),
    maxBuddies: view.getUint16(2),
    prfKey: bytes.slice(32, 48),
    partitions: view.getUint32(16),
    rows: view.getUint32(20),
    bucketSize: view.getUint32(24),
    recordBytes: ID_BYTES + sealedBytes,
    proofBytes: view.getUint32(28),
    proof: {
      root: bytes.slice(48, 80),
      digest: bytes.slice(80, 112),
      records,
      signer: bytes.slice(120, 152),
      signature: bytes.slice(152, 216),
    },
  };
}

function isConsistent(metadata: Metadata): boolean {
  const { version, partitions, rows, bucketSize, sealedBytes, proofBytes, maxBuddies } = metadata;
  if (rows < 1 || sealedBytes < 1 || maxBuddies < 1) return false;
  if (partitions !== 1 && partitions !== partitionsFor(maxBuddies)) return false;
  if (bucketSize > 0xff_ffff || rows > 0xff_ffff || sealedBytes > 0xff_ffff) return false;
  const leaves = partitions * rows;
  if (proofBytes !== (version === 3 ? pathLength(leaves) * HASH_BYTES : 0)) return false;
  return rowBytes(metadata) <= 2 ** 31 && dataBytes(metadata) <= DATA_BYTES_MAX;
}

/** What a lookup server answers to a request for metadata. */
export function metadataReply(metadata: Metadata): Uint8Array {
  const file = encodeMetadata(metadata);
  return metadata.version === 1 ? concat(Uint8Array.of(1), epochBytes(metadata.epoch), file) : file;
}

/** The metadata in a reply, or undefined when the reply is an error or not valid. */
export function decodeMetadataReply(
  bytes: Uint8Array,
  version: ProtocolVersion,
  epoch: number,
): Metadata | undefined {
  if (version !== 1) return decodeMetadata(bytes, version, epoch);
  if (bytes.byteLength !== 5 + METADATA_BYTES[1] || bytes[0] !== 1) return undefined;
  if (viewOf(bytes).getUint32(1) !== epoch) return undefined;
  return decodeMetadata(bytes.subarray(5), 1, epoch);
}
