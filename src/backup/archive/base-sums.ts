/**
 * The checksums of a base image, in a side file (formats/side-file.ts) beside the volume's small files:
 *
 *   base-BEGIN-END.crc32c    of the base as it is at the state |BEGIN,END|
 *   base-changing.crc32c     of the base before a change that has begun; what the change wrote is in doubt
 *
 * Invariant: before the base is written to, its side file has the second name; the new one is synced after the base is,
 * and before the state says so. So after a crash a side file with the first name is right, whichever of the two states of
 * an apply it names. A chunk that is written to is compared with its checksum before, so damage is not given a new one. A
 * base that another program wrote to has a state without a side file.
 */
import { join } from "node:path";
import type { Disk } from "../../core/seams/disk.ts";
import { writeFileAtomically } from "../../core/seams/durable-files.ts";
import type { MetaState, Snapshot } from "../algebra/snapshot.ts";
import { type ByteSource } from "../formats/bytes.ts";
import { compareWithSide, readSide, type SideFinding, SideSums } from "../formats/side-file.ts";
import { CHUNK_BYTES, ImageSums, type KnownSums, sumsOf, unknownSums } from "./image-sums.ts";
import type { OpenImage } from "./images/back-end.ts";

const CHANGING = "base-changing.crc32c";

const nameOf = ({ begin, end }: Snapshot) => `base-${begin}-${end}.crc32c`;
const isSide = (name: string) => /^base-(changing|\d+-\d+)\.crc32c$/.test(name);

/** The names that the side file of a base in this state may have. */
const baseSideNames = ({ isApplying, from, to }: MetaState): string[] =>
  isApplying ? [nameOf(from), nameOf(to)] : [nameOf(to)];

/**
 * Compares a base in this state with its side file, whose path comes with what was found; undefined when it has none. A
 * base that has grown since is compared up to where it ended.
 */
export async function compareBase(
  disk: Disk,
  directory: string,
  state: MetaState,
  image: ByteSource,
): Promise<{ path: string; found: SideFinding } | undefined> {
  for (const name of baseSideNames(state)) {
    const path = join(directory, name);
    const side = await readSide(disk, path);
    if (side !== undefined) return { path, found: await compareWithSide(image, side, { mayBeLonger: true }) };
  }
  return undefined;
}

export const baseSumsPath = (directory: string, state: Snapshot): string => join(directory, nameOf(state));

/**
 * The image whose side file is at `path` is about to be the base in this state, which then has its checksums. Until it is,
 * `keepBaseSums` of the old state takes this back.
 */
export async function offerBaseSums(
  disk: Disk,
  directory: string,
  path: string,
  state: Snapshot,
): Promise<void> {
  const offered = baseSumsPath(directory, state);
  if (await disk.exists(offered)) await disk.remove(offered);
  if (await disk.exists(path)) await disk.link(path, offered);
  await disk.syncDirectory(directory);
}

/** Removes side files that are not of this state; nothing while an apply is under way, which names two. */
export const keepBaseSums = async (disk: Disk, directory: string, state: MetaState): Promise<void> =>
  state.isApplying ? undefined : await removeOthers(disk, directory, nameOf(state.to));

/** Removes every side file of a base but the one that is named. */
async function removeOthers(disk: Disk, directory: string, kept?: string): Promise<void> {
  const names = (await disk.list(directory)).map(({ name }) => name);
  const others = names.filter((name) => isSide(name) && name !== kept);
  for (const name of others) await disk.remove(join(directory, name));
  if (others.length > 0) await disk.syncDirectory(directory);
}

/** The base is about to be written from nothing. */
export const forgetBaseSums = (disk: Disk, directory: string): Promise<void> => removeOthers(disk, directory);

/** Gathers the checksums of a base that is written from front to back. */
export class NewBaseSums {
  readonly #sums = new SideSums(CHUNK_BYTES);

  add(bytes: Uint8Array): void {
    this.#sums.add(bytes);
  }

  /** A copy goes on where an earlier one ended: what that wrote is read. */
  async addWritten({ file }: OpenImage, bytes: number): Promise<void> {
    const buffer = new Uint8Array(Math.min(CHUNK_BYTES, bytes));
    for (let at = 0; at < bytes; at += buffer.byteLength) {
      const part = buffer.subarray(0, bytes - at);
      await file.read(part, at);
      this.add(part);
    }
  }

  /** The base is synced and will have this state. */
  async write(disk: Disk, directory: string, state: Snapshot): Promise<void> {
    await writeFileAtomically(disk, join(directory, nameOf(state)), this.#sums.encode());
    await removeOthers(disk, directory, nameOf(state));
  }
}

/** A change of a base that is there. */
export class BaseSumsChange extends ImageSums {
  readonly #disk: Disk;
  readonly #directory: string;

  private constructor(
    place: { disk: Disk; directory: string; image: OpenImage },
    sums: KnownSums,
    isInDoubt: boolean,
  ) {
    super(place.image, sums, isInDoubt);
    this.#disk = place.disk;
    this.#directory = place.directory;
  }

  /** To be called before anything is written; `state` is that of the base before. */
  static async begin(
    disk: Disk,
    directory: string,
    state: MetaState,
    image: OpenImage,
  ): Promise<BaseSumsChange> {
    const changing = join(directory, CHANGING);
    for (const name of baseSideNames(state)) {
      if (!(await disk.exists(join(directory, name)))) continue;
      await disk.rename(join(directory, name), changing);
      await removeOthers(disk, directory, CHANGING);
      await disk.syncDirectory(directory);
      return new BaseSumsChange({ disk, directory, image }, await sumsOf(disk, changing, image), false);
    }
    // In a steady state it is left over from before another program went on.
    const isInDoubt = state.isApplying && (await disk.exists(changing));
    const sums = isInDoubt ? await sumsOf(disk, changing, image) : unknownSums(image);
    return new BaseSumsChange({ disk, directory, image }, sums, isInDoubt);
  }

  /** The base is synced and will have this state. */
  async finish(state: Snapshot): Promise<void> {
    const path = join(this.#directory, nameOf(state));
    await writeFileAtomically(this.#disk, path, await this.encode());
    await removeOthers(this.#disk, this.#directory, nameOf(state));
  }
}
