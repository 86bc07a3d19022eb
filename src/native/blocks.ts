/**
 * Checksums, hashes, comparison and compression of blocks (native/blocks): one call for each buffer.
 *
 * Invariant: every length is checked in C before it is used; C keeps no address between calls.
 */
import { FFIType, type Pointer } from "bun:ffi";
import { assert } from "../core/errors.ts";
import { addressable } from "./addressable.ts";
import { NativeBuffer } from "./buffer.ts";
import { linked } from "./library.ts";

const symbols = {
  nx_salted_checksum: { args: ["ptr", "u64", "u32"], returns: "u32" },
  nx_is_zero: { args: ["ptr", "u64"], returns: "bool" },
  nx_compare_blocks: { args: ["ptr", "ptr", "u64", "u64", "ptr"], returns: FFIType.u64_fast },
  nx_murmur3_128: { args: ["ptr", "u64", "u32", "ptr"], returns: "void" },
  nx_murmur3_chunks: { args: ["ptr", "u64", "u64", "u32", "ptr"], returns: "void" },
  nx_codec_new: { args: [], returns: "ptr" },
  nx_codec_free: { args: ["ptr"], returns: "void" },
  nx_codec_encode: { args: ["ptr", "u32", "u32", "ptr", "u64", "ptr"], returns: FFIType.u64_fast },
  nx_codec_encode_always: { args: ["ptr", "u32", "u32", "ptr", "u64", "ptr"], returns: FFIType.u64_fast },
  nx_codec_decode: { args: ["ptr", "u32", "ptr", "u64", "ptr", "u64"], returns: "i32" },
  nx_wdiff_header_write: { args: ["ptr", "u32", "ptr"], returns: "void" },
  nx_wdiff_header_read: { args: ["ptr"], returns: "i32" },
  nx_wdiff_trailer_write: { args: ["ptr", "u64", "u32", "u32"], returns: "void" },
  nx_wdiff_trailer_read: { args: ["ptr", "ptr", "ptr"], returns: "i32" },
  nx_wdiff_pack_verify: { args: ["ptr", "u64", "u64", "u64"], returns: FFIType.i64_fast },
  nx_wlog_file_write: { args: ["ptr", "u32", "u32", "ptr", "u64", "u64"], returns: "void" },
  nx_wlog_pack_check: { args: ["ptr", "u32", "u32", "u64"], returns: "i32" },
  nx_ffi_buffer_new: { args: [], returns: "ptr" },
  nx_ffi_buffer_resize: { args: ["ptr", "u64"], returns: "void" },
  nx_ffi_buffer_free: { args: ["ptr"], returns: "void" },
} as const;

const library = linked(symbols);

/** A growable buffer of C's that its owner frees. */
export class OwnedBuffer extends NativeBuffer {
  constructor() {
    super(library().nx_ffi_buffer_new() as Pointer);
  }

  /** Makes it this long; what is new has any content. */
  resize(length: number): void {
    library().nx_ffi_buffer_resize(this.pointer, length);
  }

  free(): void {
    library().nx_ffi_buffer_free(this.pointer);
  }
}

/** The checksum of the WalB formats: 2^32 minus salt and all 32-bit words. Sees no order; see native/blocks/checksum.h. */
export function saltedChecksum(bytes: Uint8Array, salt = 0): number {
  return library().nx_salted_checksum(addressable(bytes), bytes.byteLength, salt);
}

export function isZero(bytes: Uint8Array): boolean {
  return library().nx_is_zero(addressable(bytes), bytes.byteLength);
}

/** How many blocks of two arrays of one length differ; `differs` gets one byte per block. */
export function compareBlocks(
  a: Uint8Array,
  b: Uint8Array,
  blockBytes: number,
  differs?: Uint8Array,
): number {
  assert(a.byteLength === b.byteLength, "blocks of one length are compared");
  if (a.byteLength === 0) return 0;
  const room = differs === undefined || differs.byteLength * blockBytes >= a.byteLength;
  assert(room, "there is a byte for each block");
  return Number(library().nx_compare_blocks(a, b, a.byteLength, blockBytes, differs ?? null));
}

/** MurmurHash3 x64 128 with both halves of the state starting at `seed`; 16 bytes. */
export function murmur3(bytes: Uint8Array, seed: number): Uint8Array {
  const hash = new Uint8Array(16);
  library().nx_murmur3_128(addressable(bytes), bytes.byteLength, seed >>> 0, hash);
  return hash;
}

/** One hash of 16 bytes for each chunk; the last chunk may be short. */
export function murmur3Chunks(bytes: Uint8Array, chunkBytes: number, seed: number): Uint8Array {
  if (bytes.byteLength === 0) return new Uint8Array(0);
  const hashes = new Uint8Array(Math.ceil(bytes.byteLength / chunkBytes) * 16);
  library().nx_murmur3_chunks(bytes, bytes.byteLength, chunkBytes, seed >>> 0, hashes);
  return hashes;
}

