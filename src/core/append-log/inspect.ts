/**
 * Looks at a log directory without changing it, for the offline tools: what is there, is it whole, what can
 * be saved.
 *
 * Invariant: nothing is written. The owner must be stopped (its lock taken): a running log looks torn at its
 * end. A directory that is reported whole is one that `recover` loads; a torn tail is whole, because a crash
 * leaves it.
 */
import type { Crc32c } from "../crc32c.ts";
import type { Disk } from "../seams/disk.ts";
import { NxError } from "../errors.ts";
import { layoutOf, segmentName, snapshotName, type LogLayout } from "./directory.ts";
import { corrupt, FileKind } from "./frame.ts";
import { checkName, checkSegmentEnd, checkSnapshotEnd, withFile } from "./recover.ts";
import { scanFile, type OnFrame, type Scan } from "./scan.ts";

export interface InspectOptions {
  disk: Disk;
  directory: string;
  crc32c: Crc32c;
  readChunkBytes?: number;
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
  /** File, byte and what is wrong; undefined when the file is whole. */
  problem: string | undefined;
}

export interface LogReport {
  files: LogFileReport[];
  /** Replaced or unfinished files that the next start would remove. */
  leftovers: string[];
  /** Everything that would keep the log from opening, the files' problems included. */
  problems: string[];
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
    if (!(error instanceof NxError) || error.code !== "NX_DATA_CORRUPT") throw error;
    report.problems.push(error.message);
    return report;
  }
  report.leftovers = layout.leftovers;
  let end: { position: number; frame: number | undefined } = { position: 0, frame: undefined };
  for (const member of membersOf(layout)) {
    const { file, scan } = await inspectFile(options, member);
    if (file.problem === undefined && scan !== undefined) {
      const gap = gapBefore(scan, end);
      if (gap !== undefined) file.problem = corrupt(`${directory}/${member.name}`, 0, gap).message;
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

export interface Salvaged {
  frames: number;
  payloadBytes: number;
  /** What had to be left out, each with file and byte. */
  losses: string[];
}

/**
 * Hands over every payload that is intact, in order, and skips what is damaged: the last resort when there is
 * neither a backup nor a replica. What lies behind a loss may contradict what came before; the owner decides.
 */
export async function salvageLog(options: InspectOptions, onFrame: OnFrame): Promise<Salvaged> {
  const { disk, directory } = options;
  const salvaged: Salvaged = { frames: 0, payloadBytes: 0, losses: [] };
  const names = (await disk.list(directory)).map((entry) => entry.name);
  const snapshots = names.filter((name) => /^snapshot-\d+\.nxl$/.test(name));
  const segments = names.filter((name) => /^log-\d+\.nxl$/.test(name));
  for (const name of [...snapshots.slice(-1), ...segments]) {
    const path = `${directory}/${name}`;
    try {
      await withFile(disk, path, "read", async (file) => {
        const count: OnFrame = (payload, source) => {
          salvaged.frames += 1;
          salvaged.payloadBytes += payload.byteLength;
          onFrame(payload, source);
        };
        for (let resumeAt: number | undefined; ;) {
          const scan = await scanFile(
            file,
            path,
            { ...scanOptions(options), ...(resumeAt && { resumeAt }) },
            count,
          );
          if (scan.residueEnd === scan.endOffset) return;
          const lostEnd = scan.strayFrame ?? scan.residueEnd;
          salvaged.losses.push(`${path}, bytes ${scan.endOffset} to ${lostEnd}`);
          if (scan.strayFrame === undefined) return;
          resumeAt = scan.strayFrame;
        }
      });
    } catch (error) {
      if (!(error instanceof NxError)) throw error;
      salvaged.losses.push(error.message);
    }
  }
  return salvaged;
}

const scanOptions = (options: InspectOptions) => ({
  crc32c: options.crc32c,
  chunkBytes: options.readChunkBytes ?? READ_CHUNK_BYTES,
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
  let problem: string | undefined;
  let fileBytes = 0;
  try {
    await withFile(options.disk, path, "read", async (file) => {
      fileBytes = await file.size();
      scan = await scanFile(file, path, scanOptions(options), () => undefined);
      checkName(scan.header, path, member.kind, member.sequence);
      if (isSegment) checkSegmentEnd(scan, path, member.isLast);
      else checkSnapshotEnd(scan, path);
    });
  } catch (error) {
    if (!(error instanceof NxError)) throw error;
    problem = error.message;
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
