/**
 * Loads what a log directory holds and leaves it ready for the next segment.
 *
 * Invariant: either every acknowledged append is replayed, in order and once, or NX_DATA_CORRUPT names file
 * and byte and nothing was changed. What is replayed is durable before this returns: a tail that a killed
 * process wrote but never synced is synced here, because readers will see it.
 *
 * A bad frame at the very end of the last segment is a torn tail and cut. It is damage when a valid frame (a
 * seal is enough) or another segment follows. See `log-file.ts` for the window in which the two look alike.
 */
import type { Crc32c } from "../crc32c.ts";
import type { Disk, DiskFile } from "../seams/disk.ts";
import { makeDurableDirectory } from "../seams/durable-files.ts";
import { NxError } from "../errors.ts";
import { layoutOf, segmentName, snapshotName, type LogLayout } from "./directory.ts";
import { corrupt, FileKind, newBuffer, type FileHeader } from "./frame.ts";
import { scanFile, type OnFrame, type Scan } from "./scan.ts";
import { isEndOf } from "./snapshot.ts";

export interface RecoverOptions {
  disk: Disk;
  directory: string;
  crc32c: Crc32c;
  payloadFormat: number;
  readChunkBytes: number;
}

export interface Replay {
  /** Payloads of the newest snapshot, before any of the log. */
  onSnapshot: OnFrame;
  /** Payloads of the log behind it: each is one group, the concatenation of its appends. */
  onFrame: OnFrame;
}

export interface Recovered {
  /** Payload bytes appended in this log's life. */
  position: number;
  nextFrame: number;
  /** Of the segment to begin; it may replace one that holds no frame. */
  nextSequence: number;
  snapshotBytes: number;
  /** Bytes of frames in the segments behind the snapshot. */
  logBytes: number;
  /** Bytes of a torn tail that were cut; 0 after a clean stop. */
  tornBytes: number;
  tornPath: string | undefined;
}

export async function recover(options: RecoverOptions, replay: Replay): Promise<Recovered> {
  const { disk, directory } = options;
  await makeDurableDirectory(disk, directory);
  // A killed process may have left names in doubt; what is decided below rests on them.
  await disk.syncDirectory(directory);
  const layout = layoutOf(await disk.list(directory), directory);
  const recovered: Recovered = {
    position: 0,
    nextFrame: 0,
    nextSequence: layout.snapshot ?? 1,
    snapshotBytes: 0,
    logBytes: 0,
    tornBytes: 0,
    tornPath: undefined,
  };
  if (layout.snapshot !== undefined)
    await loadSnapshot(options, layout.snapshot, replay.onSnapshot, recovered);
  for (const sequence of layout.segments)
    await loadSegment(options, layout, sequence, replay.onFrame, recovered);
  for (const name of layout.leftovers) await disk.remove(`${directory}/${name}`);
  return recovered;
}

async function loadSnapshot(
  options: RecoverOptions,
  sequence: number,
  onFrame: OnFrame,
  recovered: Recovered,
): Promise<void> {
  const path = `${options.directory}/${snapshotName(sequence)}`;
  await withFile(options.disk, path, "read", async (file) => {
    const scan = await scanFile(file, path, checking(options, FileKind.snapshot, sequence), onFrame);
    checkSnapshotEnd(scan, path);
    recovered.position = scan.header.position;
    recovered.snapshotBytes = scan.fileBytes;
  });
}

/** A snapshot has its name only when it is complete, so anything else is damage. */
export function checkSnapshotEnd(scan: Scan, path: string): void {
  if (scan.endPayload === undefined)
    throw corrupt(path, scan.endOffset, "a frame of this snapshot is damaged");
  if (!isEndOf(scan.endPayload, scan.dataFrames, scan.payloadBytes)) {
    throw corrupt(path, scan.endOffset, "the end frame counts other frames than there are");
  }
  if (scan.fileBytes !== scan.endOffset) throw corrupt(path, scan.endOffset, "bytes follow the end frame");
}

