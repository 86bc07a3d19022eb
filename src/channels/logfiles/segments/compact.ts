/**
 * Writes several segments of a channel, whose numbers follow each other, as one.
 *
 * Invariant: the new file holds exactly the records of the old ones, in the order in which a scan of them hands them out.
 */
import { readPieces, Scan, type ScanPlace } from "../scan/scan.ts";
import { everything, type SourceSpec } from "../scan/request.ts";
import type { SegmentHeader } from "./format.ts";
import type { WriteSettings } from "./seal.ts";
import { type SegmentInfo, SegmentWriter } from "./write.ts";

export interface CompactTask extends WriteSettings {
  /** Temporary name of the file. */
  path: string;
  header: SegmentHeader;
  /** Segments, oldest first. */
  sources: SourceSpec[];
}

export async function compact(place: ScanPlace, task: CompactTask): Promise<SegmentInfo> {
  const { path, header, level, pageBytes, sources } = task;
  const writer = await SegmentWriter.begin(place.disk, path, header, level);
  try {
    const request = { ...everything, sources, output: "pages" as const, batchBytes: pageBytes };
    await readPieces(new Scan(place, request), (page) => writer.add(page));
    return await writer.finish();
  } catch (error) {
    await writer.discard();
    throw error;
  }
}
