/**
 * Cuts a byte stream into records by the framing that an application asked for.
 *
 * Invariant: a record is handed out only when it is whole, in order and once; one that is too long throws a WireError
 * before it is kept. The position within the stream is that behind the last record handed out.
 */
import type { Framing } from "../api/contract.ts";
import { getU32, WireError } from "../wire/bytes.ts";
import { FrameReader, type OnFrame } from "../wire/frame.ts";
import type { RecordWriter } from "./record-writer.ts";

const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;

export interface Splitter {
  feed(chunk: Uint8Array, onRecord: OnFrame): void;
  /** Bytes of a record whose rest has not come. */
  readonly waitingBytes: number;
}

export function splitterOf(framing: Framing): Splitter {
  if (framing.kind === "lines") return new LineSplitter(framing.recordBytesMax);
  if (framing.headerBytes === 4) return new FrameReader(() => framing.recordBytesMax);
  return new ShortFrameSplitter(framing.headerBytes, framing.recordBytesMax);
}

function lengthAt(bytes: Uint8Array, at: number, headerBytes: 1 | 2 | 4): number {
  if (headerBytes === 4) return getU32(bytes, at);
  const first = bytes[at] as number;
  return headerBytes === 1 ? first : (first << 8) | (bytes[at + 1] as number);
}

/** In a run of whole records: where the one begins that byte `at` belongs to. */
export function recordStartOf(bytes: Uint8Array, at: number, framing: Framing): number {
  if (framing.kind === "lines") return at === 0 ? 0 : bytes.lastIndexOf(LINE_FEED, at - 1) + 1;
  const { headerBytes } = framing;
  let start = 0;
  while (start + headerBytes <= at) {
    const end = start + headerBytes + lengthAt(bytes, start, headerBytes);
    if (end > at) break;
    start = end;
  }
  return start;
}

/** Writes one record with its framing: all of it, or, when `write` throws, nothing. */
export function writeRecord(out: RecordWriter, framing: Framing, write: (out: RecordWriter) => void): void {
  const at = out.length;
  try {
    writeFramed(out, framing, write);
  } catch (error) {
    out.cutTo(at);
    throw error;
  }
}

function writeFramed(out: RecordWriter, framing: Framing, write: (out: RecordWriter) => void): void {
  if (framing.kind === "lines") {
    write(out);
    out.u8(LINE_FEED);
  } else if (framing.headerBytes === 4) out.frame(() => write(out));
  else out.shortFrame(framing.headerBytes, () => write(out));
}

/** Keeps the bytes of an unfinished record in front of the next chunk. */
abstract class JoiningSplitter implements Splitter {
  #kept = new Uint8Array(0);

  get waitingBytes(): number {
    return this.#kept.byteLength;
  }

  feed(chunk: Uint8Array, onRecord: OnFrame): void {
    let bytes = chunk;
    if (this.#kept.byteLength > 0) {
      bytes = new Uint8Array(this.#kept.byteLength + chunk.byteLength);
      bytes.set(this.#kept);
      bytes.set(chunk, this.#kept.byteLength);
    }
    const end = this.cut(bytes, onRecord);
    this.#kept = Uint8Array.from(bytes.subarray(end));
  }

  /** Hands out whole records; returns where the unfinished one begins. */
  protected abstract cut(bytes: Uint8Array, onRecord: OnFrame): number;
}

class LineSplitter extends JoiningSplitter {
  readonly #bytesMax: number;
  constructor(bytesMax: number) {
    super();
    this.#bytesMax = bytesMax;
  }

  protected cut(bytes: Uint8Array, onRecord: OnFrame): number {
    let start = 0;
    for (;;) {
      const end = bytes.indexOf(LINE_FEED, start);
      if ((end < 0 ? bytes.byteLength : end) - start > this.#bytesMax)
        throw new WireError(`a line is longer than ${this.#bytesMax} bytes`);
      if (end < 0) return start;
      const isReturned = end > start && bytes[end - 1] === CARRIAGE_RETURN;
      const goesOn = onRecord(bytes, start, isReturned ? end - 1 : end);
      start = end + 1;
      if (goesOn === false) return bytes.byteLength;
    }
  }
}

class ShortFrameSplitter extends JoiningSplitter {
  readonly #headerBytes: 1 | 2;
  readonly #bytesMax: number;
  constructor(headerBytes: 1 | 2, bytesMax: number) {
    super();
    this.#headerBytes = headerBytes;
    this.#bytesMax = bytesMax;
  }

  protected cut(bytes: Uint8Array, onRecord: OnFrame): number {
    let at = 0;
    while (bytes.byteLength - at >= this.#headerBytes) {
      const length = lengthAt(bytes, at, this.#headerBytes);
      if (length > this.#bytesMax)
        throw new WireError(`a record of ${length} bytes is announced, ${this.#bytesMax} are allowed`);
      const end = at + this.#headerBytes + length;
      if (end > bytes.byteLength) break;
      const goesOn = onRecord(bytes, at + this.#headerBytes, end);
      at = end;
      if (goesOn === false) return bytes.byteLength;
    }
    return at;
  }
}
