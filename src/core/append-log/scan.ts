/**
 * Reads one log file front to back, in large chunks, and says how it ends.
 *
 * Invariant: `onFrame` sees only frames whose header and payload checksums fit, in order, without a gap. The
 * first frame that does not fit ends the reading. Whether that is a torn tail or damage is told by what
 * follows: a frame is written only after its predecessor was synced, so a valid frame behind a bad one proves
 * that the bad one was whole once.
 */
import type { Crc32c } from "../crc32c.ts";
import type { DiskFile } from "../seams/disk.ts";
import {
  corrupt,
  decodeFileHeader,
  FILE_HEADER_BYTES,
  FRAME_ALIGN_BYTES,
  FRAME_HEADER_BYTES,
  frameBytes,
  FrameCodec,
  FrameKind,
  newBuffer,
  viewOf,
  type FileHeader,
  type FrameHeader,
} from "./frame.ts";

/** Where a payload stood, for messages. */
export interface FrameSource {
  path: string;
  /** Of the payload's first byte. */
  offset: number;
}

/** Takes the payload of one data frame; the bytes are only valid during the call. */
export type OnFrame = (payload: Uint8Array, source: FrameSource) => void;

export interface Scan {
  header: FileHeader;
  dataFrames: number;
  payloadBytes: number;
  /** Number that the next frame would have. */
  nextFrame: number;
  /** Of the last good frame; `endOffset` when there is none. */
  lastFrameOffset: number;
  /** Just behind the last good frame. */
  endOffset: number;
  fileBytes: number;
  /** Non-zero bytes behind `endOffset` reach this far; equal to `endOffset` when only zeros follow. */
  residueEnd: number;
  /** Offset of a valid frame somewhere behind `endOffset`: then what lies between was damaged. */
  strayFrame: number | undefined;
  /** Payload of the end frame, in a complete snapshot. */
  endPayload: Uint8Array | undefined;
  /** Whether the last good frame is a seal. */
  isSealed: boolean;
}

export interface ScanOptions {
  crc32c: Crc32c;
  /** How much is read at once. */
  chunkBytes: number;
  /** Sees the header before any frame; throws when it is not the one expected. */
  onHeader?: (header: FileHeader, path: string) => void;
  /** Start at this frame, whatever its number: for what lies behind damage. */
  resumeAt?: number;
}

const UNKNOWN_FRAME = -1;

/** A window over a file that grows to hold any frame and is refilled in chunks. */
class Window {
  bytes: Uint8Array;
  view: DataView;
  /** File offset of bytes[0]. */
  start: number;
  length = 0;
  #file: DiskFile;

  constructor(file: DiskFile, start: number, chunkBytes: number) {
    this.#file = file;
    this.start = start;
    this.bytes = newBuffer(chunkBytes);
    this.view = viewOf(this.bytes);
  }

