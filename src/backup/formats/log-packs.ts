/**
 * A log pack by pack, for those who look at each: printing, copying to a log device, cutting.
 *
 * Invariant: a pack is handed out only when its header is sound; whether the data of its records is, `isWhole` says.
 * Memory: one pack, at most 32 MiB.
 */
import { checkLogPack, type LogFileHeader, saltedChecksum, WLOG_HEADER_BYTES } from "../../native/blocks.ts";
import { NxError } from "../../core/errors.ts";
import { BLOCK_BYTES, NO_LSID } from "./units.ts";

export interface LogRecord {
  checksum: number;
  isPadding: boolean;
  isDiscard: boolean;
  /** In blocks of 512 bytes. */
  address: number;
  blocks: number;
  /** Of the data in the pack, in physical blocks; the header is 0. */
  position: number;
  /** Physical blocks of data: 0 for a discard. */
  physicalBlocks: number;
}

export interface LogPack {
  header: Uint8Array;
  lsid: bigint;
  checksum: number;
  /** Physical blocks of data. */
  total: number;
  padding: number;
  records: LogRecord[];
  /** The data of all records; header and data follow each other in one array. */
  bytes: Uint8Array;
}

const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** Undefined when it is no header of a log file. */
export function readLogFileHeader(bytes: Uint8Array): LogFileHeader | undefined {
  if (bytes.byteLength < WLOG_HEADER_BYTES || saltedChecksum(bytes.subarray(0, WLOG_HEADER_BYTES)) !== 0)
    return undefined;
  const view = viewOf(bytes);
  const physicalBytes = view.getUint32(20, true);
  const isKnown =
    view.getUint16(0, true) === 4 && view.getUint16(2, true) === 2 && view.getUint32(16, true) === 512;
  if (!isKnown || (physicalBytes !== 512 && physicalBytes !== 4096)) return undefined;
  return {
    salt: view.getUint32(12, true),
    physicalBytes,
    uuid: bytes.slice(24, 40),
    firstLsid: view.getBigUint64(40, true),
    endLsid: view.getBigUint64(48, true),
  };
}

/** The records of a header that `checkLogPack` found sound. */
export function readRecords(header: Uint8Array, physicalBytes: number): LogRecord[] {
  const view = viewOf(header);
  const unit = physicalBytes / BLOCK_BYTES;
  return Array.from({ length: view.getUint16(16, true) }, (_, index) => {
    const at = 24 + 32 * index;
    const flags = view.getUint32(at + 4, true);
    const blocks = view.getUint32(at + 16, true);
    const isDiscard = (flags & 4) !== 0;
    return {
      checksum: view.getUint32(at, true),
      isPadding: (flags & 2) !== 0,
      isDiscard,
      address: Number(view.getBigUint64(at + 8, true)),
      blocks,
      position: view.getUint16(at + 20, true),
      physicalBlocks: isDiscard ? 0 : Math.ceil(blocks / unit),
    };
  });
}

export function packOf(bytes: Uint8Array, physicalBytes: number): LogPack {
  const header = bytes.subarray(0, physicalBytes);
  const view = viewOf(header);
  return {
    header,
    lsid: view.getBigUint64(8, true),
    checksum: view.getUint32(0, true),
    total: view.getUint16(6, true),
    padding: view.getUint16(18, true),
    records: readRecords(header, physicalBytes),
    bytes,
  };
}

/** The bytes of a record's data, without the padding to a physical block. */
export function dataOf(pack: LogPack, record: LogRecord, physicalBytes: number): Uint8Array {
  const start = record.position * physicalBytes;
  return pack.bytes.subarray(start, start + (record.isDiscard ? 0 : record.blocks * BLOCK_BYTES));
}

/** Whether the data of a record is what its checksum says; true where there is no data. */
export function isWhole(pack: LogPack, record: LogRecord, physicalBytes: number, salt: number): boolean {
  if (record.isDiscard || record.isPadding) return true;
  return saltedChecksum(dataOf(pack, record, physicalBytes), salt) === record.checksum;
}

/** Hands out `length` bytes at a time of a stream of chunks; fewer only at its end. */
export class ChunkReader {
  readonly #iterator: AsyncIterator<Uint8Array>;
  #chunk: Uint8Array = new Uint8Array(0);

  constructor(chunks: AsyncIterable<Uint8Array>) {
    this.#iterator = chunks[Symbol.asyncIterator]();
  }

