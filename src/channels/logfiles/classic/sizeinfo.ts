/**
 * The file `sizeinfo` in a channel's directory, as the first generation of the originals kept it: u64 records, u64 sum of
 * the lengths of their values, little-endian.
 *
 * It saves a start from walking every bucket file. Where it is missing the files are walked.
 */
import type { Disk } from "../../../core/seams/disk.ts";
import { writeFileAtomically } from "../../../core/seams/durable-files.ts";
import { withFile } from "../segments/read.ts";
import { walkBucket } from "./bucket-file.ts";
import { bucketPath } from "./names.ts";
import { bucketsOf } from "./source.ts";

export interface SizeInfo {
  records: number;
  valueBytes: number;
}

export const SIZEINFO = "sizeinfo";

/** Undefined when there is none, or none of 16 bytes. */
export async function readSizeInfo(disk: Disk, path: string): Promise<SizeInfo | undefined> {
  if (!(await disk.exists(path))) return undefined;
  return withFile(disk, path, async (file) => {
    const bytes = new Uint8Array(16);
    if ((await file.size()) !== 16 || (await file.read(bytes, 0)) !== 16) return undefined;
    const view = new DataView(bytes.buffer);
    return { records: Number(view.getBigUint64(0, true)), valueBytes: Number(view.getBigUint64(8, true)) };
  });
}

export async function writeSizeInfo(
  disk: Disk,
  path: string,
  { records, valueBytes }: SizeInfo,
): Promise<void> {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(records), true);
  view.setBigUint64(8, BigInt(valueBytes), true);
  await writeFileAtomically(disk, path, bytes);
}

/** What the bucket files of a channel hold, as far as they are whole. */
export async function countChannel(disk: Disk, directory: string): Promise<SizeInfo> {
  const total = { records: 0, valueBytes: 0 };
  for await (const bucket of bucketsOf(disk, directory, 0, Number.MAX_SAFE_INTEGER)) {
    const report = await withFile(disk, `${directory}/${bucketPath(bucket)}`, (file) =>
      walkBucket(file, bucket),
    );
    total.records += report.records;
    total.valueBytes += report.valueBytes;
  }
  return total;
}
