/**
 * The files `done` and `queue` of a storage's volume, byte for byte as the original keeps them.
 *
 *   mark    u16 0x0314, bool mergeable, timestamp, lsid, gid (serializer)
 *   queue   two equal headers of 28 bytes, then records from byte 56 on, then a stub
 *           header: u32 0x119d83a7, u32 checksum of the 28 bytes (salt 0), u32 salt, u64 begin, u64 end
 *           record: u32 0x119d83a7, u32 checksum of the data (salt), u32 bytes, u32 bytes of the record before, data
 *           begin and end count from byte 56; front (begin) is the newest mark, back the oldest
 *
 * Invariant: a queue is written anew as a whole, under another name first (volume-files.ts), so it is never half.
 */
import { saltedChecksum } from "../../native/blocks.ts";
import { malformed, type Reader, Writer } from "../wire/serial.ts";
import { decodeFile } from "../wire/values.ts";
import type { Mark } from "./cuts.ts";

const MARK = 0x0314;
const MAGIC = 0x119d83a7;
const HEADER_BYTES = 28;
const RECORDS_AT = 2 * HEADER_BYTES;
const RECORD_BYTES = 16;

export function encodeMark({ isMergeable, timestamp, lsid, gid }: Mark): Uint8Array {
  return new Writer().u16(MARK).bool(isMergeable).u64(timestamp).u64(lsid).u64(gid).bytes;
}

async function readMark(reader: Reader): Promise<Mark> {
  const mark = await reader.u16();
  if (mark !== MARK) throw malformed(`no mark of a log but 0x${mark.toString(16)}`);
  return {
    isMergeable: await reader.bool(),
    timestamp: await reader.count(253402300799, "a timestamp"),
    lsid: await reader.u64(),
    gid: await reader.u64(),
  };
}

export const decodeMark = (bytes: Uint8Array): Promise<Mark> => decodeFile(bytes, readMark);

/** `marks` are oldest first. */
export function encodeQueue(marks: readonly Mark[], salt: number): Uint8Array {
  const records = marks.toReversed().map(encodeMark);
  const end = records.reduce((sum, { byteLength }) => sum + RECORD_BYTES + byteLength, 0);
  const bytes = new Uint8Array(RECORDS_AT + end + RECORD_BYTES);
  const view = new DataView(bytes.buffer);
  for (const at of [0, HEADER_BYTES]) {
    view.setUint32(at, MAGIC, true);
    view.setUint32(at + 8, salt, true);
    view.setBigUint64(at + 12, 0n, true);
    view.setBigUint64(at + 20, BigInt(end), true);
    view.setUint32(at + 4, saltedChecksum(bytes.subarray(at, at + HEADER_BYTES)), true);
  }
  let at = RECORDS_AT;
  let before = 0;
  for (const data of [...records, new Uint8Array(0)]) {
    view.setUint32(at, MAGIC, true);
    view.setUint32(at + 4, saltedChecksum(data, salt), true);
    view.setUint32(at + 8, data.byteLength, true);
    view.setUint32(at + 12, before, true);
    bytes.set(data, at + RECORD_BYTES);
    at += RECORD_BYTES + data.byteLength;
    before = data.byteLength;
  }
  return bytes;
}

/** Oldest first. Throws NX_DATA_CORRUPT. */
export async function decodeQueue(bytes: Uint8Array): Promise<Mark[]> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const at = [0, HEADER_BYTES].find(
    (each) =>
      bytes.byteLength >= each + HEADER_BYTES &&
      view.getUint32(each, true) === MAGIC &&
      saltedChecksum(bytes.subarray(each, each + HEADER_BYTES)) === 0,
  );
  if (at === undefined) throw malformed("a queue without a sound header");
  const salt = view.getUint32(at + 8, true);
  const [begin, end] = [Number(view.getBigUint64(at + 12, true)), Number(view.getBigUint64(at + 20, true))];
  if (begin > end || RECORDS_AT + end > bytes.byteLength)
    throw malformed("a queue that ends outside its file");
  const marks: Mark[] = [];
  for (let place = RECORDS_AT + begin; place < RECORDS_AT + end;) {
    const length = place + RECORD_BYTES > RECORDS_AT + end ? Infinity : view.getUint32(place + 8, true);
    const data = bytes.subarray(place + RECORD_BYTES, place + RECORD_BYTES + length);
    const isSound =
      place + RECORD_BYTES + length <= RECORDS_AT + end && view.getUint32(place, true) === MAGIC;
    if (!isSound || saltedChecksum(data, salt) !== view.getUint32(place + 4, true))
      throw malformed("a damaged record in a queue");
    marks.unshift(await decodeMark(data));
    place += RECORD_BYTES + length;
  }
  return marks;
}
