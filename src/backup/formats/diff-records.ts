/**
 * The records of one diff, in the order of addresses, as the file has them: for printing and for checking.
 *
 * Invariant: pack headers and index records are checked as in a merge; the data of a record only when it is asked for.
 */
import { saltedChecksum, WDIFF_HEADER_BYTES, WDIFF_PACK_BYTES } from "../../native/blocks.ts";
import type { ByteSource } from "./bytes.ts";
import { type Diff, damaged } from "./diff-merge.ts";

export interface DiffRecord {
  /** In blocks of 512 bytes. */
  address: number;
  blocks: number;
  kind: "normal" | "zero" | "discard";
  /** By number. */
  codec: number;
  /** Of the stored bytes: in the pack's data area, or in the file (indexed). */
  offset: number;
  /** Of the stored bytes in the file. */
  fileOffset: number;
  bytes: number;
  checksum: number;
  /** Of an indexed diff: this record inside the stored image, the image's blocks, the record's own checksum. */
  imageStart: number;
  imageBlocks: number;
  recordChecksum: number;
}

const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
const kindOf = (flags: number) => ((flags & 2) !== 0 ? "zero" : (flags & 4) !== 0 ? "discard" : "normal");

async function readWhole(source: ByteSource, target: Uint8Array, offset: number): Promise<DataView> {
  if ((await source.read(target, offset)) < target.byteLength)
    throw damaged(source.name, offset, "the file ends too early");
  return viewOf(target);
}

async function* sortedRecords({ source }: Diff): AsyncGenerator<DiffRecord> {
  const header = new Uint8Array(WDIFF_PACK_BYTES);
  for (let at = WDIFF_HEADER_BYTES; ;) {
    const view = await readWhole(source, header, at);
    const count = view.getUint16(4, true);
    if (saltedChecksum(header) !== 0 || count > 127)
      throw damaged(source.name, at, "the pack header fails its checksum");
    if ((view.getUint8(6) & 1) !== 0) return;
    const dataOffset = at + WDIFF_PACK_BYTES;
    for (let index = 0, record = 16; index < count; index++, record += 32) {
      const offset = view.getUint32(record + 16, true);
      const blocks = view.getUint32(record + 8, true);
      yield {
        address: Number(view.getBigUint64(record, true)),
        blocks,
        kind: kindOf(view.getUint8(record + 12)),
        codec: view.getUint8(record + 13),
        offset,
        fileOffset: dataOffset + offset,
        bytes: view.getUint32(record + 20, true),
        checksum: view.getUint32(record + 24, true),
        imageStart: 0,
        imageBlocks: blocks,
        recordChecksum: 0,
      };
    }
    at = dataOffset + view.getUint32(8, true);
  }
}

const INDEX_CHUNK_RECORDS = 4096;
const INDEX_BYTES = 48;

async function* indexedRecords({ source, indexOffset, records }: Diff): AsyncGenerator<DiffRecord> {
  for (let done = 0; done < records; done += INDEX_CHUNK_RECORDS) {
    const count = Math.min(INDEX_CHUNK_RECORDS, records - done);
    const start = indexOffset + done * INDEX_BYTES;
    const bytes = new Uint8Array(count * INDEX_BYTES);
    const view = await readWhole(source, bytes, start);
    for (let at = 0; at < bytes.byteLength; at += INDEX_BYTES) {
      if (saltedChecksum(bytes.subarray(at, at + INDEX_BYTES)) !== 0)
        throw damaged(source.name, start + at, "the index record fails its checksum");
      const offset = Number(view.getBigUint64(at + 16, true));
      yield {
        address: Number(view.getBigUint64(at, true)),
        blocks: view.getUint32(at + 8, true),
        kind: kindOf(view.getUint8(at + 12)),
        codec: view.getUint8(at + 13),
        offset,
        fileOffset: offset,
        bytes: view.getUint32(at + 24, true),
        checksum: view.getUint32(at + 40, true),
        imageStart: view.getUint32(at + 28, true),
        imageBlocks: view.getUint32(at + 32, true),
        recordChecksum: view.getUint32(at + 44, true),
      };
    }
  }
}

export function recordsOf(diff: Diff): AsyncGenerator<DiffRecord> {
  return diff.type === "sorted" ? sortedRecords(diff) : indexedRecords(diff);
}

/** Whether the stored bytes of a record are what its checksum says; true where there are none. */
export async function isRecordWhole(diff: Diff, record: DiffRecord): Promise<boolean> {
  if (record.kind !== "normal") return true;
  const bytes = new Uint8Array(record.bytes);
  if ((await diff.source.read(bytes, record.fileOffset)) < bytes.byteLength) return false;
  return saltedChecksum(bytes) === record.checksum;
}
