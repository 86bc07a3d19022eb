/**
 * The bytes of a segment: a file of many records of one channel, complete when it has its name, never changed after.
 *
 * Invariant: every byte is covered by a checksum that is seeded with the file's random id, so that no block of another
 * file passes for one of this. The index at the end says where each block is and which keys it has; it can be made again
 * from the blocks alone. A crash leaves a file without a name (`.tmp`), which the next start removes.
 *
 * All integers are little-endian. A file:
 *
 *   offset  size
 *        0     8  magic "NXRECS\r\n" (the line end shows a transfer in text mode)
 *        8     4  format version, 1
 *       12     4  zeros
 *       16     8  number of the first record in its channel
 *       24     8  number behind the last one
 *       32    16  file id, random
 *       48    12  zeros
 *       60     4  CRC-32C of bytes 0-59, seed 0
 *       64        blocks, one behind the other, in the order of their buckets
 *        …        index: an entry for each block
 *        …    64  trailer
 *
 * A block:
 *
 *   offset  size
 *        0     4  magic "NXRB"
 *        4     4  bytes of the zstd frame
 *        8     4  bytes of the page in it (native/logfiles/page.h)
 *       12     4  records
 *       16     4  CRC-32C of the frame, seeded
 *       20     4  CRC-32C of bytes 0-19, seeded
 *       24     n  zstd frame
 *
 * An entry of the index:
 *
 *   offset  size
 *        0     8  offset of the block
 *        8     8  lowest key
 *       16     8  highest key
 *       24     8  bucket (key >> 12) of the first record
 *       32     8  bucket of the last record
 *       40     4  bytes of the zstd frame
 *       44     4  records
 *
 * The trailer:
 *
 *   offset  size
 *        0     8  magic "NXRECEND"
 *        8     8  offset of the index
 *       16     4  blocks
 *       20     4  CRC-32C of the index, seeded
 *       24     8  records
 *       32     8  bytes of their values
 *       40     8  lowest key
 *       48     8  highest key
 *       56     4  zeros
 *       60     4  CRC-32C of bytes 0-59, seeded
 */
import { corrupt } from "../../../core/append-log/frame.ts";
import { NxError } from "../../../core/errors.ts";
import { crc32c } from "../../../native/crc32c.ts";

export const SEGMENT_FORMAT = 1;
export const HEADER_BYTES = 64;
export const BLOCK_HEADER_BYTES = 24;
export const ENTRY_BYTES = 48;
export const TRAILER_BYTES = 64;
/** No page is made larger; a length beyond it is damage. */
export const PAGE_BYTES_MAX = 64 << 20;

const MAGIC = Buffer.from("NXRECS\r\n", "latin1");
const BLOCK_MAGIC = 0x4252584e;
const TRAILER_MAGIC = Buffer.from("NXRECEND", "latin1");

export interface SegmentHeader {
  firstNumber: number;
  /** Behind the last record. */
  endNumber: number;
  /** 16 bytes. */
  id: Uint8Array;
}

export interface BlockEntry {
  offset: number;
  keyMin: bigint;
  keyMax: bigint;
  firstBucket: number;
  lastBucket: number;
  frameBytes: number;
  records: number;
}

export interface SegmentTotals {
  records: number;
  valueBytes: number;
  keyMin: bigint;
  keyMax: bigint;
}

export interface BlockHeader {
  frameBytes: number;
  pageBytes: number;
  records: number;
  frameCrc: number;
}

const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

export const seedOf = (id: Uint8Array): number => crc32c(id, 0);

export function encodeHeader({ firstNumber, endNumber, id }: SegmentHeader): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES);
  const view = viewOf(bytes);
  bytes.set(MAGIC, 0);
  view.setUint32(8, SEGMENT_FORMAT, true);
  view.setBigUint64(16, BigInt(firstNumber), true);
  view.setBigUint64(24, BigInt(endNumber), true);
  bytes.set(id, 32);
  view.setUint32(60, crc32c(bytes.subarray(0, 60), 0), true);
  return bytes;
}

/** Throws NX_DATA_CORRUPT for damaged bytes and NX_DATA_VERSION for another format version. */
export function decodeHeader(bytes: Uint8Array, path: string): SegmentHeader {
  const view = viewOf(bytes);
  const isWhole = bytes.byteLength === HEADER_BYTES && Buffer.from(MAGIC).equals(bytes.subarray(0, 8));
  if (!isWhole || view.getUint32(60, true) !== crc32c(bytes.subarray(0, 60), 0))
    throw corrupt(path, 0, "the header of this segment is damaged");
  const version = view.getUint32(8, true);
  if (version !== SEGMENT_FORMAT) {
    const message = `${path} has segment format ${version}, this program reads ${SEGMENT_FORMAT}`;
    throw new NxError("NX_DATA_VERSION", message, {
      hint: "start the version of node-x that wrote this directory",
    });
  }
  return {
    firstNumber: Number(view.getBigUint64(16, true)),
    endNumber: Number(view.getBigUint64(24, true)),
    id: bytes.slice(32, 48),
  };
}

