/**
 * One log segment while it is written, and the spare that will become the next one.
 *
 * Invariant: a segment gets its name only when its blocks were allocated, its header was synced, and every
 * frame of the segments before it was synced. Zeros are written into a spare beforehand, so that a full disk
 * shows before the space is needed, and so that a sync has no metadata to commit. A crash leaves at most one
 * `spare.tmp`.
 */
import type { Disk, DiskFile } from "../seams/disk.ts";
import { errnoOf, NxError } from "../errors.ts";
import { segmentName, SPARE_NAME } from "./directory.ts";
import type { Crc32c } from "../crc32c.ts";
import {
  encodeFileHeader,
  FILE_BYTES_MAX,
  FILE_HEADER_BYTES,
  frameBytes,
  FrameCodec,
  type FileHeader,
  type FrameKind,
} from "./frame.ts";
import { STEP_BYTES, type Pace } from "./pace.ts";

export function isDiskFull(error: unknown): error is NxError {
  return error instanceof NxError && error.code === "NX_DISK_FULL";
}

export interface Spare {
  file: DiskFile;
  bytes: number;
}

/** Allocates `spare.tmp` for `bytes`, zeroed as far as time allows. When it fails, nothing of it is left behind. */
export async function allocateSpare(
  disk: Disk,
  directory: string,
  bytes: number,
  pace: Pace,
): Promise<Spare> {
  const path = `${directory}/${SPARE_NAME}`;
  await removeIfExists(disk, path);
  const file = await disk.open(path, "exclusive");
  try {
    // Once the log waits for it, what is zeroed has to do: the rest is allocated as it is written, which costs less than
    // writing everything twice when the disk's bandwidth is the limit. A full disk then shows at a write.
    for (let size = 0; size < bytes && !(pace.isUrgent && size > 0);) {
      size = Math.min(size + STEP_BYTES, bytes);
      await pace.step(async () => {
        await file.allocate(size);
        await file.sync();
      });
    }
    return { file, bytes };
  } catch (error) {
    await discard(disk, path, file);
    throw error;
  }
}

/** Closes and removes a file that failed; the failure that led here is the one to report. */
export async function discard(disk: Disk, path: string, file: DiskFile): Promise<void> {
  await file.close().catch(() => undefined);
  await disk.remove(path).catch(() => undefined);
}

export async function removeIfExists(disk: Disk, path: string): Promise<void> {
  try {
    await disk.remove(path);
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
  }
}

/**
 * For what must not be tried again, whatever its reason: a sync, because the kernel may have dropped what it
 * could not write, and everything behind the rename, because the spare is no spare any more.
 */
async function finalOnFailure<Value>(operation: Promise<Value>): Promise<Value> {
  try {
    return await operation;
  } catch (error) {
    if (!isDiskFull(error)) throw error;
    throw new NxError("NX_DISK_FAILED", error.message, { hint: error.hint ?? "", cause: error });
  }
}

export class Segment {
  readonly path: string;
  readonly sequence: number;
  /** Where the next frame goes. */
  offset = FILE_HEADER_BYTES;
  /** Whether something was written at `offset` that did not become a frame. */
  hasResidue = false;
  readonly #file: DiskFile;
  readonly #bytes: number;
  readonly #codec: FrameCodec;

  private constructor(path: string, header: FileHeader, spare: Spare, crc32c: Crc32c) {
    this.path = path;
    this.sequence = header.sequence;
    this.#file = spare.file;
    this.#bytes = spare.bytes;
    this.#codec = new FrameCodec(header.id, crc32c);
  }

  /**
   * Makes the spare the segment that `header` describes; may be repeated when it failed for want of space.
   */
  static async begin(
    disk: Disk,
    directory: string,
    crc32c: Crc32c,
    spare: Spare,
    header: FileHeader,
  ): Promise<Segment> {
    const path = `${directory}/${segmentName(header.sequence)}`;
    await spare.file.write(encodeFileHeader(header, crc32c), 0);
    await finalOnFailure(spare.file.sync());
    await disk.rename(`${directory}/${SPARE_NAME}`, path);
    await finalOnFailure(disk.syncDirectory(directory));
    // Opened again under its name, so that errors name the file that an operator finds.
    const file = await finalOnFailure(disk.open(path, "readWrite"));
    await finalOnFailure(spare.file.close());
    return new Segment(path, header, { file, bytes: spare.bytes }, crc32c);
  }

  /** Whether a frame and the seal behind it have their place; the first frame always has. */
  fits(payloadBytes: number): boolean {
    const end = this.offset + frameBytes(payloadBytes) + frameBytes(0);
    return end <= this.#bytes || (this.offset === FILE_HEADER_BYTES && end <= FILE_BYTES_MAX);
  }

  /** Writes a frame (see `FrameCodec.seal`) at the end and syncs it. Not counted before `advance`. */
  write(frame: Uint8Array, kind: FrameKind, number: number, payloadBytes: number): Promise<void> {
    this.#codec.seal(frame, kind, number, payloadBytes, this.offset);
    this.hasResidue = true;
    return this.#file.writeDurably(frame, this.offset);
  }

  /** The frame that was written last is durable: the next one goes behind it. */
  advance(bytes: number): void {
    this.offset += bytes;
    this.hasResidue = false;
  }

  /** Gives unused blocks back; nothing is written here any more. */
  async finish(): Promise<void> {
    await this.#file.truncate(this.offset);
    await finalOnFailure(this.#file.sync());
    this.hasResidue = false;
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}
