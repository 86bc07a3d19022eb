/**
 * `<channel>.nxs`: the records that a `.tcm` cannot carry: keys that are not 16 lower-case hex digits, empty values,
 * values over the batch limit, and records with an expiry.
 *
 * Integers are little-endian.
 *
 *   offset  bytes  field
 *        0      8  "nxs-file"
 *        8      4  version, 1
 *       12      4  random number of this file; it seeds the checksums of the blocks
 *       16      8  records
 *       24      8  bytes of all blocks, their heads included
 *       32      8  size of the `.tcm` this file belongs to
 *       40      4  CRC-32C of that whole `.tcm`
 *       44     16  zero
 *       60      4  CRC-32C of the bytes before
 *       64      …  blocks, then the end record
 *
 *   block:      0      4  payload length n, above 0
 *               4      4  CRC-32C of the file's number, the block's offset (8 bytes), n and the payload
 *               8      n  put effects, each whole (native/effects.h)
 *   end record: 0      4  0
 *               4      4  CRC-32C as of a block without payload
 *
 * Invariant: a file has its name only when it is complete and synced, so whatever does not fit in it is damage and is
 * reported as NX_DATA_CORRUPT with file and offset. The `.tcm` it belongs to is told by size and checksum: that is what
 * makes the two files change in one step (dump-files.ts).
 */
import { NxError } from "../../core/errors.ts";
import type { Disk, DiskFile } from "../../core/seams/disk.ts";
import { crc32c } from "../../native/crc32c.ts";
import { effectLength } from "../effects.ts";

export const SIDE_VERSION = 1;
const HEADER_BYTES = 64;
const BLOCK_HEAD_BYTES = 8;
const MAGIC = "nxs-file";
/** A block holds whole effects: up to this many bytes of them, or one that is larger. */
const BLOCK_BYTES = 1 << 20;
/** The largest effect: value, key, name and head at their maxima, rounded up. */
const BLOCK_BYTES_MAX = 1.25 * 2 ** 30;

/** Which `.tcm` a side file belongs to. */
export interface TcmIdentity {
  bytes: number;
  crc32c: number;
}

export interface SideHeader extends TcmIdentity {
  id: number;
  records: number;
  blockBytes: number;
}

function corrupt(path: string, offset: number, what: string): NxError {
  return new NxError("NX_DATA_CORRUPT", `${path}: ${what} at byte ${offset}`, {
    hint: `restore this file and its .tcm from a backup; ${path}.backup, if it is there, belongs to the .tcm.backup beside it`,
  });
}

export function encodeSideHeader(header: SideHeader): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES);
  bytes.set(new TextEncoder().encode(MAGIC));
  const view = new DataView(bytes.buffer);
  view.setUint32(8, SIDE_VERSION, true);
  view.setUint32(12, header.id, true);
  view.setBigUint64(16, BigInt(header.records), true);
  view.setBigUint64(24, BigInt(header.blockBytes), true);
  view.setBigUint64(32, BigInt(header.bytes), true);
  view.setUint32(40, header.crc32c, true);
  view.setUint32(60, crc32c(bytes.subarray(0, 60)), true);
  return bytes;
}

function decodeSideHeader(bytes: Uint8Array, path: string): SideHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (new TextDecoder("latin1").decode(bytes.subarray(0, 8)) !== MAGIC)
    throw corrupt(path, 0, "this is no .nxs file, or its header is damaged");
  if (view.getUint32(60, true) !== crc32c(bytes.subarray(0, 60)))
    throw corrupt(path, 0, "the header fails its checksum");
  const version = view.getUint32(8, true);
  if (version !== SIDE_VERSION) {
    throw new NxError(
      "NX_DATA_VERSION",
      `${path} has format version ${version}, this program reads ${SIDE_VERSION}`,
      {
        hint: "use the node-x that wrote it",
      },
    );
  }
  const word = (offset: number) => Number(view.getBigUint64(offset, true));
  return {
    id: view.getUint32(12, true),
    records: word(16),
    blockBytes: word(24),
    bytes: word(32),
    crc32c: view.getUint32(40, true),
  };
}

function blockChecksum(id: number, offset: number, payload: Uint8Array): number {
  const head = new Uint8Array(16);
  const view = new DataView(head.buffer);
  view.setUint32(0, id, true);
  view.setBigUint64(4, BigInt(offset), true);
  view.setUint32(12, payload.byteLength, true);
  return crc32c(payload, crc32c(head));
}

