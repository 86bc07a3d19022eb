/**
 * The bytes of a log: one header per file, then frames. Everything else about logs is built on this codec.
 *
 * Invariant: a frame is valid only in the file and at the offset it was written for, because its checksums
 * are seeded with the file's random id and its header names its offset. Bytes of a user, even a verbatim copy
 * of a log file, are therefore never taken for a frame. Every byte between the header and the end of the last
 * frame is covered by a checksum, padding included.
 *
 * All integers are little-endian. A file, 64 bytes of header first:
 *
 *   offset  size
 *        0     8  magic "NXLOG\r\n\x1a" (the line end shows a transfer in text mode)
 *        8     4  format version, 1
 *       12     4  kind: 1 log segment, 2 snapshot
 *       16     8  sequence of the file, as in its name
 *       24    16  file id, random
 *       40     8  position: payload bytes appended to this log before this file
 *       48     8  frame number of the first frame in this file (0 in a snapshot)
 *       56     4  payload format, owned by the role that writes the payloads
 *       60     4  CRC-32C of bytes 0-59, seed 0
 *
 * A frame, always at a multiple of 16:
 *
 *   offset  size
 *        0     4  magic "NXFR"
 *        4     4  kind: 1 data, 2 seal (no payload), 3 end of a snapshot
 *        8     8  frame number, one more than its predecessor's, also across segments
 *       16     4  payload length, without padding
 *       20     4  offset of this frame in its file, divided by 16
 *       24     4  CRC-32C of payload and padding, seeded with the file's seed
 *       28     4  CRC-32C of bytes 0-27, seeded with the file's seed
 *       32     n  payload
 *              p  zeros up to a multiple of 16
 *
 * The file's seed is the CRC-32C of its file id. The payload of an end frame: u64 data frames, u64 payload
 * bytes.
 */
import type { Crc32c } from "../crc32c.ts";
import { NxError } from "../errors.ts";

export const LOG_FORMAT = 1;
export const FILE_HEADER_BYTES = 64;
export const FRAME_HEADER_BYTES = 32;
export const FRAME_ALIGN_BYTES = 16;
/** The length field's limit. A frame is held in memory at once, so owners stay far below it. */
export const PAYLOAD_BYTES_MAX = 0x7fff_ffff;
/** The offset field's limit. */
export const FILE_BYTES_MAX = 0xffff_ffff * FRAME_ALIGN_BYTES;
export const END_PAYLOAD_BYTES = 16;

export const FileKind = { segment: 1, snapshot: 2 } as const;
export type FileKind = (typeof FileKind)[keyof typeof FileKind];

export const FrameKind = { data: 1, seal: 2, end: 3 } as const;
export type FrameKind = (typeof FrameKind)[keyof typeof FrameKind];

const FILE_MAGIC = new Uint8Array([0x4e, 0x58, 0x4c, 0x4f, 0x47, 0x0d, 0x0a, 0x1a]);
/** "NXFR" as a little-endian integer. */
const FRAME_MAGIC = 0x5246584e;

export interface FileHeader {
  kind: FileKind;
  sequence: number;
  /** 16 bytes. */
  id: Uint8Array;
  position: number;
  firstFrame: number;
  payloadFormat: number;
}

/**
 * A buffer with an explicit ArrayBuffer: such memory never moves while an asynchronous read or write uses it.
 */
export function newBuffer(length: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new ArrayBuffer(length));
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

export function setUint64(view: DataView, offset: number, value: number): void {
  view.setUint32(offset, value >>> 0, true);
  view.setUint32(offset + 4, Math.floor(value / 0x1_0000_0000), true);
}

/** A u64 that is a safe integer, else NaN: no length or count of ours reaches 2^53. */
export function getUint64(view: DataView, offset: number): number {
  const value = view.getUint32(offset + 4, true) * 0x1_0000_0000 + view.getUint32(offset, true);
  return Number.isSafeInteger(value) ? value : Number.NaN;
}

export function encodeFileHeader(header: FileHeader, crc32c: Crc32c): Uint8Array {
  const bytes = new Uint8Array(FILE_HEADER_BYTES);
  const view = viewOf(bytes);
  bytes.set(FILE_MAGIC, 0);
  view.setUint32(8, LOG_FORMAT, true);
  view.setUint32(12, header.kind, true);
  setUint64(view, 16, header.sequence);
  bytes.set(header.id, 24);
  setUint64(view, 40, header.position);
  setUint64(view, 48, header.firstFrame);
  view.setUint32(56, header.payloadFormat, true);
  view.setUint32(60, crc32c(bytes.subarray(0, 60), 0), true);
  return bytes;
}

