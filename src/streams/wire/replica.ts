/**
 * The file-replica protocol: a small remote file server that keeps copies of what workers must not lose.
 *
 * Requests and replies are frames (frame.ts). A request is one command byte and text fields separated by TAB; names are
 * relative to the directory that the connection has selected.
 *
 *   command  fields                 reply
 *   u        directory              `ok`: selected, made when it is missing
 *   l                               a line for each file, sorted: name TAB size TAB yes|no LF (yes: is appended to)
 *   g        name, offset, count    one frame of raw bytes; count 0 reads to the end, a negative offset is 0
 *   a        name, offset           `ok`, then the connection is a raw stream of bytes to append
 *   s        name                   a status, after the file was synced
 *   d        name                   `ok`: removed
 *
 * Beyond the original, refused by it as unknown commands:
 *
 *   A        name, offset           `ok`, then pieces (below), each answered by a status once it is synced
 *   T        name, length           `ok`: cut to this length, synced
 *   C        name, length           crc32c of the first bytes, eight hex digits
 *   V        directory              `ok`: selected only if it is there
 *
 * What cannot be done is answered `ERROR: why`. A status is a frame `written TAB synced`, both in bytes and decimal.
 * A piece of a checked append (A) is a frame with the body
 *
 *   offset  size
 *        0     4  crc32c of the rest
 *        4     n  bytes to append, at least one
 *
 * Invariant: a name is one path element that is not hidden, so nothing outside the base directory can be named.
 */
import { crc32c } from "../../native/crc32c.ts";
import { ByteWriter, getU32, textOf, WireError } from "./bytes.ts";
import { frameOf } from "./frame.ts";

export const REPLICA_PORT = 9999;
export const REQUEST_BYTES_MAX = 16_384;
/** Bytes of one piece of a checked append, and of one answer to `g`. */
export const PIECE_BYTES_MAX = 1024 * 1024;
const PIECE_HEADER_BYTES = 4;
export const PIECE_BODY_BYTES_MAX = PIECE_HEADER_BYTES + PIECE_BYTES_MAX;
export const OK = "ok";
export const ERROR_PREFIX = "ERROR: ";

export type ReplicaRequest =
  | { command: "u" | "V"; directory: string }
  | { command: "l" }
  | { command: "g"; name: string; offset: number; count: number }
  | { command: "a" | "A"; name: string; offset: number }
  | { command: "s" | "d"; name: string }
  | { command: "T" | "C"; name: string; length: number };

export interface ReplicaFile {
  name: string;
  bytes: number;
  isAppending: boolean;
}

export interface ReplicaStatus {
  writtenBytes: number;
  syncedBytes: number;
}

const encoder = new TextEncoder();

export function replicaRequest(request: ReplicaRequest): Uint8Array<ArrayBuffer> {
  return textFrame(`${request.command}${fieldsOf(request).join("\t")}`);
}

function fieldsOf(request: ReplicaRequest): (string | number)[] {
  switch (request.command) {
    case "l":
      return [];
    case "u":
    case "V":
      return [request.directory];
    case "g":
      return [request.name, request.offset, request.count];
    case "a":
    case "A":
      return [request.name, request.offset];
    case "s":
    case "d":
      return [request.name];
    case "T":
    case "C":
      return [request.name, request.length];
  }
}

/** Reads the body of a request. Throws WireError, whose message is what the client is answered. */
export function readReplicaRequest(body: Uint8Array): ReplicaRequest {
  const text = textOf(body);
  const command = text.slice(0, 1);
  const [first = "", ...numbers] = text.length > 1 ? text.slice(1).split("\t") : [];
  switch (command) {
    case "l":
      return { command };
    case "u":
    case "V":
      return { command, directory: checkedName(first) };
    case "g": {
      const [offset = 0, count = 0] = numbers.map(integer);
      return { command, name: checkedName(first), offset: Math.max(0, offset), count: Math.max(0, count) };
    }
    case "a":
    case "A":
      return { command, name: checkedName(first), offset: natural(numbers[0]) };
    case "s":
    case "d":
      return { command, name: checkedName(first) };
    case "T":
    case "C":
      return { command, name: checkedName(first), length: natural(numbers[0]) };
    default:
      throw new WireError("unknown command");
  }
}

/** One element of a path: not hidden, no separator, nothing that a terminal would take for more than a name. */
export function checkedName(name: string): string {
  if (/^[^./\p{Cc}][^/\p{Cc}]{0,199}$/u.test(name)) return name;
  throw new WireError(`${JSON.stringify(name)} is not the name of a file`);
}

function integer(text: string | undefined): number {
  if (text === undefined || !/^-?\d{1,15}$/.test(text))
    throw new WireError(`${JSON.stringify(text ?? "")} is not a number`);
  return Number(text);
}

function natural(text: string | undefined): number {
  const value = integer(text);
  if (value < 0) throw new WireError(`${value} is below 0`);
  return value;
}

export function textFrame(text: string): Uint8Array<ArrayBuffer> {
  return frameOf(encoder.encode(text));
}

export function statusFrame({ writtenBytes, syncedBytes }: ReplicaStatus): Uint8Array<ArrayBuffer> {
  return textFrame(`${writtenBytes}\t${syncedBytes}`);
}

/** Throws WireError. */
export function readStatus(body: Uint8Array): ReplicaStatus {
  const [written, synced, ...more] = textOf(body).split("\t");
  if (more.length > 0) throw new WireError("a status has two fields");
  return { writtenBytes: natural(written), syncedBytes: natural(synced) };
}

export function listFrame(files: readonly ReplicaFile[]): Uint8Array<ArrayBuffer> {
  return textFrame(
    files
      .map(({ name, bytes, isAppending }) => `${name}\t${bytes}\t${isAppending ? "yes" : "no"}\n`)
      .join(""),
  );
}

/** Throws WireError. */
export function readList(body: Uint8Array): ReplicaFile[] {
  const lines = textOf(body).split("\n");
  if (lines.pop() !== "") throw new WireError("a list ends in the middle of a line");
  return lines.map((line) => {
    const [name = "", bytes, flag] = line.split("\t");
    if (flag !== "yes" && flag !== "no") throw new WireError("a line of a list has three fields");
    return { name: checkedName(name), bytes: natural(bytes), isAppending: flag === "yes" };
  });
}

/** Appends a whole piece of a checked append. */
export function writePiece(writer: ByteWriter, bytes: Uint8Array): void {
  writer.frame(() => void writer.u32(crc32c(bytes, 0)).raw(bytes));
}

/** The bytes of a piece, a view. Throws WireError when they are not those that were sent. */
export function readPiece(body: Uint8Array): Uint8Array {
  if (body.byteLength <= PIECE_HEADER_BYTES) throw new WireError("a piece is empty");
  const bytes = body.subarray(PIECE_HEADER_BYTES);
  if (crc32c(bytes, 0) !== getU32(body, 0)) throw new WireError("a piece fails its checksum");
  return bytes;
}
