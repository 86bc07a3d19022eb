/**
 * Looks at a log directory without changing it, for the offline tools: what is there, is it whole, what can
 * be saved.
 *
 * Invariant: nothing is written. The owner must be stopped (its lock taken): a running log looks torn at its
 * end. A directory that is reported whole is one that `recover` loads; a torn tail is whole, because a crash
 * leaves it.
 */
import type { Crc32c } from "../crc32c.ts";
import type { Disk, DiskFile } from "../seams/disk.ts";
import { NxError } from "../errors.ts";
import { layoutOf, segmentName, snapshotName, type LogLayout } from "./directory.ts";
import { CorruptError, FileKind } from "./frame.ts";
import { checkName, checkPayloadFormat, checkSegmentEnd, checkSnapshotEnd, withFile } from "./recover.ts";
import { scanFile, type OnFrame, type Scan, type ScanOptions } from "./scan.ts";

export interface InspectOptions {
  disk: Disk;
  directory: string;
  crc32c: Crc32c;
  readChunkBytes?: number;
  /** Of the owner; a file with another one is a problem. */
  payloadFormat?: number;
  /** Sees every payload that is intact, in order. An NxError that it throws is a problem of that file. */
  onFrame?: OnFrame;
}

/** Something that is wrong with a file: where and what. */
export interface LogProblem {
  path: string;
  /** Undefined when it is the file as a whole. */
  offset: number | undefined;
  what: string;
}

export interface LogFileReport {
  name: string;
  kind: "snapshot" | "segment";
  fileBytes: number;
  /** Position of the first payload byte (of a snapshot: the position it covers). */
  position: number;
  payloadFormat: number;
  /** Data frames; each is one group, or one piece of a snapshot. */
  frames: number;
  payloadBytes: number;
  /** Whether a seal or another segment stands behind the last group, so that its damage would be known. */
  isSealed: boolean;
  /** Of a torn tail that the next start would cut. */
  tornBytes: number;
  /** Undefined when the file is whole. */
  problem: LogProblem | undefined;
}

export interface LogReport {
  files: LogFileReport[];
  /** Replaced or unfinished files that the next start would remove. */
  leftovers: string[];
  /** Everything that would keep the log from opening, the files' problems included. */
  problems: LogProblem[];
}

interface Member {
  name: string;
  kind: FileKind;
  sequence: number;
  isLast: boolean;
}

const READ_CHUNK_BYTES = 4 << 20;

/** Checks every byte of every file. Throws only when the directory cannot be read. */
export async function inspectLog(options: InspectOptions): Promise<LogReport> {
  const { disk, directory } = options;
  const report: LogReport = { files: [], leftovers: [], problems: [] };
  let layout: LogLayout;
  try {
    layout = layoutOf(await disk.list(directory), directory);
  } catch (error) {
    if (!(error instanceof CorruptError)) throw error;
    report.problems.push(problemOf(error, directory));
    return report;
  }
  report.leftovers = layout.leftovers;
  let end: { position: number; frame: number | undefined } = { position: 0, frame: undefined };
  for (const member of membersOf(layout)) {
    const { file, scan } = await inspectFile(options, member);
    if (file.problem === undefined && scan !== undefined) {
      const gap = gapBefore(scan, end);
      if (gap !== undefined) file.problem = { path: `${directory}/${member.name}`, offset: 0, what: gap };
      const isSegment = member.kind === FileKind.segment;
      end = {
        position: scan.header.position + (isSegment ? scan.payloadBytes : 0),
        frame: isSegment ? scan.nextFrame : undefined,
      };
    }
    report.files.push(file);
    if (file.problem !== undefined) report.problems.push(file.problem);
  }
  return report;
}

/** A run of bytes that could not be used. */
export interface Loss extends LogProblem {
  offset: number;
  /** 0 when nobody knows, as of a file that is missing. */
  bytes: number;
  /** The unfinished group that a crash leaves at the very end: nothing of it was acknowledged. */
  isTornTail: boolean;
}

export interface Salvaged {
  frames: number;
  payloadBytes: number;
}

/**
 * Hands over every payload that is intact, in order, and skips what is damaged: the last resort when there is
 * neither a backup nor a replica. `onLoss` hears of each gap before what lies behind it is handed over, which may
 * contradict what came before; the owner decides.
 */
export async function salvageLog(
  options: InspectOptions,
  onFrame: OnFrame,
  onLoss: (loss: Loss) => void,
): Promise<Salvaged> {
  const { disk, directory } = options;
  const salvaged: Salvaged = { frames: 0, payloadBytes: 0 };
  const take: OnFrame = (payload, source) => {
    salvaged.frames += 1;
    salvaged.payloadBytes += payload.byteLength;
    onFrame(payload, source);
  };
  for (const member of survivors((await disk.list(directory)).map(({ name }) => name))) {
    const path = `${directory}/${member.name}`;
    if (member.isMissing) {
      onLoss({ path, offset: 0, bytes: 0, what: "this segment is missing", isTornTail: false });
      continue;
    }
    await withFile(disk, path, "read", (file) => salvageFile(options, member, file, path, take, onLoss));
  }
  return salvaged;
}

interface Survivor extends Member {
  isMissing: boolean;
}

