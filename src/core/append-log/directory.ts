/**
 * Which files make up a log, told from their names alone.
 *
 *   log-0000000007.nxl        a segment; segments follow each other without a gap
 *   snapshot-0000000007.nxl   everything appended before segment 7
 *   *.tmp                     unfinished: a segment being allocated or a snapshot being written
 *
 * Invariant: a name without `.tmp` is given only to a complete, synced file, and that a segment has its name
 * means that every earlier segment was completely written and synced. So the newest snapshot and the segments
 * from its number on are the log, at every moment; older files and `.tmp` files are leftovers of a crash.
 * Unknown names are not ours and stay.
 */
import type { DirectoryEntry } from "../seams/disk.ts";
import { corrupt } from "./frame.ts";

export const SPARE_NAME = "spare.tmp";

const digits = (sequence: number) => String(sequence).padStart(10, "0");

export const segmentName = (sequence: number) => `log-${digits(sequence)}.nxl`;
export const snapshotName = (sequence: number) => `snapshot-${digits(sequence)}.nxl`;
export const snapshotTmpName = (sequence: number) => `snapshot-${digits(sequence)}.tmp`;

export interface LogLayout {
  /** Of the newest snapshot; undefined when there is none. */
  snapshot: number | undefined;
  /** Ascending, without a gap; empty in a directory without a log. */
  segments: number[];
  /** Names to remove; the spare is not among them, because allocating one replaces it. */
  leftovers: string[];
}

/** Throws NX_DATA_CORRUPT when a segment of the sequence is missing. */
export function layoutOf(entries: DirectoryEntry[], directory: string): LogLayout {
  const leftovers: string[] = [];
  let segments: number[] = [];
  let snapshots: number[] = [];
  for (const { name, kind } of entries) {
    if (kind !== "file") continue;
    const match = /^(log|snapshot)-(\d{10,16})\.(nxl|tmp)$/.exec(name);
    if (match?.[3] === "tmp") leftovers.push(name);
    else if (match?.[1] === "log") segments.push(Number(match[2]));
    else if (match?.[1] === "snapshot") snapshots.push(Number(match[2]));
  }
  segments = segments.sort((a, b) => a - b);
  snapshots = snapshots.sort((a, b) => a - b);
  const snapshot = snapshots.at(-1);
  const first = snapshot ?? 1;
  leftovers.push(...snapshots.slice(0, -1).map(snapshotName));
  leftovers.push(...segments.filter((sequence) => sequence < first).map(segmentName));
  segments = segments.filter((sequence) => sequence >= first);
  // Without a snapshot and without segments the log was never begun.
  const isEmpty = segments.length === 0 && snapshot === undefined;
  for (let index = 0; index < Math.max(segments.length, isEmpty ? 0 : 1); index++) {
    if (segments[index] !== first + index) {
      throw corrupt(`${directory}/${segmentName(first + index)}`, 0, "this segment is missing");
    }
  }
  return { snapshot, segments, leftovers };
}
