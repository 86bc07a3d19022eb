/**
 * Reads every record of a stopped node and says what is damaged; with `isFixing` repairs what can be repaired.
 *
 * Rules for bucket files are those of the originals' tool: an error is a key outside its bucket, or a record that cannot be
 * read; a repair keeps what stands before the first error, and the original as `<bucket>.broken`. A segment is checked block
 * by block; a repair keeps every block that is whole. Nothing is removed.
 */
import { inspectLog, problemText } from "../../../core/append-log/inspect.ts";
import { NxError } from "../../../core/errors.ts";
import type { Disk } from "../../../core/seams/disk.ts";
import type { Random } from "../../../core/seams/random.ts";
import { crc32c } from "../../../native/crc32c.ts";
import { repairBucket, walkBucket } from "../classic/bucket-file.ts";
import { bucketPath } from "../classic/names.ts";
import { readSizeInfo, type SizeInfo, SIZEINFO, writeSizeInfo } from "../classic/sizeinfo.ts";
import { bucketsOf } from "../classic/source.ts";
import { listingOf } from "../segments/directory.ts";
import { decodeHeader, HEADER_BYTES, seedOf } from "../segments/format.ts";
import { readSegmentInfo, walkBlocks, withFile } from "../segments/read.ts";
import { SegmentWriter } from "../segments/write.ts";
import { LOGS_FORMAT } from "../store/log-store.ts";
import type { ChannelPlace, Place } from "./directory.ts";
import { OfflineStore } from "./read.ts";

export interface CheckOptions {
  disk: Disk;
  random: Random;
  place: Place;
  isFixing: boolean;
  /** Compare what is counted with the files `sizeinfo`; with `isFixing` write them anew. */
  checksSizes: boolean;
  onProgress(path: string): void;
}

/** Of one channel, file or log; of the log the records that are in no file. */
export interface CheckReport {
  path: string;
  files: number;
  filesWithErrors: number;
  records: number;
  valueBytes: number;
  errors: string[];
  /** What was done about them. */
  repairs: string[];
  /** What `sizeinfo` says, when it was asked for and is there. */
  sizeInfo?: SizeInfo | undefined;
}

const emptyReport = (path: string): CheckReport => ({
  path,
  files: 0,
  filesWithErrors: 0,
  records: 0,
  valueBytes: 0,
  errors: [],
  repairs: [],
});

export async function check(options: CheckOptions): Promise<CheckReport[]> {
  const { place } = options;
  const reports: CheckReport[] = [];
  if (place.bucket !== undefined) {
    const report = emptyReport(place.bucket.path);
    await checkBucket(options, place.bucket.path, place.bucket.bucket, report);
    reports.push(report);
  }
  for (const channel of place.channels)
    reports.push(await (channel.layout === "classic" ? checkBuckets : checkSegments)(options, channel));
  if (place.logDirectory === undefined) return reports;
  // Beside files that are damaged it cannot be told what is in the log alone.
  const areFilesWhole = reports.every(({ errors }) => errors.length === 0);
  reports.push(await checkLog(options, place.logDirectory, areFilesWhole));
  return reports;
}

// --- bucket files ------------------------------------------------------------------------------------------------

async function checkBucket(
  { disk, isFixing, onProgress }: CheckOptions,
  path: string,
  bucket: number,
  report: CheckReport,
): Promise<void> {
  onProgress(path);
  const found = await withFile(disk, path, (file) => walkBucket(file, bucket));
  report.files += 1;
  report.records += found.records;
  report.valueBytes += found.valueBytes;
  if (found.end === "whole") return;
  report.filesWithErrors += 1;
  report.errors.push(
    `${path}, byte ${found.wholeBytes}: ${found.end}, ${found.fileBytes - found.wholeBytes} bytes`,
  );
  if (!isFixing) return;
  await repairBucket(disk, path, found);
  report.repairs.push(`${path}: kept ${found.records} records, the original is beside it as .broken`);
}

async function checkBuckets(options: CheckOptions, { path }: ChannelPlace): Promise<CheckReport> {
  const { disk, isFixing, checksSizes } = options;
  const report = emptyReport(path);
  for await (const bucket of bucketsOf(disk, path, 0, Number.MAX_SAFE_INTEGER))
    await checkBucket(options, `${path}/${bucketPath(bucket)}`, bucket, report);
  if (!checksSizes) return report;
  const { records, valueBytes } = report;
  report.sizeInfo = await readSizeInfo(disk, `${path}/${SIZEINFO}`);
  const isRight = report.sizeInfo?.records === records && report.sizeInfo.valueBytes === valueBytes;
  if (!isRight && isFixing) {
    await writeSizeInfo(disk, `${path}/${SIZEINFO}`, { records, valueBytes });
    report.repairs.push(`${path}/${SIZEINFO}: written anew`);
  }
  return report;
}

