/**
 * What the originals left on disk when rings were full: `overflow.dat` with the records of all channels, `ofchannels.csv`
 * with where each one's begin. They are read once and appended to what the `.rq` files held.
 *
 *   overflow.dat: 8 bytes `QDSKOF01`, then for each record
 *     offset  bytes  field
 *          0      4  channel id          4  4  zero
 *          8      8  distance from this header to the next one of the channel; 0: it is the last
 *         16      1  XOR of all other header bytes
 *         17      7  zero
 *         24      8  length             32  …  the record
 *   ofchannels.csv: lines `<storage name> <records> <bytes of records> <offset of the first> <offset of the last>`
 *
 * Integers are little-endian; offsets count from the beginning of the file. Invariant: a chain is believed only if every
 * header's parity is right, it ends where the index says, and records and bytes add up.
 */
const MAGIC = "QDSKOF01";
const HEADER_BYTES = 32;

export interface OverflowChannel {
  /** `<channel>`, or `<subscriber>@<channel>`. */
  name: string;
  records: Uint8Array[];
}

/** Why the two files cannot be believed. */
export class MalformedOverflow extends Error {}

function fail(text: string): never {
  throw new MalformedOverflow(text);
}

function readChain(data: Buffer, line: string): OverflowChannel {
  const [name = "", ...figures] = line.split(" ");
  const [count = 0, bytes = 0, first = 0, last = 0] = figures.map(Number);
  if (figures.length !== 4 || ![count, bytes, first, last].every(Number.isSafeInteger))
    fail(`the line ${JSON.stringify(line)} is not a name and four numbers`);
  const records: Uint8Array[] = [];
  let at = first;
  for (;;) {
    if (at < MAGIC.length || at + HEADER_BYTES > data.byteLength) fail(`${name}: no record header at ${at}`);
    const header = data.subarray(at, at + HEADER_BYTES);
    if (header.reduce((parity, byte) => parity ^ byte, 0) !== 0)
      fail(`${name}: the parity of the header at ${at} is wrong`);
    const length = Number(header.readBigUInt64LE(24));
    if (length > data.byteLength - at - HEADER_BYTES)
      fail(`${name}: the record at ${at} passes the file's end`);
    records.push(data.subarray(at + HEADER_BYTES, at + HEADER_BYTES + length));
    const distance = Number(header.readBigInt64LE(8));
    if (distance === 0) break;
    if (distance < HEADER_BYTES) fail(`${name}: the header at ${at} points backwards`);
    at += distance;
  }
  const total = records.reduce((sum, record) => sum + record.byteLength, 0);
  if (at !== last || records.length !== count || total !== bytes)
    fail(`${name}: ${records.length} records of ${total} bytes up to ${at}, not as the index says`);
  return { name, records };
}

/** Reads both files whole. Throws MalformedOverflow. */
export function readOverflowSet(data: Uint8Array, index: string): OverflowChannel[] {
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  if (bytes.toString("latin1", 0, MAGIC.length) !== MAGIC) fail(`overflow.dat does not begin with ${MAGIC}`);
  return index
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => readChain(bytes, line));
}