  /** Makes `count` bytes at file offset `offset` available, if the file has them. */
  async ensure(offset: number, count: number): Promise<boolean> {
    if (offset + count <= this.start + this.length) return true;
    const kept = this.start + this.length - offset;
    const capacity = Math.max(this.bytes.byteLength, count);
    const bytes = capacity === this.bytes.byteLength ? this.bytes : newBuffer(capacity);
    bytes.set(this.bytes.subarray(offset - this.start, this.length), 0);
    this.bytes = bytes;
    this.view = viewOf(bytes);
    this.start = offset;
    this.length = kept + (await this.#file.read(bytes.subarray(kept), offset + kept));
    return count <= this.length;
  }

  slice(offset: number, count: number): Uint8Array {
    return this.bytes.subarray(offset - this.start, offset - this.start + count);
  }
}

export async function scanFile(
  file: DiskFile,
  path: string,
  options: ScanOptions,
  onFrame: OnFrame,
): Promise<Scan> {
  const headerBytes = new Uint8Array(FILE_HEADER_BYTES);
  const count = await file.read(headerBytes, 0);
  const header = decodeFileHeader(headerBytes.subarray(0, count), path, options.crc32c);
  options.onHeader?.(header, path);
  const codec = new FrameCodec(header.id, options.crc32c);
  const fileBytes = await file.size();
  const start = options.resumeAt ?? FILE_HEADER_BYTES;
  const window = new Window(file, start, options.chunkBytes);
  const scan: Scan = {
    header,
    dataFrames: 0,
    payloadBytes: 0,
    nextFrame: options.resumeAt === undefined ? header.firstFrame : UNKNOWN_FRAME,
    lastFrameOffset: start,
    endOffset: start,
    fileBytes,
    residueEnd: 0,
    strayFrame: undefined,
    endPayload: undefined,
    isSealed: false,
  };
  while (scan.endPayload === undefined && (await readFrame(window, codec, scan, path, onFrame)));
  await inspectResidue(file, codec, scan, options.chunkBytes);
  return scan;
}

async function readFrame(
  window: Window,
  codec: FrameCodec,
  scan: Scan,
  path: string,
  onFrame: OnFrame,
): Promise<boolean> {
  const offset = scan.endOffset;
  if (!(await window.ensure(offset, FRAME_HEADER_BYTES))) return false;
  const header = codec.headerAt(window.view, offset - window.start, offset);
  if (header === undefined) return false;
  const total = frameBytes(header.payloadBytes);
  // The length is covered by the header's checksum, and bounded by the file before memory is taken for it.
  if (offset + total > scan.fileBytes || !(await window.ensure(offset, total))) return false;
  const body = window.slice(offset + FRAME_HEADER_BYTES, total - FRAME_HEADER_BYTES);
  if (!codec.isIntact(header, body)) return false;
  if (scan.nextFrame === UNKNOWN_FRAME) scan.nextFrame = header.number;
  if (header.number !== scan.nextFrame) {
    throw corrupt(path, offset, `frame ${scan.nextFrame} is missing, frame ${header.number} stands here`);
  }
  take(header, body.subarray(0, header.payloadBytes), scan, path, onFrame);
  scan.nextFrame += 1;
  scan.lastFrameOffset = offset;
  scan.endOffset = offset + total;
  return true;
}

function take(header: FrameHeader, payload: Uint8Array, scan: Scan, path: string, onFrame: OnFrame): void {
  scan.isSealed = header.kind === FrameKind.seal;
  switch (header.kind) {
    case FrameKind.data:
      onFrame(payload, { path, offset: scan.endOffset + FRAME_HEADER_BYTES });
      scan.dataFrames += 1;
      scan.payloadBytes += payload.byteLength;
      break;
    case FrameKind.seal:
      break;
    case FrameKind.end:
      scan.endPayload = payload.slice();
      break;
    default:
      throw corrupt(path, scan.endOffset, `frame kind ${header.kind as number} is unknown`);
  }
}

/**
 * Looks behind the last good frame: at anything that is not zero, and at frames that are valid all the same.
 */
async function inspectResidue(
  file: DiskFile,
  codec: FrameCodec,
  scan: Scan,
  chunkBytes: number,
): Promise<void> {
  const zeros = new Uint8Array(chunkBytes);
  const window = new Window(file, scan.endOffset, chunkBytes + FRAME_HEADER_BYTES);
  scan.residueEnd = scan.endOffset;
  for (let offset = scan.endOffset; offset < scan.fileBytes; offset += chunkBytes) {
    const length = Math.min(chunkBytes, scan.fileBytes - offset);
    await window.ensure(offset, Math.min(length + FRAME_HEADER_BYTES, scan.fileBytes - offset));
    const chunk = window.slice(offset, length);
    if (Buffer.compare(chunk, zeros.subarray(0, chunk.byteLength)) === 0) continue;
    let last = chunk.byteLength - 1;
    while (chunk[last] === 0) last -= 1;
    scan.residueEnd = offset + last + 1;
    for (let at = 0; at < length && scan.strayFrame === undefined; at += FRAME_ALIGN_BYTES) {
      const candidate = offset + at - window.start;
      if (candidate + FRAME_HEADER_BYTES > window.length || offset + at === scan.endOffset) continue;
      if (codec.headerAt(window.view, candidate, offset + at) !== undefined) scan.strayFrame = offset + at;
    }
  }
}