  async take(length: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(length);
    let done = 0;
    while (done < length) {
      if (this.#chunk.byteLength === 0) {
        const next = await this.#iterator.next();
        if (next.done === true) break;
        this.#chunk = next.value;
      }
      const part = this.#chunk.subarray(0, length - done);
      bytes.set(part, done);
      done += part.byteLength;
      this.#chunk = this.#chunk.subarray(part.byteLength);
    }
    return bytes.subarray(0, done);
  }
}

function damaged(name: string, what: string): NxError {
  return new NxError("NX_DATA_CORRUPT", `${name}: ${what}`, {
    hint: "read the log again from where it comes from",
  });
}

/** Reads a log file. The generator of packs ends at the end mark, which must be there. */
export async function readLog(
  name: string,
  chunks: AsyncIterable<Uint8Array>,
): Promise<{ header: LogFileHeader; packs: AsyncGenerator<LogPack> }> {
  const reader = new ChunkReader(chunks);
  const header = readLogFileHeader(await reader.take(WLOG_HEADER_BYTES));
  if (header === undefined) throw damaged(name, "WlogFileHeader:invalid");
  return { header, packs: packsOf(name, reader, header) };
}

async function* packsOf(name: string, reader: ChunkReader, header: LogFileHeader): AsyncGenerator<LogPack> {
  const { physicalBytes, salt } = header;
  let lsid = header.firstLsid;
  for (;;) {
    const block = await reader.take(physicalBytes);
    const count = checkLogPack(block, physicalBytes, salt, lsid);
    if (count === 0) return;
    if (block.byteLength < physicalBytes) throw damaged(name, `the log is cut short at lsid ${lsid}`);
    if (count < 0) throw damaged(name, `the pack header at lsid ${lsid} is damaged`);
    const total = viewOf(block).getUint16(6, true);
    const data = await reader.take(total * physicalBytes);
    if (data.byteLength < total * physicalBytes)
      throw damaged(name, `the log is cut short in the pack at lsid ${lsid}`);
    const bytes = new Uint8Array(physicalBytes + data.byteLength);
    bytes.set(block);
    bytes.set(data, physicalBytes);
    yield packOf(bytes, physicalBytes);
    lsid += 1n + BigInt(total);
  }
}

/** What a log file ends with. */
export function endMark(physicalBytes: number, salt: number): Uint8Array {
  const block = new Uint8Array(physicalBytes);
  const view = viewOf(block);
  view.setUint16(4, 3, true);
  view.setBigUint64(8, NO_LSID, true);
  view.setUint32(0, saltedChecksum(block, salt), true);
  return block;
}

/** Builds a pack; `data` belongs to the records that have some, in order. Sets lsids, positions and checksums. */
export function buildPack(
  lsid: bigint,
  physicalBytes: number,
  salt: number,
  records: readonly (Pick<LogRecord, "address" | "blocks" | "isDiscard" | "isPadding"> & {
    data?: Uint8Array;
  })[],
): Uint8Array {
  const unit = physicalBytes / BLOCK_BYTES;
  const physical = records.map((record) => (record.isDiscard ? 0 : Math.ceil(record.blocks / unit)));
  const total = physical.reduce((sum, blocks) => sum + blocks, 0);
  const bytes = new Uint8Array((1 + total) * physicalBytes);
  const view = viewOf(bytes);
  view.setUint16(4, 3, true);
  view.setUint16(6, total, true);
  view.setBigUint64(8, lsid, true);
  view.setUint16(16, records.length, true);
  view.setUint16(18, records.filter(({ isPadding }) => isPadding).length, true);
  let position = 1;
  records.forEach(({ address, blocks, isDiscard, isPadding, data }, index) => {
    const at = 24 + 32 * index;
    const hasData = !isDiscard && !isPadding && data !== undefined;
    if (hasData) bytes.set(data, position * physicalBytes);
    view.setUint32(at, hasData ? saltedChecksum(data, salt) : 0, true);
    view.setUint32(at + 4, 1 | (isPadding ? 2 : 0) | (isDiscard ? 4 : 0), true);
    view.setBigUint64(at + 8, BigInt(isPadding ? 0 : address), true);
    view.setUint32(at + 16, blocks, true);
    view.setUint16(at + 20, position, true);
    view.setBigUint64(at + 24, lsid + BigInt(position), true);
    position += physical[index] as number;
  });
  view.setUint32(0, saltedChecksum(bytes.subarray(0, physicalBytes), salt), true);
  return bytes;
}
