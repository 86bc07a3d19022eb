/**
 * The images of an archive's volume, compared with their checksums: the base and, in a thin pool, cold snapshots. Restored
 * images have none, because their users change them.
 *
 * Invariant: an image that has checksums is read from its first byte to its last, or it is said that it was not.
 */
import { basename, join } from "node:path";
import type { Disk, DiskFile } from "../../core/seams/disk.ts";
import { diffName, parseDiffName } from "../algebra/diff-name.ts";
import { chainFrom, type MetaState, newest, snapshotText } from "../algebra/snapshot.ts";
import { baseSumsPath, compareBase } from "../archive/base-sums.ts";
import { coldGidOf, coldSumsName, compareCold } from "../archive/cold-sums.ts";
import { hashOf } from "../archive/reading.ts";
import { VolumeFiles } from "../files/volume-files.ts";
import { fileSource } from "../formats/bytes.ts";
import { type Diff, type MergeResult, openDiff } from "../formats/diff-merge.ts";
import { beyondEnd } from "../formats/image.ts";
import type { SideFinding } from "../formats/side-file.ts";
import { BLOCK_BYTES } from "../formats/units.ts";
import { virtualImage } from "../tools/virtual-image.ts";
import { decodeFile, readState } from "../wire/values.ts";

/** The chunk of `bhash` where none is named. */
const HASH_BYTES = 256 << 10;

export interface Finding {
  path: string;
  problem: string;
}

/** What was found of the images of one volume. */
export interface ImageFindings {
  findings: Finding[];
  /** Images that have no checksums. */
  withoutSums: string[];
  /** Side files of images that are not where they were looked for. */
  unread: string[];
}

/** Where images are: beside the small files, or in a volume group, whose device nodes are in `nodes`. */
export interface ImagePlace {
  nodes?: string | undefined;
}

const pathOf = ({ nodes }: ImagePlace, directory: string, name: string) => join(nodes ?? directory, name);

async function baseState(disk: Disk, directory: string): Promise<MetaState | undefined> {
  const bytes = await (await VolumeFiles.open(disk, directory)).read("base");
  return bytes === undefined ? undefined : await decodeFile(bytes, readState);
}

/** Opens an image and hands it over; undefined when there is none. */
async function withImage<Result>(
  disk: Disk,
  path: string,
  work: (image: ReturnType<typeof fileSource>) => Promise<Result>,
): Promise<Result | undefined> {
  if (!(await disk.exists(path))) return undefined;
  const file = await disk.open(path, "read");
  try {
    return await work(fileSource(path, file, await file.size()));
  } finally {
    await file.close();
  }
}

function findingOf(path: string, side: string, found: NonNullable<SideFinding>): Finding {
  return found.at === "side"
    ? { path: side, problem: "the side file is damaged" }
    : { path, problem: `damaged at byte ${found.offset} or in the 256 KiB behind it` };
}

/** Compares the images of a volume with their checksums. */
export async function verifyImages(
  disk: Disk,
  directory: string,
  place: ImagePlace,
  onImage: (path: string) => void,
): Promise<ImageFindings> {
  const result: ImageFindings = { findings: [], withoutSums: [], unread: [] };
  const state = await baseState(disk, directory);
  if (state === undefined) return result;
  const volume = basename(directory);
  const path = pathOf(place, directory, `wb_${volume}`);
  onImage(path);
  const isRead = await withImage(disk, path, async (image) => {
    const compared = await compareBase(disk, directory, state, image);
    // An apply that began meanwhile has taken the name away.
    const isThere = compared !== undefined && (await disk.exists(compared.path));
    if (!isThere) result.withoutSums.push(path);
    else if (compared.found !== undefined)
      result.findings.push(findingOf(path, compared.path, compared.found));
    return true;
  });
  const names = (await disk.list(directory)).map(({ name }) => name);
  const isInBucket = names.includes(`wb_${volume}.parts`);
  const side = baseSumsPath(directory, state.to);
  if (isRead === undefined && !isInBucket && names.includes(basename(side))) result.unread.push(side);
  for (const gid of names.map(coldGidOf).filter((each) => each !== undefined)) {
    const cold = pathOf(place, directory, `wc_${volume}_${gid}`);
    const coldSide = join(directory, coldSumsName(gid));
    onImage(cold);
    const found = await withImage(disk, cold, async (image) => ({
      found: await compareCold(disk, directory, gid, image),
    }));
    // One that is removed meanwhile has lost its side file first.
    if (!(await disk.exists(coldSide))) continue;
    if (found === undefined) result.unread.push(coldSide);
    else if (found.found === "none") result.withoutSums.push(cold);
    else if (found.found !== undefined) result.findings.push(findingOf(cold, coldSide, found.found));
  }
  return result;
}

/**
 * Reads the newest point of a volume as a restore would, base and chain together, and writes it nowhere. Returns its gid
 * and hash, which `bhash` of another archive with that point must give, too; nothing when there is no base.
 */
export async function restoreToNowhere(
  disk: Disk,
  directory: string,
  place: ImagePlace,
): Promise<string | undefined> {
  const volume = basename(directory);
  const path = pathOf(place, directory, `wb_${volume}`);
  const state = await baseState(disk, directory);
  if (state === undefined || !(await disk.exists(path))) return undefined;
  const names = (await disk.list(directory)).map(({ name }) => name);
  const diffs = names.map(parseDiffName).filter((diff) => diff !== undefined);
  const opened: DiskFile[] = [];
  const open = async (each: string) => {
    const file = await disk.open(each, "read");
    opened.push(file);
    return fileSource(basename(each), file, await file.size());
  };
  try {
    const chain: Diff[] = [];
    for (const diff of chainFrom(state.from, diffs))
      chain.push(await openDiff(await open(join(directory, diffName(diff)))));
    let endBlocks = 0;
    const image = await open(path);
    const options = {
      chunkBytes: HASH_BYTES,
      onResult: (result: MergeResult) => (endBlocks = result.endBlocks),
    };
    const hash = await hashOf(virtualImage(image, chain, options));
    if (endBlocks * BLOCK_BYTES > image.bytes) throw beyondEnd(endBlocks - 1, 1, image.bytes / BLOCK_BYTES);
    return `${volume}@${snapshotText(newest(state, diffs).to)} ${Buffer.from(hash).toString("hex")}`;
  } finally {
    for (const file of opened) await file.close();
  }
}
