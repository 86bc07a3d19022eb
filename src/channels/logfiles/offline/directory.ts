/**
 * What a path of an operator means for the offline tools: a node's data directory, a directory of channels, one channel,
 * or one file.
 *
 * Told from names alone. Nothing is opened for writing here.
 */
import { basename, dirname, join } from "node:path";
import { NxError } from "../../../core/errors.ts";
import type { DirectoryEntry, Disk } from "../../../core/seams/disk.ts";
import { isChannelName } from "../channel-name.ts";
import { parseBucket, parseSlot } from "../classic/names.ts";
import { parseSegmentName } from "../segments/format.ts";
import { LOG_DIRECTORY } from "../store/log-store.ts";

export interface ChannelPlace {
  name: string;
  path: string;
  layout: "segments" | "classic";
}

export interface Place {
  /** Of the channels; undefined for one channel or file. */
  channelsDirectory: string | undefined;
  channels: ChannelPlace[];
  /** Of the append log, if there is one. */
  logDirectory: string | undefined;
  /** One bucket file: its path and number. */
  bucket: { path: string; bucket: number } | undefined;
}

const isSlot = ({ name, kind }: DirectoryEntry) => kind === "directory" && parseSlot(name) !== undefined;
const isSegment = ({ name }: DirectoryEntry) =>
  parseSegmentName(name.replace(/\.broken(\.\d+)?$/, "")) !== undefined;

async function entriesOf(disk: Disk, path: string): Promise<DirectoryEntry[] | undefined> {
  try {
    return await disk.list(path);
  } catch {
    return undefined;
  }
}

function layoutOf(entries: readonly DirectoryEntry[]): ChannelPlace["layout"] | undefined {
  if (entries.some(isSegment)) return "segments";
  return entries.some(isSlot) ? "classic" : undefined;
}

/** Throws NX_DATA_DIR_UNUSABLE when the path is nothing of a logfiles node. */
export async function placeOf(disk: Disk, path: string): Promise<Place> {
  const place: Place = {
    channelsDirectory: undefined,
    channels: [],
    logDirectory: undefined,
    bucket: undefined,
  };
  const entries = await entriesOf(disk, path);
  if (entries === undefined) {
    const slot = parseSlot(basename(dirname(path)));
    const bucket = slot === undefined ? undefined : parseBucket(slot, basename(path));
    if (!(await disk.exists(path))) throw nothingThere(path, "is not there");
    if (bucket === undefined) throw nothingThere(path);
    return { ...place, bucket: { path, bucket } };
  }
  const layout = layoutOf(entries);
  if (layout !== undefined) return { ...place, channels: [{ name: basename(path), path, layout }] };
  const nested = await entriesOf(disk, join(path, "channels"));
  const hasNested = nested !== undefined && layoutOf(nested) === undefined;
  const channelsDirectory = hasNested ? join(path, "channels") : path;
  const hasLog = await disk.exists(join(path, LOG_DIRECTORY));
  const channels = await channelsIn(disk, channelsDirectory, hasNested ? nested : entries);
  if (channels.length === 0 && !hasLog) throw nothingThere(path);
  const logDirectory = hasLog ? join(path, LOG_DIRECTORY) : undefined;
  return { ...place, channelsDirectory, channels, logDirectory };
}

/** The data directory that a path is in or is, told by the append log in it; undefined when there is none. */
export async function dataDirectoryOf(disk: Disk, path: string): Promise<string | undefined> {
  // At most a bucket file: below a slot, a channel and the directory of channels.
  for (let at = path, depth = 0; depth < 5 && dirname(at) !== at; at = dirname(at), depth++)
    if ((await entriesOf(disk, at))?.some(({ name }) => name === LOG_DIRECTORY) === true) return at;
  return undefined;
}

async function channelsIn(disk: Disk, directory: string, entries: readonly DirectoryEntry[]) {
  const channels: ChannelPlace[] = [];
  for (const { name, kind } of entries) {
    if (kind !== "directory" || !isChannelName(name)) continue;
    const path = join(directory, name);
    const layout = layoutOf((await entriesOf(disk, path)) ?? []);
    if (layout !== undefined) channels.push({ name, path, layout });
  }
  return channels;
}

function nothingThere(path: string, what = "holds no records of a logfiles node"): NxError {
  return new NxError("NX_DATA_DIR_UNUSABLE", `${path} ${what}`, {
    hint: "give a node's data directory, a directory of channels, one channel or one bucket file",
  });
}
