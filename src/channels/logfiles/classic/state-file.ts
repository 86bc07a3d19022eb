/**
 * What makes a flush into bucket files all or nothing: a small file beside the channels.
 *
 * Before a flush it names the files that will grow and their sizes; after it, the numbers of the records that are in files
 * from then on. A start that finds a flush under way cuts those files back; their records are in the append log.
 *
 * Invariant: the file is replaced atomically, so it says "flushing" or "flushed", never half. A checksum tells damage.
 * Two lines: the CRC-32C of the second as 8 hex digits, then JSON.
 */
import type { Disk } from "../../../core/seams/disk.ts";
import { corrupt } from "../../../core/append-log/frame.ts";
import { writeFileAtomically } from "../../../core/seams/durable-files.ts";
import { crc32c } from "../../../native/crc32c.ts";
import { withFile } from "../segments/read.ts";

/** No channel can be called so, and the originals pass over files here. */
export const STATE_FILE = ".flush-state";

export interface FlushState {
  /** By channel: records below this number are in files (before a flush that is under way). */
  numbers: Record<string, number>;
  /** Files that a flush is growing, relative to the directory of the channels, and their sizes before. */
  flushing: Record<string, number> | undefined;
}

export async function readState(disk: Disk, path: string): Promise<FlushState> {
  if (!(await disk.exists(path))) return { numbers: {}, flushing: undefined };
  const text = await withFile(disk, path, async (file) => {
    const bytes = new Uint8Array(await file.size());
    return Buffer.from(bytes.subarray(0, await file.read(bytes, 0))).toString();
  });
  const [checksum = "", json = ""] = text.split("\n");
  if (crc32c(Buffer.from(json)).toString(16).padStart(8, "0") !== checksum)
    throw corrupt(path, 0, "the state of the last flush is damaged");
  const { numbers, flushing } = JSON.parse(json) as FlushState;
  return { numbers, flushing };
}

export async function writeState(disk: Disk, path: string, state: FlushState): Promise<void> {
  const json = JSON.stringify(state);
  const checksum = crc32c(Buffer.from(json)).toString(16).padStart(8, "0");
  await writeFileAtomically(disk, path, `${checksum}\n${json}\n`);
}
