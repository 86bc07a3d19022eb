/**
 * Walks one bucket file: how much of it is whole, and what is wrong behind that; and repairs it.
 *
 * Invariant of a repair: the good records are synced in `<bucket>.repairing`, the original gets the further name
 * `<bucket>.broken`, and only then the copy takes the original's place. The name is there at every moment.
 */
import type { Disk, DiskFile } from "../../../core/seams/disk.ts";
import { type BucketEnd, BucketReader } from "../../../native/logfiles/pages.ts";
import { withFile } from "../segments/read.ts";
import { ChunkReader } from "../scan/source.ts";

export interface BucketReport {
  /** Of the format: 1, or 0 for legacy. */
  version: number;
  fileBytes: number;
  /** Behind the last whole record (or where the file begins). */
  wholeBytes: number;
  records: number;
  valueBytes: number;
  end: BucketEnd;
}

const TARGET_BYTES = Number.MAX_SAFE_INTEGER;

/** `bucket`: key >> 12 of its records; a record of another one ends the walk. */
export async function walkBucket(file: DiskFile, bucket: number): Promise<BucketReport> {
  const fileBytes = await file.size();
  const chunks = new ChunkReader(file, fileBytes);
  const reader = new BucketReader({ bucket, isStrict: true });
  try {
    for (;;) {
      const { bytes, isLast } = await chunks.next(true);
      chunks.used(reader.read(bytes, isLast, TARGET_BYTES, false));
      if (isLast || reader.end !== "whole") break;
    }
    const { version, offset, records, valueBytes, end } = reader;
    return { version, fileBytes, wholeBytes: Math.min(offset, fileBytes), records, valueBytes, end };
  } finally {
    reader.free();
  }
}

/** Copies the first `bytes` of a file into another, which it syncs. */
async function copyStart(disk: Disk, from: string, to: string, bytes: number): Promise<void> {
  if (await disk.exists(to)) await disk.remove(to);
  await withFile(disk, from, async (source) => {
    const target = await disk.open(to, "exclusive");
    try {
      for (let at = 0; at < bytes;) {
        const chunk = new Uint8Array(Math.min(1 << 20, bytes - at));
        const count = await source.read(chunk, at);
        await target.write(chunk.subarray(0, count), at);
        at += count;
      }
      await target.sync();
    } finally {
      await target.close();
    }
  });
}

/** Cuts everything behind the whole records off; the original stays as `<bucket>.broken`. */
export async function repairBucket(disk: Disk, path: string, report: BucketReport): Promise<void> {
  const directory = path.slice(0, path.lastIndexOf("/"));
  await copyStart(disk, path, `${path}.repairing`, report.wholeBytes);
  await disk.link(path, await freeName(disk, `${path}.broken`));
  await disk.syncDirectory(directory);
  await disk.rename(`${path}.repairing`, path);
  await disk.syncDirectory(directory);
}

/** A bucket may have been repaired before. */
async function freeName(disk: Disk, path: string): Promise<string> {
  let name = path;
  for (let count = 2; await disk.exists(name); count++) name = `${path}.${count}`;
  return name;
}