/** The newest snapshot and all segments from it on, with the gaps between them. Older files are replaced by it. */
function survivors(names: readonly string[]): Survivor[] {
  const numbers = (pattern: RegExp) =>
    names
      .flatMap((name) => pattern.exec(name)?.[1] ?? [])
      .map(Number)
      .sort((a, b) => a - b);
  const snapshot = numbers(/^snapshot-(\d+)\.nxl$/).at(-1);
  const segments = numbers(/^log-(\d+)\.nxl$/).filter((sequence) => sequence >= (snapshot ?? 1));
  const last = Math.max(segments.at(-1) ?? 0, snapshot ?? 0);
  const found: Survivor[] = [];
  if (snapshot !== undefined) {
    const kind = FileKind.snapshot;
    found.push({ name: snapshotName(snapshot), kind, sequence: snapshot, isLast: false, isMissing: false });
  }
  let next = snapshot ?? 1;
  for (const sequence of segments) {
    // A long gap is told by its first file: a damaged name must not make a million of them.
    if (next < sequence) found.push(segmentMember(next, last, true));
    found.push(segmentMember(sequence, last, false));
    next = sequence + 1;
  }
  if (next <= last) found.push(segmentMember(next, last, true));
  return found;
}

function segmentMember(sequence: number, last: number, isMissing: boolean): Survivor {
  const isLast = sequence === last;
  return { name: segmentName(sequence), kind: FileKind.segment, sequence, isLast, isMissing };
}

async function salvageFile(
  options: InspectOptions,
  member: Member,
  file: DiskFile,
  path: string,
  onFrame: OnFrame,
  onLoss: (loss: Loss) => void,
): Promise<void> {
  let reached = 0;
  const take: OnFrame = (payload, source) => {
    reached = source.offset + payload.byteLength;
    onFrame(payload, source);
  };
  try {
    for (let resumeAt: number | undefined; ;) {
      const scan = await scanFile(
        file,
        path,
        { ...scanOptions(options, member), ...(resumeAt && { resumeAt }) },
        take,
      );
      const isOpenEnd = member.kind === FileKind.snapshot && scan.endPayload === undefined;
      if (scan.residueEnd === scan.endOffset && !isOpenEnd) return;
      const lostEnd = scan.strayFrame ?? Math.max(scan.residueEnd, isOpenEnd ? scan.fileBytes : 0);
      const isTornTail = member.isLast && scan.strayFrame === undefined && member.kind === FileKind.segment;
      onLoss({
        path,
        offset: scan.endOffset,
        bytes: lostEnd - scan.endOffset,
        what: isTornTail ? "an unfinished group, as a crash leaves it" : "damaged",
        isTornTail,
      });
      if (scan.strayFrame === undefined) return;
      resumeAt = scan.strayFrame;
    }
  } catch (error) {
    if (!(error instanceof NxError)) throw error;
    const { what } = problemOf(error, path);
    const bytes = Math.max(0, (await file.size()) - reached);
    onLoss({ path, offset: reached, bytes, what, isTornTail: false });
  }
}

/** `<path>, byte <offset>: <what>` */
export function problemText({ path, offset, what }: LogProblem): string {
  return offset === undefined ? `${path}: ${what}` : `${path}, byte ${offset}: ${what}`;
}

function problemOf(error: NxError, path: string): LogProblem {
  if (error instanceof CorruptError) return { path: error.path, offset: error.offset, what: error.what };
  return { path, offset: undefined, what: error.message };
}

const scanOptions = (options: InspectOptions, member: Member): ScanOptions => ({
  crc32c: options.crc32c,
  chunkBytes: options.readChunkBytes ?? READ_CHUNK_BYTES,
  onHeader(header, path) {
    checkName(header, path, member.kind, member.sequence);
    if (options.payloadFormat !== undefined) checkPayloadFormat(header, path, options.payloadFormat);
  },
});

function membersOf(layout: LogLayout): Member[] {
  const segments = layout.segments.map((sequence): Member => {
    const isLast = sequence === layout.segments.at(-1);
    return { name: segmentName(sequence), kind: FileKind.segment, sequence, isLast };
  });
  if (layout.snapshot === undefined) return segments;
  const sequence = layout.snapshot;
  return [{ name: snapshotName(sequence), kind: FileKind.snapshot, sequence, isLast: false }, ...segments];
}

async function inspectFile(
  options: InspectOptions,
  member: Member,
): Promise<{ file: LogFileReport; scan: Scan | undefined }> {
  const path = `${options.directory}/${member.name}`;
  const isSegment = member.kind === FileKind.segment;
  let scan: Scan | undefined;
  let problem: LogProblem | undefined;
  let fileBytes = 0;
  try {
    await withFile(options.disk, path, "read", async (file) => {
      fileBytes = await file.size();
      scan = await scanFile(file, path, scanOptions(options, member), options.onFrame ?? (() => undefined));
      if (isSegment) checkSegmentEnd(scan, path, member.isLast);
      else checkSnapshotEnd(scan, path);
    });
  } catch (error) {
    // What somebody else wrote is no damage.
    if (!(error instanceof NxError) || error.code === "NX_DATA_VERSION") throw error;
    problem = problemOf(error, path);
  }
  const isWhole = scan !== undefined && problem === undefined;
  const file: LogFileReport = {
    name: member.name,
    kind: isSegment ? "segment" : "snapshot",
    fileBytes,
    position: scan?.header.position ?? 0,
    payloadFormat: scan?.header.payloadFormat ?? 0,
    frames: scan?.dataFrames ?? 0,
    payloadBytes: scan?.payloadBytes ?? 0,
    isSealed: !member.isLast || scan?.isSealed === true,
    tornBytes: isWhole && isSegment && scan !== undefined ? scan.residueEnd - scan.endOffset : 0,
    problem,
  };
  return { file, scan };
}

function gapBefore(scan: Scan, end: { position: number; frame: number | undefined }): string | undefined {
  const { kind, position, firstFrame } = scan.header;
  if (kind === FileKind.snapshot) return undefined;
  if (position !== end.position)
    return `position is ${position}, but the files before end at ${end.position}`;
  if (end.frame !== undefined && firstFrame !== end.frame) {
    return `firstFrame is ${firstFrame}, but the files before end at ${end.frame}`;
  }
  return undefined;
}