/** Throws NX_DATA_CORRUPT for damaged bytes and NX_DATA_VERSION for another format version. */
export function decodeFileHeader(bytes: Uint8Array, path: string, crc32c: Crc32c): FileHeader {
  const view = viewOf(bytes);
  const isWhole =
    bytes.byteLength === FILE_HEADER_BYTES && FILE_MAGIC.every((byte, index) => bytes[index] === byte);
  if (!isWhole || view.getUint32(60, true) !== crc32c(bytes.subarray(0, 60), 0)) {
    throw corrupt(path, 0, "the file header is damaged");
  }
  const version = view.getUint32(8, true);
  if (version !== LOG_FORMAT) {
    throw new NxError(
      "NX_DATA_VERSION",
      `${path} has log format ${version}, this program reads ${LOG_FORMAT}`,
      {
        hint: "start the version of node-x that wrote this directory",
      },
    );
  }
  return {
    kind: view.getUint32(12, true) as FileKind,
    sequence: getUint64(view, 16),
    id: bytes.slice(24, 40),
    position: getUint64(view, 40),
    firstFrame: getUint64(view, 48),
    payloadFormat: view.getUint32(56, true),
  };
}

/** What a frame takes in its file. */
export function frameBytes(payloadBytes: number): number {
  const used = FRAME_HEADER_BYTES + payloadBytes;
  return Math.ceil(used / FRAME_ALIGN_BYTES) * FRAME_ALIGN_BYTES;
}

export interface FrameHeader {
  kind: FrameKind;
  number: number;
  payloadBytes: number;
  payloadCrc: number;
}

/** Encodes and recognises the frames of one file. */
export class FrameCodec {
  readonly crc32c: Crc32c;
  #seed: number;

  constructor(id: Uint8Array, crc32c: Crc32c) {
    this.crc32c = crc32c;
    this.#seed = crc32c(id, 0);
  }

  /**
   * Completes `frame` in place: its payload of `payloadBytes` already stands behind the space for the header,
   * and its length is `frameBytes(payloadBytes)`. `offset` is where it will be written.
   */
  seal(frame: Uint8Array, kind: FrameKind, number: number, payloadBytes: number, offset: number): void {
    const view = viewOf(frame);
    frame.fill(0, FRAME_HEADER_BYTES + payloadBytes);
    view.setUint32(0, FRAME_MAGIC, true);
    view.setUint32(4, kind, true);
    setUint64(view, 8, number);
    view.setUint32(16, payloadBytes, true);
    view.setUint32(20, offset / FRAME_ALIGN_BYTES, true);
    view.setUint32(24, this.crc32c(frame.subarray(FRAME_HEADER_BYTES), this.#seed), true);
    view.setUint32(28, this.crc32c(frame.subarray(0, 28), this.#seed), true);
  }

  /** The header at `at` in `view` if it is one that belongs at `offset` of this file. */
  headerAt(view: DataView, at: number, offset: number): FrameHeader | undefined {
    if (view.getUint32(at, true) !== FRAME_MAGIC) return undefined;
    if (view.getUint32(at + 20, true) !== offset / FRAME_ALIGN_BYTES) return undefined;
    const bytes = new Uint8Array(view.buffer, view.byteOffset + at, 28);
    if (view.getUint32(at + 28, true) !== this.crc32c(bytes, this.#seed)) return undefined;
    return {
      kind: view.getUint32(at + 4, true) as FrameKind,
      number: getUint64(view, at + 8),
      payloadBytes: view.getUint32(at + 16, true),
      payloadCrc: view.getUint32(at + 24, true),
    };
  }

  /** Whether payload and padding are what the header says. */
  isIntact(header: FrameHeader, payloadAndPadding: Uint8Array): boolean {
    return header.payloadCrc === this.crc32c(payloadAndPadding, this.#seed);
  }
}

/** The error of everything that is stored but wrong. */
export class CorruptError extends NxError {
  readonly path: string;
  readonly offset: number;
  readonly what: string;

  constructor(path: string, offset: number, what: string) {
    super("NX_DATA_CORRUPT", `${path}, byte ${offset}: ${what}`, {
      hint: "restore this directory from a backup or a replica; it was left as it is",
    });
    this.path = path;
    this.offset = offset;
    this.what = what;
  }
}

export function corrupt(path: string, offset: number, what: string): CorruptError {
  return new CorruptError(path, offset, what);
}
