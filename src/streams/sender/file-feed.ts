/**
 * A file as records: lines, frames, or pieces of equal length.
 *
 * Invariant: every byte of the file is in exactly one record, but for line ends and the headers of frames; a file whose
 * last frame is torn is refused, not sent in part.
 */
import { NxError } from "../../core/errors.ts";
import type { Disk } from "../../core/seams/disk.ts";
import { getU32 } from "../wire/bytes.ts";
import { FRAME_HEADER_BYTES } from "../wire/frame.ts";
import { storedFeed, type Feed } from "./feed.ts";

export const fileForms = ["lines", "frames", "chunks"] as const;

export interface FileFeedOptions {
  path: string;
  /** lines: one record a line. frames: the file holds frames, as they are sent. chunks: pieces, sent without frames. */
  form: (typeof fileForms)[number];
  chunkBytes: number;
  /** Records in all; 0: those of the file, once. More than the file has: it is begun again. */
  records: number;
}

const FILE_BYTES_MAX = 1024 * 1024 * 1024;
const LINE_FEED = 10;

/** Throws NX_INPUT_INVALID or NX_DISK_FAILED. */
export async function fileFeed(disk: Disk, options: FileFeedOptions): Promise<Feed> {
  const bytes = await readWhole(disk, options.path);
  const { content, starts } = cut(bytes, options);
  return storedFeed(
    content,
    starts,
    options.records === 0 ? starts.length - 1 : options.records,
    options.form !== "chunks",
  );
}

async function readWhole(disk: Disk, path: string): Promise<Uint8Array> {
  if (!(await disk.exists(path))) throw new NxError("NX_INPUT_INVALID", `${path} is not there`);
  const file = await disk.open(path, "read");
  try {
    const size = await file.size();
    if (size > FILE_BYTES_MAX)
      throw new NxError("NX_INPUT_INVALID", `${path} has ${size} bytes`, { hint: "at most 1 GiB is sent" });
    const bytes = new Uint8Array(size);
    for (let at = 0; at < size;) {
      const read = await file.read(bytes.subarray(at), at);
      if (read === 0) return bytes.subarray(0, at);
      at += read;
    }
    return bytes;
  } finally {
    await file.close();
  }
}

interface Cut {
  content: Uint8Array;
  starts: Float64Array;
}

function cut(bytes: Uint8Array, { path, form, chunkBytes }: FileFeedOptions): Cut {
  switch (form) {
    case "lines":
      return withoutSeparators(bytes, lineBounds(bytes));
    case "frames":
      return withoutSeparators(bytes, frameBounds(bytes, path));
    case "chunks": {
      const count = Math.ceil(bytes.byteLength / chunkBytes);
      const starts = Float64Array.from({ length: count + 1 }, (_, index) =>
        Math.min(index * chunkBytes, bytes.byteLength),
      );
      return { content: bytes, starts };
    }
  }
}

function* lineBounds(bytes: Uint8Array): Generator<[start: number, end: number]> {
  for (let start = 0; start < bytes.byteLength;) {
    const found = bytes.indexOf(LINE_FEED, start);
    const end = found < 0 ? bytes.byteLength : found;
    yield [start, end];
    start = end + 1;
  }
}

function* frameBounds(bytes: Uint8Array, path: string): Generator<[start: number, end: number]> {
  for (let at = 0; at < bytes.byteLength;) {
    const start = at + FRAME_HEADER_BYTES;
    const end = start + (start <= bytes.byteLength ? getU32(bytes, at) : 0);
    if (end > bytes.byteLength)
      throw new NxError("NX_INPUT_INVALID", `${path} ends within the frame at byte ${at}`, {
        hint: "the file must hold whole frames: a length of four bytes, big-endian, then so many bytes",
      });
    yield [start, end];
    at = end;
  }
}

/** Moves the records together, in place. */
function withoutSeparators(bytes: Uint8Array, bounds: Iterable<[start: number, end: number]>): Cut {
  const starts = [0];
  let length = 0;
  for (const [start, end] of bounds) {
    bytes.copyWithin(length, start, end);
    length += end - start;
    starts.push(length);
  }
  return { content: bytes.subarray(0, length), starts: Float64Array.from(starts) };
}
