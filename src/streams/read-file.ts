/** Part of a file, piece by piece, or its end alone. */
import type { Disk } from "../core/seams/disk.ts";

const READ_BYTES = 256 * 1024;

/** From `start` to `end`, or to the file's end. */
export async function* fileChunks(
  disk: Disk,
  path: string,
  start = 0,
  end?: number,
): AsyncGenerator<Uint8Array> {
  const file = await disk.open(path, "read");
  try {
    const until = Math.min(end ?? Number.POSITIVE_INFINITY, await file.size());
    for (let at = start; at < until;) {
      const chunk = new Uint8Array(Math.min(READ_BYTES, until - at));
      const read = await file.read(chunk, at);
      if (read === 0) return;
      yield chunk.subarray(0, read);
      at += read;
    }
  } finally {
    await file.close();
  }
}

/** Its last bytes, at most so many. */
export async function endOfFile(disk: Disk, path: string, bytesMax: number): Promise<Uint8Array> {
  const file = await disk.open(path, "read");
  try {
    const size = await file.size();
    const start = Math.max(0, size - bytesMax);
    const bytes = new Uint8Array(size - start);
    return bytes.subarray(0, await file.read(bytes, start));
  } finally {
    await file.close();
  }
}