// --- segments ----------------------------------------------------------------------------------------------------

async function checkSegments(options: CheckOptions, { path }: ChannelPlace): Promise<CheckReport> {
  const report = emptyReport(path);
  const { segments } = listingOf(await options.disk.list(path), path);
  for (const { name } of segments) {
    const file = `${path}/${name}`;
    options.onProgress(file);
    report.files += 1;
    const errors = await checkSegment(options, file, report);
    if (errors.length === 0) continue;
    report.filesWithErrors += 1;
    report.errors.push(...errors.map(({ message }) => message));
    if (options.isFixing) report.repairs.push(await repairSegment(options, file));
  }
  return report;
}

/** Every block, and the index beside them. */
async function checkSegment({ disk }: CheckOptions, path: string, report: CheckReport): Promise<Error[]> {
  try {
    const walked = await withFile(disk, path, async (file) => {
      const head = new Uint8Array(HEADER_BYTES);
      const header = decodeHeader(head.subarray(0, await file.read(head, 0)), path);
      return walkBlocks(file, path, await file.size(), seedOf(header.id));
    });
    report.records += walked.records;
    report.valueBytes += walked.valueBytes;
    if (walked.problems.length > 0) return walked.problems;
    const { isRebuilt } = await readSegmentInfo(disk, path);
    return isRebuilt
      ? [new NxError("NX_DATA_CORRUPT", `${path}: the index is damaged, all blocks are whole`)]
      : [];
  } catch (error) {
    if (!(error instanceof NxError)) throw error;
    return [error];
  }
}

/** Writes the blocks that are whole into a new file of the same name; the original stays as `.broken`. */
async function repairSegment({ disk, random }: CheckOptions, path: string): Promise<string> {
  const directory = path.slice(0, path.lastIndexOf("/"));
  const broken = `${path}.broken`;
  if (await disk.exists(broken)) return `${path}: not repaired, ${broken} exists already`;
  const head = new Uint8Array(HEADER_BYTES);
  const records = await withFile(disk, path, async (file) => {
    await file.read(head, 0);
    const header = decodeHeader(head, path);
    const next = { ...header, id: random.bytes(16) };
    const writer = await SegmentWriter.begin(disk, `${path}.tmp`, next, REPAIR_LEVEL);
    try {
      const add = (page: Uint8Array) => writer.add(page);
      const walked = await walkBlocks(file, path, await file.size(), seedOf(header.id), add);
      if (walked.records > 0) await writer.finish();
      else await writer.discard();
      return walked.records;
    } catch (error) {
      await writer.discard();
      throw error;
    }
  }).catch((error: unknown) => {
    // Without its header nothing in the file can be told from damage.
    if (error instanceof NxError && error.code === "NX_DATA_CORRUPT") return 0;
    throw error;
  });
  await disk.link(path, broken);
  await disk.syncDirectory(directory);
  if (records > 0) await disk.rename(`${path}.tmp`, path);
  else await disk.remove(path);
  await disk.syncDirectory(directory);
  return `${path}: kept ${records} records, the original is beside it as .broken`;
}

const REPAIR_LEVEL = 3;

// --- the append log ----------------------------------------------------------------------------------------------

async function checkLog(
  { disk, random, place, onProgress }: CheckOptions,
  directory: string,
  countsRecords: boolean,
): Promise<CheckReport> {
  onProgress(directory);
  const report = emptyReport(directory);
  const { files, problems } = await inspectLog({ disk, directory, crc32c, payloadFormat: LOGS_FORMAT });
  report.files = files.length;
  report.filesWithErrors = files.filter(({ problem }) => problem !== undefined).length;
  report.errors = problems.map(problemText);
  if (report.errors.length > 0 || !countsRecords) return report;
  try {
    const store = await OfflineStore.open(disk, random, place);
    Object.assign(report, store.unsealed);
    store.close();
  } catch (error) {
    if (!(error instanceof NxError)) throw error;
    report.errors.push(error.message);
  }
  return report;
}