/** The six compressions, by the numbers that files carry. `close` it. */
export class Codec {
  readonly #codec = library().nx_codec_new() as Pointer;
  readonly #out = new OwnedBuffer();

  /** The compressed content (a copy), or undefined when that would not be shorter. */
  encode(id: number, level: number, content: Uint8Array): Uint8Array | undefined {
    if (content.byteLength === 0) return undefined;
    this.#out.clear();
    const { nx_codec_encode: encode } = library();
    const length = encode(this.#codec, id, level, content, content.byteLength, this.#out.pointer);
    return Number(length) === 0 ? undefined : this.#out.take();
  }

  /** The compressed content (a copy), longer than the content or not; `id` is not 0. */
  encodeAlways(id: number, level: number, content: Uint8Array): Uint8Array {
    this.#out.clear();
    const { nx_codec_encode_always: encode } = library();
    encode(this.#codec, id, level, addressable(content), content.byteLength, this.#out.pointer);
    return this.#out.take();
  }

  /** Fills `content`; false when the stored bytes do not hold exactly that much. */
  decode(id: number, stored: Uint8Array, content: Uint8Array): boolean {
    if (content.byteLength === 0 || stored.byteLength === 0) return false;
    const { nx_codec_decode: decode } = library();
    return decode(this.#codec, id, stored, stored.byteLength, content, content.byteLength) === 0;
  }

  close(): void {
    library().nx_codec_free(this.#codec);
    this.#out.free();
  }
}

export const WDIFF_HEADER_BYTES = 32;
export const WDIFF_TRAILER_BYTES = 24;
export const WDIFF_PACK_BYTES = 4096;
export const WLOG_HEADER_BYTES = 4096;

/** The first 32 bytes of a diff file. */
export function writeWdiffHeader(type: "sorted" | "indexed", uuid: Uint8Array): Uint8Array {
  assert(uuid.byteLength === 16, "a uuid has 16 bytes");
  const bytes = new Uint8Array(WDIFF_HEADER_BYTES);
  library().nx_wdiff_header_write(bytes, type === "sorted" ? 0 : 1, uuid);
  return bytes;
}

/** What the first 32 bytes of a diff file say; undefined when they are no such header. */
export function readWdiffHeader(
  bytes: Uint8Array,
): { type: "sorted" | "indexed"; uuid: Uint8Array } | undefined {
  if (bytes.byteLength < WDIFF_HEADER_BYTES) return undefined;
  const type = library().nx_wdiff_header_read(bytes);
  return type < 0 ? undefined : { type: type === 0 ? "sorted" : "indexed", uuid: bytes.slice(16, 32) };
}

/** The trailer of an indexed diff; undefined when these are not its bytes. */
export function readWdiffTrailer(bytes: Uint8Array): { indexOffset: number; records: number } | undefined {
  if (bytes.byteLength < WDIFF_TRAILER_BYTES) return undefined;
  const words = new BigUint64Array(new ArrayBuffer(16));
  const records = words.subarray(1);
  if (library().nx_wdiff_trailer_read(bytes, words, records) < 0) return undefined;
  const [indexOffset, count] = [Number(words[0]), Number(words[1])];
  return Number.isSafeInteger(indexOffset) ? { indexOffset, records: count } : undefined;
}

/**
 * Verifies a sorted pack, header and data: the block behind its last record, or -1. Nothing may begin below `floor` or
 * end behind `endBlocks`.
 */
export function verifyPack(pack: Uint8Array, floor: number, endBlocks: number): number {
  if (pack.byteLength < WDIFF_PACK_BYTES) return -1;
  const end = Number(library().nx_wdiff_pack_verify(pack, pack.byteLength, floor, endBlocks));
  return end < 0 ? -1 : end;
}

export interface LogFileHeader {
  salt: number;
  /** 512 or 4096. */
  physicalBytes: number;
  uuid: Uint8Array;
  firstLsid: bigint;
  /** An upper bound, usually 2^64-1. */
  endLsid: bigint;
}

export function writeLogFileHeader(header: LogFileHeader): Uint8Array {
  const bytes = new Uint8Array(WLOG_HEADER_BYTES);
  const { salt, physicalBytes, uuid, firstLsid, endLsid } = header;
  library().nx_wlog_file_write(bytes, salt, physicalBytes, uuid, firstLsid, endLsid);
  return bytes;
}

/** Records of a sound pack header (0: the end mark), or -1. `lsid` is the one expected; 2^64-1 takes any. */
export function checkLogPack(header: Uint8Array, physicalBytes: number, salt: number, lsid: bigint): number {
  if (header.byteLength < physicalBytes) return -1;
  const records = library().nx_wlog_pack_check(header, physicalBytes, salt, lsid);
  return records < 0 ? -1 : records;
}
