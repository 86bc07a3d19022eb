/**
 * The second checksum of a file: CRC-32C of each chunk, in a file of its own beside it, because the checksum inside the
 * WalB formats does not see the order of words.
 *
 *   offset  bytes  field
 *        0      8  "NXCRC32C"
 *        8      4  version = 1
 *       12      4  bytes of a chunk
 *       16      8  bytes of the file
 *       24  4 each  CRC-32C of each chunk, in order
 *      end      4  CRC-32C of everything before
 *
 * Invariant: a side file is written and synced before the file it belongs to takes its name, so a file without one came
 * from elsewhere. It tells where damage is, to the chunk.
 */
import { crc32c } from "../../native/crc32c.ts";
import type { Disk } from "../../core/seams/disk.ts";
import type { ByteSource } from "./bytes.ts";

const MAGIC = "NXCRC32C";
const HEADER_BYTES = 24;
/** Of diffs. */
export const SIDE_CHUNK_BYTES = 1 << 20;
const CHUNK_BYTES_MAX = 16 << 20;

/** What a side file holds, four bytes for each chunk; undefined: there is none. */
export async function readSide(disk: Disk, path: string): Promise<Uint8Array | undefined> {
  if (!(await disk.exists(path))) return undefined;
  const file = await disk.open(path, "read");
  try {
    const bytes = new Uint8Array(await file.size());
    return bytes.subarray(0, await file.read(bytes, 0));
  } finally {
    await file.close();
  }
}

/** The side file of a file with these checksums. */
export function encodeSide(fileBytes: number, chunkBytes: number, sums: ArrayLike<number>): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + sums.length * 4 + 4);
  const view = new DataView(bytes.buffer);
  bytes.set(Buffer.from(MAGIC));
  view.setUint32(8, 1, true);
  view.setUint32(12, chunkBytes, true);
  view.setBigUint64(16, BigInt(fileBytes), true);
  for (let index = 0; index < sums.length; index++)
    view.setUint32(HEADER_BYTES + index * 4, sums[index] as number, true);
  view.setUint32(bytes.byteLength - 4, crc32c(bytes.subarray(0, -4)), true);
  return bytes;
}

export interface Side {
  fileBytes: number;
  chunkBytes: number;
  sums: Uint32Array;
}

/** Undefined when it is damaged. */
export function decodeSide(side: Uint8Array): Side | undefined {
  if (side.byteLength < HEADER_BYTES + 4) return undefined;
  const view = new DataView(side.buffer, side.byteOffset, side.byteLength);
  const chunkBytes = view.getUint32(12, true);
  const fileBytes = Number(view.getBigUint64(16, true));
  const isSound =
    Buffer.from(side.subarray(0, 8)).toString() === MAGIC &&
    view.getUint32(8, true) === 1 &&
    chunkBytes > 0 &&
    chunkBytes <= CHUNK_BYTES_MAX &&
    side.byteLength === HEADER_BYTES + Math.ceil(fileBytes / chunkBytes) * 4 + 4 &&
    view.getUint32(side.byteLength - 4, true) === crc32c(side.subarray(0, -4));
  if (!isSound) return undefined;
  const sums = new Uint32Array(Math.ceil(fileBytes / chunkBytes));
  for (let index = 0; index < sums.length; index++)
    sums[index] = view.getUint32(HEADER_BYTES + index * 4, true);
  return { fileBytes, chunkBytes, sums };
}

/** Gathers the checksums while a file is written from front to back. */
export class SideSums {
  readonly #chunkBytes: number;
  /** Grows by doubling. */
  #sums = new Uint32Array(16);
  #count = 0;
  #sum = 0;
  #inChunk = 0;
  bytes = 0;

  constructor(chunkBytes = SIDE_CHUNK_BYTES) {
    this.#chunkBytes = chunkBytes;
  }

  add(bytes: Uint8Array): void {
    this.bytes += bytes.byteLength;
    for (let at = 0; at < bytes.byteLength;) {
      const part = bytes.subarray(at, at + this.#chunkBytes - this.#inChunk);
      this.#sum = crc32c(part, this.#sum);
      this.#inChunk += part.byteLength;
      at += part.byteLength;
      if (this.#inChunk === this.#chunkBytes) this.#close();
    }
  }

  #close(): void {
    if (this.#count === this.#sums.length) {
      const grown = new Uint32Array(2 * this.#count);
      grown.set(this.#sums);
      this.#sums = grown;
    }
    this.#sums[this.#count++] = this.#sum;
    this.#sum = 0;
    this.#inChunk = 0;
  }

  /** The side file. */
  encode(): Uint8Array {
    if (this.#inChunk > 0) this.#close();
    return encodeSide(this.bytes, this.#chunkBytes, this.#sums.subarray(0, this.#count));
  }
}

/** What a comparison with the side file found: nothing, damage from this byte of the file on, or of the side file. */
export type SideFinding = { at: "file"; offset: number } | { at: "side" } | undefined;

/**
 * Compares a file with its side file, from the first byte to the last. `mayBeLonger`: what lies behind the bytes that the
 * side file knows is not looked at.
 */
export async function compareWithSide(
  file: ByteSource,
  bytes: Uint8Array,
  { mayBeLonger = false } = {},
): Promise<SideFinding> {
  const side = decodeSide(bytes);
  if (side === undefined) return { at: "side" };
  const { fileBytes, chunkBytes, sums } = side;
  if (fileBytes > file.bytes || (fileBytes < file.bytes && !mayBeLonger))
    return { at: "file", offset: file.bytes };
  const buffer = new Uint8Array(Math.min(chunkBytes, fileBytes));
  for (const [index, sum] of sums.entries()) {
    const offset = index * chunkBytes;
    const read = await file.read(buffer.subarray(0, fileBytes - offset), offset);
    if (crc32c(buffer.subarray(0, read)) !== sum) return { at: "file", offset };
  }
  return undefined;
}
