/**
 * Writes a snapshot beside a running log.
 *
 * Invariant: `snapshot-N.nxl` appears in one step, complete and synced: it is written as `.tmp`, closed with
 * an end frame that counts its frames and bytes, synced, renamed, and the directory is synced. Until then the
 * previous snapshot and all segments stay, so every crash leaves a directory that loads.
 */
import type { Crc32c } from "../crc32c.ts";
import type { Disk, DiskFile } from "../seams/disk.ts";
import { layoutOf, snapshotName, snapshotTmpName } from "./directory.ts";
import {
  encodeFileHeader,
  END_PAYLOAD_BYTES,
  FILE_HEADER_BYTES,
  FrameCodec,
  FrameKind,
  getUint64,
  newBuffer,
  setUint64,
  viewOf,
  type FileHeader,
  type FrameKind as Kind,
} from "./frame.ts";
import { Group } from "./group.ts";
import { STEP_BYTES, type Pace } from "./pace.ts";
import { discard, removeIfExists } from "./segment.ts";

/** Payload gathered into one frame, which is one step of the background's pace. */
const FRAME_PAYLOAD_BYTES = STEP_BYTES;

export interface SnapshotTarget {
  disk: Disk;
  pace: Pace;
  directory: string;
  crc32c: Crc32c;
  /** `sequence` is that of the segment that continues this snapshot, `position` where it begins. */
  header: FileHeader;
}

export type Chunks = AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

/**
 * Writes all `chunks` and gives the snapshot its name; returns its size in bytes. Leaves nothing when it
 * fails. `assertWanted` throws when the snapshot is no longer of use.
 */
export async function writeSnapshot(
  target: SnapshotTarget,
  chunks: Chunks,
  assertWanted: () => void,
  beforeNaming: () => Promise<void>,
): Promise<number> {
  const { disk, directory } = target;
  const { sequence } = target.header;
  const tmpPath = `${directory}/${snapshotTmpName(sequence)}`;
  await removeIfExists(disk, tmpPath);
  const file = await disk.open(tmpPath, "exclusive");
  const writer = new SnapshotWriter(file, target);
  try {
    await writer.begin();
    for await (const chunk of chunks) {
      assertWanted();
      await writer.add(chunk);
    }
    await writer.finish();
    await beforeNaming();
  } catch (error) {
    await discard(disk, tmpPath, file);
    throw error;
  }
  await file.close();
  await disk.rename(tmpPath, `${directory}/${snapshotName(sequence)}`);
  await disk.syncDirectory(directory);
  return writer.bytes;
}

class SnapshotWriter {
  /** Written so far. */
  bytes = 0;
  #file: DiskFile;
  #target: SnapshotTarget;
  #codec: FrameCodec;
  #group = new Group(newBuffer(FRAME_PAYLOAD_BYTES + (64 << 10)));
  #frames = 0;
  #payloadBytes = 0;

  constructor(file: DiskFile, target: SnapshotTarget) {
    this.#file = file;
    this.#target = target;
    this.#codec = new FrameCodec(target.header.id, target.crc32c);
  }

  async begin(): Promise<void> {
    const { header, crc32c } = this.#target;
    await this.#file.write(encodeFileHeader(header, crc32c), 0);
    this.bytes = FILE_HEADER_BYTES;
  }

  async add(chunk: Uint8Array): Promise<void> {
    this.#group.add(chunk);
    if (this.#group.payloadBytes >= FRAME_PAYLOAD_BYTES) await this.#writeGroup();
  }

  async finish(): Promise<void> {
    if (this.#group.payloadBytes > 0) await this.#writeGroup();
    const end = new Group(newBuffer(256));
    const counts = new Uint8Array(END_PAYLOAD_BYTES);
    setUint64(viewOf(counts), 0, this.#frames);
    setUint64(viewOf(counts), 8, this.#payloadBytes);
    end.add(counts);
    await this.#writeFrame(end, FrameKind.end);
    await this.#file.sync();
  }

  async #writeGroup(): Promise<void> {
    await this.#target.pace.step(async () => {
      await this.#writeFrame(this.#group, FrameKind.data);
      await this.#file.sync();
    });
    this.#frames += 1;
    this.#payloadBytes += this.#group.payloadBytes;
    this.#group.payloadBytes = 0;
  }

  async #writeFrame(group: Group, kind: Kind): Promise<void> {
    const frame = group.frame();
    this.#codec.seal(frame, kind, this.#frames, group.payloadBytes, this.bytes);
    await this.#file.write(frame, this.bytes);
    this.bytes += frame.byteLength;
  }
}

/** Whether an end frame's payload has these counts. */
export function isEndOf(payload: Uint8Array, frames: number, payloadBytes: number): boolean {
  if (payload.byteLength !== END_PAYLOAD_BYTES) return false;
  return getUint64(viewOf(payload), 0) === frames && getUint64(viewOf(payload), 8) === payloadBytes;
}

/**
 * Removes what the newest snapshot replaces. Large files lose their end bit by bit first: freeing hundreds of
 * megabytes in one go (and discarding them on the device) makes the log's own sync wait for tens of milliseconds.
 * A leftover of any length is a leftover, so a crash in between costs nothing.
 */
export async function removeOlder(disk: Disk, directory: string, pace: Pace): Promise<void> {
  const { leftovers } = layoutOf(await disk.list(directory), directory);
  for (const name of leftovers) {
    const path = `${directory}/${name}`;
    await shrink(disk, path, pace);
    await disk.remove(path);
  }
}

/** Freed at once. */
const SHRINK_BYTES = 4 << 20;

async function shrink(disk: Disk, path: string, pace: Pace): Promise<void> {
  const file = await disk.open(path, "readWrite");
  try {
    for (let size = (await file.size()) - SHRINK_BYTES; size > 0; size -= SHRINK_BYTES) {
      await pace.step(async () => {
        await file.truncate(size);
        await file.sync();
      });
    }
  } finally {
    await file.close();
  }
}