export function encodeBlockHeader(header: Omit<BlockHeader, "frameCrc">, frame: Uint8Array, seed: number) {
  const bytes = new Uint8Array(BLOCK_HEADER_BYTES);
  const view = viewOf(bytes);
  view.setUint32(0, BLOCK_MAGIC, true);
  view.setUint32(4, header.frameBytes, true);
  view.setUint32(8, header.pageBytes, true);
  view.setUint32(12, header.records, true);
  view.setUint32(16, crc32c(frame, seed), true);
  view.setUint32(20, crc32c(bytes.subarray(0, 20), seed), true);
  return bytes;
}

/** Undefined when the bytes are no header of a block of this file. */
export function decodeBlockHeader(bytes: Uint8Array, seed: number): BlockHeader | undefined {
  if (bytes.byteLength < BLOCK_HEADER_BYTES) return undefined;
  const view = viewOf(bytes);
  if (view.getUint32(0, true) !== BLOCK_MAGIC) return undefined;
  if (view.getUint32(20, true) !== crc32c(bytes.subarray(0, 20), seed)) return undefined;
  const header = {
    frameBytes: view.getUint32(4, true),
    pageBytes: view.getUint32(8, true),
    records: view.getUint32(12, true),
    frameCrc: view.getUint32(16, true),
  };
  return header.pageBytes <= PAGE_BYTES_MAX && header.frameBytes <= PAGE_BYTES_MAX ? header : undefined;
}

/** Index and trailer, which end a file. */
export function encodeEnd(
  offset: number,
  blocks: readonly BlockEntry[],
  totals: SegmentTotals,
  seed: number,
) {
  const bytes = new Uint8Array(blocks.length * ENTRY_BYTES + TRAILER_BYTES);
  const view = viewOf(bytes);
  for (const [place, block] of blocks.entries()) {
    const at = place * ENTRY_BYTES;
    view.setBigUint64(at, BigInt(block.offset), true);
    view.setBigUint64(at + 8, block.keyMin, true);
    view.setBigUint64(at + 16, block.keyMax, true);
    view.setBigUint64(at + 24, BigInt(block.firstBucket), true);
    view.setBigUint64(at + 32, BigInt(block.lastBucket), true);
    view.setUint32(at + 40, block.frameBytes, true);
    view.setUint32(at + 44, block.records, true);
  }
  const at = blocks.length * ENTRY_BYTES;
  bytes.set(TRAILER_MAGIC, at);
  view.setBigUint64(at + 8, BigInt(offset), true);
  view.setUint32(at + 16, blocks.length, true);
  view.setUint32(at + 20, crc32c(bytes.subarray(0, at), seed), true);
  view.setBigUint64(at + 24, BigInt(totals.records), true);
  view.setBigUint64(at + 32, BigInt(totals.valueBytes), true);
  view.setBigUint64(at + 40, totals.keyMin, true);
  view.setBigUint64(at + 48, totals.keyMax, true);
  view.setUint32(at + 60, crc32c(bytes.subarray(at, at + 60), seed), true);
  return bytes;
}

export interface Trailer extends SegmentTotals {
  indexOffset: number;
  blocks: number;
  indexCrc: number;
}

/** Undefined when it is damaged. */
export function decodeTrailer(bytes: Uint8Array, seed: number): Trailer | undefined {
  if (bytes.byteLength !== TRAILER_BYTES || !TRAILER_MAGIC.equals(bytes.subarray(0, 8))) return undefined;
  const view = viewOf(bytes);
  if (view.getUint32(60, true) !== crc32c(bytes.subarray(0, 60), seed)) return undefined;
  return {
    indexOffset: Number(view.getBigUint64(8, true)),
    blocks: view.getUint32(16, true),
    indexCrc: view.getUint32(20, true),
    records: Number(view.getBigUint64(24, true)),
    valueBytes: Number(view.getBigUint64(32, true)),
    keyMin: view.getBigUint64(40, true),
    keyMax: view.getBigUint64(48, true),
  };
}

export function decodeIndex(bytes: Uint8Array): BlockEntry[] {
  const view = viewOf(bytes);
  return Array.from({ length: bytes.byteLength / ENTRY_BYTES }, (_, place) => {
    const at = place * ENTRY_BYTES;
    return {
      offset: Number(view.getBigUint64(at, true)),
      keyMin: view.getBigUint64(at + 8, true),
      keyMax: view.getBigUint64(at + 16, true),
      firstBucket: Number(view.getBigUint64(at + 24, true)),
      lastBucket: Number(view.getBigUint64(at + 32, true)),
      frameBytes: view.getUint32(at + 40, true),
      records: view.getUint32(at + 44, true),
    };
  });
}

const digits = (number: number) => String(number).padStart(16, "0");

/** `records-<first>-<end>.nxr`: the numbers in the name are those in the header. */
export const segmentName = (firstNumber: number, endNumber: number) =>
  `records-${digits(firstNumber)}-${digits(endNumber)}.nxr`;

/** The numbers that a name tells; undefined for other names. */
export function parseSegmentName(name: string): { firstNumber: number; endNumber: number } | undefined {
  const match = /^records-(\d{16})-(\d{16})\.nxr$/.exec(name);
  return match === null ? undefined : { firstNumber: Number(match[1]), endNumber: Number(match[2]) };
}
