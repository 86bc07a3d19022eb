/**
 * A file in a bucket: its parts, each an object of its own that is named after its content and never changes, and the table
 * that lists them. The same bytes are the object of the table and the local file `NAME.parts` that stands for NAME.
 *
 *   offset  bytes  field
 *        0      8  "NXPARTS" and a zero
 *        8      4  version = 1
 *       12      4  bytes of a part; the last one may be shorter
 *       16      8  bytes of the file
 *       24      4  parts
 *       28   48 x  SHA-256 of the object (32), its CRC-32C (4), its compression (4: 0 none, 2 snappy), its bytes (8);
 *                  all zero: a part of zeros, which has no object
 *      end      4  CRC-32C of everything before
 *
 * Invariant: a table is believed only whole. What it names is compared with both checksums before it is used.
 */
import { NxError } from "../../core/errors.ts";
import { crc32c } from "../../native/crc32c.ts";

const MAGIC = "NXPARTS\0";
const VERSION = 1;
const HEADER_BYTES = 28;
const ENTRY_BYTES = 48;
const SHA_BYTES = 32;
export const PART_BYTES_MIN = 4096;
export const PART_BYTES_MAX = 64 << 20;

/** An object and what it must be. */
export interface ObjectRef {
  /** SHA-256 of its bytes, 64 hex digits; it is named after that. */
  sha256: string;
  crc32c: number;
  bytes: number;
}

export interface PartRef extends ObjectRef {
  /** Of the object; 0 is none. */
  codec: number;
}

export interface PartTable {
  partBytes: number;
  bytes: number;
  /** Undefined: zeros. */
  parts: readonly (PartRef | undefined)[];
}

export const partsOf = (bytes: number, partBytes: number): number => Math.ceil(bytes / partBytes);

/** Bytes of the content of one part. */
export const partLength = ({ bytes, partBytes }: PartTable, index: number): number =>
  Math.min(partBytes, bytes - index * partBytes);

export function encodePartTable({ partBytes, bytes, parts }: PartTable): Uint8Array {
  const out = new Uint8Array(HEADER_BYTES + parts.length * ENTRY_BYTES + 4);
  const view = new DataView(out.buffer);
  out.set(Buffer.from(MAGIC));
  view.setUint32(8, VERSION, true);
  view.setUint32(12, partBytes, true);
  view.setBigUint64(16, BigInt(bytes), true);
  view.setUint32(24, parts.length, true);
  parts.forEach((part, index) => {
    if (part === undefined) return;
    const at = HEADER_BYTES + index * ENTRY_BYTES;
    out.set(Buffer.from(part.sha256, "hex"), at);
    view.setUint32(at + SHA_BYTES, part.crc32c, true);
    view.setUint32(at + SHA_BYTES + 4, part.codec, true);
    view.setBigUint64(at + SHA_BYTES + 8, BigInt(part.bytes), true);
  });
  view.setUint32(out.byteLength - 4, crc32c(out.subarray(0, -4)), true);
  return out;
}

/** Throws NX_DATA_CORRUPT with `name` for anything but a whole table. */
export function decodePartTable(name: string, content: Uint8Array): PartTable {
  const view = new DataView(content.buffer, content.byteOffset, content.byteLength);
  const fail = (what: string) =>
    new NxError("NX_DATA_CORRUPT", `${name} is no whole table of parts: ${what}`, {
      hint: "`node-x walb verify` says what else is damaged; take the volume from another archive",
    });
  if (content.byteLength < HEADER_BYTES + 4) throw fail("it is cut short");
  if (Buffer.from(content.subarray(0, 8)).toString("latin1") !== MAGIC)
    throw fail("it does not begin as one");
  if (view.getUint32(content.byteLength - 4, true) !== crc32c(content.subarray(0, -4)))
    throw fail("its checksum is wrong");
  const version = view.getUint32(8, true);
  if (version !== VERSION) throw fail(`its version is ${version}, this program knows ${VERSION}`);
  const [partBytes, count] = [view.getUint32(12, true), view.getUint32(24, true)];
  const bytes = Number(view.getBigUint64(16, true));
  if (partBytes < PART_BYTES_MIN || partBytes > PART_BYTES_MAX) throw fail(`parts of ${partBytes} bytes`);
  if (!Number.isSafeInteger(bytes) || count !== partsOf(bytes, partBytes))
    throw fail(`${count} parts cannot be ${bytes} bytes`);
  if (content.byteLength !== HEADER_BYTES + count * ENTRY_BYTES + 4) throw fail("it is cut short");
  const parts = Array.from({ length: count }, (_, index) => partAt(content, view, index));
  return { partBytes, bytes, parts };
}

function partAt(content: Uint8Array, view: DataView, index: number): PartRef | undefined {
  const at = HEADER_BYTES + index * ENTRY_BYTES;
  const bytes = Number(view.getBigUint64(at + SHA_BYTES + 8, true));
  if (bytes === 0) return undefined;
  return {
    sha256: Buffer.from(content.subarray(at, at + SHA_BYTES)).toString("hex"),
    crc32c: view.getUint32(at + SHA_BYTES, true),
    codec: view.getUint32(at + SHA_BYTES + 4, true),
    bytes,
  };
}