async function loadSegment(
  options: RecoverOptions,
  layout: LogLayout,
  sequence: number,
  onFrame: OnFrame,
  recovered: Recovered,
): Promise<void> {
  const path = `${options.directory}/${segmentName(sequence)}`;
  const isFirst = sequence === layout.segments[0];
  const isLast = sequence === layout.segments.at(-1);
  await withFile(options.disk, path, isLast ? "readWrite" : "read", async (file) => {
    const expected = { position: recovered.position, firstFrame: isFirst ? undefined : recovered.nextFrame };
    const scan = await scanFile(file, path, checking(options, FileKind.segment, sequence, expected), onFrame);
    checkSegmentEnd(scan, path, isLast);
    recovered.position += scan.payloadBytes;
    recovered.nextFrame = scan.nextFrame;
    recovered.logBytes += scan.endOffset;
    const isUsed = scan.nextFrame > scan.header.firstFrame;
    recovered.nextSequence = isUsed ? sequence + 1 : sequence;
    if (isLast) {
      recovered.tornBytes = scan.residueEnd - scan.endOffset;
      if (recovered.tornBytes > 0) recovered.tornPath = path;
      if (isUsed) await secureTail(file, scan);
    }
  });
}

/** Throws unless this end is one that a crash can leave. */
export function checkSegmentEnd(scan: Scan, path: string, isLast: boolean): void {
  if (scan.strayFrame !== undefined) {
    throw corrupt(path, scan.endOffset, `a frame is damaged, a valid one follows at byte ${scan.strayFrame}`);
  }
  if (!isLast && scan.residueEnd > scan.endOffset) {
    throw corrupt(path, scan.endOffset, "a frame is damaged, and another segment follows");
  }
}

/**
 * Cuts what is behind the last good frame and makes that frame durable. It is the only one in doubt: each
 * frame before it was synced before its successor was written. A sync alone would not do: if a sync of the
 * killed process had failed, the kernel shows the frame from memory but will never write it, so it is written
 * again.
 */
async function secureTail(file: DiskFile, scan: Scan): Promise<void> {
  if (scan.fileBytes > scan.endOffset) await file.truncate(scan.endOffset);
  const lastFrame = newBuffer(scan.endOffset - scan.lastFrameOffset);
  await file.read(lastFrame, scan.lastFrameOffset);
  await file.write(lastFrame, scan.lastFrameOffset);
  await file.sync();
}

function checking(
  options: RecoverOptions,
  kind: FileKind,
  sequence: number,
  expected: { position?: number; firstFrame?: number | undefined } = {},
) {
  const onHeader = (header: FileHeader, path: string) => {
    checkName(header, path, kind, sequence);
    checkHeader(header, path, options.payloadFormat, expected);
  };
  return { crc32c: options.crc32c, chunkBytes: options.readChunkBytes, onHeader };
}

/** Throws when the file does not have its own name. */
export function checkName(header: FileHeader, path: string, kind: FileKind, sequence: number): void {
  if (header.kind !== kind || header.sequence !== sequence) {
    throw corrupt(path, 0, `this is file ${header.sequence} of kind ${header.kind} under another name`);
  }
}

/** Throws NX_DATA_VERSION for what another role, or another version, wrote. */
export function checkPayloadFormat(header: FileHeader, path: string, payloadFormat: number): void {
  if (header.payloadFormat === payloadFormat) return;
  const formats = `${header.payloadFormat}, this program reads ${payloadFormat}`;
  throw new NxError("NX_DATA_VERSION", `${path} has payload format ${formats}`, {
    hint: "take the role and the version of node-x that wrote this directory",
  });
}

/** Throws when the payloads are of another version, or the file does not continue the one before it. */
function checkHeader(
  header: FileHeader,
  path: string,
  payloadFormat: number,
  expected: { position?: number; firstFrame?: number | undefined },
): void {
  checkPayloadFormat(header, path, payloadFormat);
  for (const key of ["position", "firstFrame"] as const) {
    if (expected[key] !== undefined && header[key] !== expected[key]) {
      throw corrupt(path, 0, `${key} is ${header[key]}, but the files before end at ${expected[key]}`);
    }
  }
}

export async function withFile(
  disk: Disk,
  path: string,
  mode: "read" | "readWrite",
  use: (file: DiskFile) => Promise<void>,
): Promise<void> {
  const file = await disk.open(path, mode);
  try {
    await use(file);
  } finally {
    await file.close();
  }
}
