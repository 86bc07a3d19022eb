/**
 * A copy of a worker's state log at a replica: `state-<generation>.copy`, pieces one behind the other.
 *
 *   offset  size
 *        0     4  length of the content
 *        4     4  crc32c of kind and content
 *        8     1  kind
 *        9     n  content
 *
 *   kind  content
 *      1  header, the first piece: JSON { format, worker, generation }
 *      2  records of the state log, whole ones
 *      3  nothing: what came before is a whole snapshot, the copy can be restored from here on
 *
 * A worker begins a new generation each time it starts and each time its log is compacted; the one before stays until the
 * new one can be restored. Invariant: a piece counts when it is whole and its checksum holds; the first that is not ends
 * the copy, because a replica that lost its power keeps whatever it had of the last one.
 */
import { crc32c } from "../../native/crc32c.ts";
import { getU32, putU32, textOf } from "../wire/bytes.ts";

export const COPY_FORMAT = 1;
const HEADER_BYTES = 9;
const Kind = { header: 1, records: 2, complete: 3 } as const;
const NAME = /^state-(\d{16})\.copy$/;

export interface CopyHeader {
  format: number;
  worker: string;
  generation: number;
}

export function copyName(generation: number): string {
  return `state-${String(generation).padStart(16, "0")}.copy`;
}

/** The directory of a worker's copies at a replica. */
export function copyDirectory(app: string, worker: string): string {
  return `${app}-${worker}`.replace(/[^A-Za-z0-9._-]/g, "_");
}

/** The generation of a file's name; undefined for other files. */
export function generationOf(name: string): number | undefined {
  const digits = NAME.exec(name)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

function pieceOf(kind: number, content: Uint8Array): Uint8Array {
  const piece = new Uint8Array(HEADER_BYTES + content.byteLength);
  piece[8] = kind;
  piece.set(content, HEADER_BYTES);
  putU32(piece, 0, content.byteLength);
  putU32(piece, 4, crc32c(piece.subarray(8), 0));
  return piece;
}

export function headerPiece(header: CopyHeader): Uint8Array {
  return pieceOf(Kind.header, new TextEncoder().encode(JSON.stringify(header)));
}

export function recordsPiece(records: Uint8Array): Uint8Array {
  return pieceOf(Kind.records, records);
}

export function completePiece(): Uint8Array {
  return pieceOf(Kind.complete, new Uint8Array(0));
}

export interface Copy {
  header: CopyHeader;
  /** Runs of whole records, in order; views. */
  records: Uint8Array[];
  /** A whole snapshot is in it. */
  isComplete: boolean;
  /** Bytes that are whole. */
  bytes: number;
}

/** Reads a copy as far as it is whole; undefined when not even its header is. */
export function readCopy(bytes: Uint8Array): Copy | undefined {
  let header: CopyHeader | undefined;
  const records: Uint8Array[] = [];
  let isComplete = false;
  let at = 0;
  while (bytes.byteLength - at >= HEADER_BYTES) {
    const end = at + HEADER_BYTES + getU32(bytes, at);
    if (end > bytes.byteLength) break;
    if (crc32c(bytes.subarray(at + 8, end), 0) !== getU32(bytes, at + 4)) break;
    const content = bytes.subarray(at + HEADER_BYTES, end);
    const kind = bytes[at + 8];
    if (header === undefined) {
      header = kind === Kind.header ? parseHeader(content) : undefined;
      if (header === undefined) return undefined;
    } else if (kind === Kind.records) records.push(content);
    else if (kind === Kind.complete) isComplete = true;
    else break;
    at = end;
  }
  return header === undefined ? undefined : { header, records, isComplete, bytes: at };
}

function parseHeader(content: Uint8Array): CopyHeader | undefined {
  try {
    const { format, worker, generation } = JSON.parse(textOf(content)) as Partial<CopyHeader>;
    if (format !== COPY_FORMAT || typeof worker !== "string" || typeof generation !== "number")
      return undefined;
    return { format, worker, generation };
  } catch {
    return undefined;
  }
}
