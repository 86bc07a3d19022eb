/**
 * Writes the records of a memtable as a segment.
 *
 * Invariant: when it resolves, the whole file is synced under the temporary path; it gets its name by whoever asked.
 */
import { MemtableReader } from "../../../native/logfiles/pages.ts";
import type { MemtablePointer } from "../../../native/logfiles/logs.ts";
import { everything } from "../scan/request.ts";
import type { ScanPlace } from "../scan/scan.ts";
import type { SegmentHeader } from "./format.ts";
import { type SegmentInfo, SegmentWriter } from "./write.ts";

export interface WriteSettings {
  /** Of zstd. */
  level: number;
  /** Size of a page before compression. */
  pageBytes: number;
}

export interface SealTask extends WriteSettings {
  /** Temporary name of the file. */
  path: string;
  header: SegmentHeader;
  memtable: MemtablePointer;
  /** Of its records, from the first on. */
  count: number;
}

export async function seal({ disk }: Pick<ScanPlace, "disk">, task: SealTask): Promise<SegmentInfo> {
  const writer = await SegmentWriter.begin(disk, task.path, task.header, task.level);
  const reader = new MemtableReader(task.memtable, 0, task.count, everything.low, everything.high);
  try {
    for (let page = reader.next(task.pageBytes); page !== undefined; page = reader.next(task.pageBytes))
      await writer.add(page);
    return await writer.finish();
  } catch (error) {
    await writer.discard();
    throw error;
  } finally {
    reader.free();
  }
}
