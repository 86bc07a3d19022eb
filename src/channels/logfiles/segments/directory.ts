/**
 * Which files of a channel's directory count, told from their names alone.
 *
 * Invariant: a name without `.tmp` is given to complete, synced files only. The numbers of segments do not overlap, but
 * that a file written from several others (compact.ts) covers them: then it counts and they do not.
 */
import { corrupt } from "../../../core/append-log/frame.ts";
import type { DirectoryEntry } from "../../../core/seams/disk.ts";
import { parseSegmentName } from "./format.ts";

export interface SegmentFile {
  name: string;
  firstNumber: number;
  endNumber: number;
}

export interface ChannelListing {
  /** Ascending by number. */
  segments: SegmentFile[];
  /** To be removed. */
  leftovers: string[];
}

export function listingOf(entries: readonly DirectoryEntry[], directory: string): ChannelListing {
  const files = entries.filter(({ kind }) => kind === "file").map(({ name }) => name);
  const leftovers = files.filter((name) => name.endsWith(".tmp"));
  const segments: SegmentFile[] = [];
  const found = files
    .map((name) => ({ name, ...parseSegmentName(name) }))
    .filter((file): file is SegmentFile => "firstNumber" in file && file.firstNumber !== undefined)
    // Of two that begin alike the longer one covers the other.
    .sort((a, b) => a.firstNumber - b.firstNumber || b.endNumber - a.endNumber);
  for (const file of found) {
    const last = segments.at(-1);
    if (last === undefined || file.firstNumber >= last.endNumber) segments.push(file);
    else if (file.endNumber <= last.endNumber) leftovers.push(file.name);
    else throw corrupt(`${directory}/${file.name}`, 0, `its records overlap with those of ${last.name}`);
  }
  return { segments, leftovers };
}