/** The head of a block; `payload` empty makes the end record. */
function blockHead(id: number, offset: number, payload: Uint8Array): Uint8Array {
  const head = new Uint8Array(BLOCK_HEAD_BYTES);
  const view = new DataView(head.buffer);
  view.setUint32(0, payload.byteLength, true);
  view.setUint32(4, blockChecksum(id, offset, payload), true);
  return head;
}

/** Cuts effects into payloads of blocks, between two effects. */
export function* blocksOf(effects: Uint8Array, bytesMax = BLOCK_BYTES): Generator<Uint8Array> {
  for (let start = 0, end = 0; start < effects.byteLength; start = end) {
    do end += effectLength(effects, end);
    while (end < effects.byteLength && end + effectLength(effects, end) - start <= bytesMax);
    yield effects.subarray(start, end);
  }
}

/** Writes one side file from its first block on; the header, which counts, comes last. */
export class SideWriter {
  readonly #file: DiskFile;
  readonly #id: number;
  #offset = HEADER_BYTES;

  constructor(file: DiskFile, id: number) {
    this.#file = file;
    this.#id = id;
  }

  /** `effects` must stay as they are until this resolves. */
  async add(effects: Uint8Array): Promise<void> {
    for (const payload of blocksOf(effects)) await this.#block(payload);
  }

  async #block(payload: Uint8Array): Promise<void> {
    await this.#file.write(blockHead(this.#id, this.#offset, payload), this.#offset);
    await this.#file.write(payload, this.#offset + BLOCK_HEAD_BYTES);
    this.#offset += BLOCK_HEAD_BYTES + payload.byteLength;
  }

  /** The end record, the header, a sync. */
  async finish(records: number, tcm: TcmIdentity): Promise<void> {
    await this.#file.write(blockHead(this.#id, this.#offset, new Uint8Array(0)), this.#offset);
    const blockBytes = this.#offset - HEADER_BYTES;
    await this.#file.write(encodeSideHeader({ ...tcm, id: this.#id, records, blockBytes }), 0);
    await this.#file.sync();
  }
}

/** A side file open for reading. Throws NX_DATA_CORRUPT, NX_DATA_VERSION. */
export class SideReader {
  readonly header: SideHeader;
  readonly #file: DiskFile;
  readonly #path: string;
  readonly #size: number;

  static async open(disk: Disk, path: string): Promise<SideReader> {
    const file = await disk.open(path, "read");
    try {
      const bytes = new Uint8Array(HEADER_BYTES);
      if ((await file.read(bytes, 0)) < HEADER_BYTES)
        throw corrupt(path, 0, "the file is shorter than its header");
      return new SideReader(file, path, decodeSideHeader(bytes, path), await file.size());
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  private constructor(file: DiskFile, path: string, header: SideHeader, size: number) {
    this.#file = file;
    this.#path = path;
    this.#size = size;
    this.header = header;
  }

  belongsTo(tcm: TcmIdentity): boolean {
    return this.header.bytes === tcm.bytes && this.header.crc32c === tcm.crc32c;
  }

  /** Hands over the payload of each block once its checksum was checked; `take` returns its records, -1 if malformed. */
  async readBlocks(take: (payload: Uint8Array) => number): Promise<void> {
    let offset = HEADER_BYTES;
    let records = 0;
    const head = new Uint8Array(BLOCK_HEAD_BYTES);
    for (;;) {
      if ((await this.#file.read(head, offset)) < BLOCK_HEAD_BYTES)
        throw corrupt(this.#path, offset, "the end record is missing");
      const view = new DataView(head.buffer);
      const length = view.getUint32(0, true);
      if (length > BLOCK_BYTES_MAX || offset + BLOCK_HEAD_BYTES + length > this.#size)
        throw corrupt(this.#path, offset, `a block of ${length} bytes does not fit into the file`);
      const payload = new Uint8Array(length);
      await this.#file.read(payload, offset + BLOCK_HEAD_BYTES);
      if (view.getUint32(4, true) !== blockChecksum(this.header.id, offset, payload))
        throw corrupt(this.#path, offset, "a block fails its checksum");
      if (length === 0) break;
      const taken = take(payload);
      if (taken < 0)
        throw corrupt(this.#path, offset, "a block passes its checksum but holds no valid effects");
      records += taken;
      offset += BLOCK_HEAD_BYTES + length;
    }
    if (records !== this.header.records || offset - HEADER_BYTES !== this.header.blockBytes)
      throw corrupt(this.#path, offset, `the file ends after ${records} of ${this.header.records} records`);
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}
