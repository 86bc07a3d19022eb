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
import { NxError } from "../../core/errors.ts";
import type { Disk } from "../../core/seams/disk.ts";
import { writeFileAtomically } from "../../core/seams/durable-files.ts";
import { crc32c } from "../../native/crc32c.ts";
import type { MetaState, Snapshot } from "../algebra/snapshot.ts";
import type { Runs } from "../formats/diff-merge.ts";
import type { DiscardRule } from "../formats/image.ts";
import { type ByteSource } from "../formats/bytes.ts";
import { compareWithSide, decodeSide, encodeSide, type SideFinding, SideSums } from "../formats/side-file.ts";
import { BLOCK_BYTES } from "../formats/units.ts";
import type { OpenImage } from "./images/back-end.ts";

const CHUNK_BYTES = 256 << 10;
const CHANGING = "base-changing.crc32c";

const nameOf = ({ begin, end }: Snapshot) => `base-${begin}-${end}.crc32c`;
const isSide = (name: string) => /^base-(changing|\d+-\d+)\.crc32c$/.test(name);

/** The names that the side file of a base in this state may have. */
const baseSideNames = ({ isApplying, from, to }: MetaState): string[] =>
  isApplying ? [nameOf(from), nameOf(to)] : [nameOf(to)];

async function readAll(disk: Disk, path: string): Promise<Uint8Array> {
  const file = await disk.open(path, "read");
  try {
    const bytes = new Uint8Array(await file.size());
    return bytes.subarray(0, await file.read(bytes, 0));
  } finally {
    await file.close();
  }
}

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
    if (!(await disk.exists(path))) continue;
    return { path, found: await compareWithSide(image, await readAll(disk, path), { mayBeLonger: true }) };
  }
  return undefined;
}

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
export class BaseSumsChange {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #image: OpenImage;
  /** Undefined: not known. */
  readonly #sums: (number | undefined)[];
  /** A change was interrupted: what it wrote is not what its checksum says. */
  readonly #isInDoubt: boolean;
  readonly #chunk = new Uint8Array(CHUNK_BYTES);
  #index = -1;

  private constructor(
    place: { disk: Disk; directory: string; image: OpenImage },
    sums: (number | undefined)[],
    isInDoubt: boolean,
  ) {
    this.#disk = place.disk;
    this.#directory = place.directory;
    this.#image = place.image;
    this.#sums = sums;
    this.#isInDoubt = isInDoubt;
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
      return new BaseSumsChange({ disk, directory, image }, await known(disk, changing, image), false);
    }
    // In a steady state it is left over from before another program went on.
    const isInDoubt = state.isApplying && (await disk.exists(changing));
    const sums = isInDoubt ? await known(disk, changing, image) : unknown(image);
    return new BaseSumsChange({ disk, directory, image }, sums, isInDoubt);
  }

  get #chunks(): number {
    return this.#sums.length;
  }

  #bytesOf(index: number): number {
    return Math.min(CHUNK_BYTES, this.#image.bytes - index * CHUNK_BYTES);
  }

  /** Takes the chunk as it is in the image, and throws NX_DATA_CORRUPT when it is not what was written. */
  async #open(index: number): Promise<void> {
    if (index === this.#index) return;
    this.#close();
    const part = this.#chunk.subarray(0, this.#bytesOf(index));
    await this.#image.file.read(part, index * CHUNK_BYTES);
    const wanted = this.#sums[index];
    if (!this.#isInDoubt && wanted !== undefined && crc32c(part) !== wanted)
      throw new NxError(
        "NX_DATA_CORRUPT",
        `${this.#image.path} is damaged at byte ${index * CHUNK_BYTES} or in the 256 KiB behind it`,
        { hint: "replicate the volume anew from another archive, or take a full backup" },
      );
    this.#index = index;
  }

  #close(): void {
    if (this.#index < 0) return;
    this.#sums[this.#index] = crc32c(this.#chunk.subarray(0, this.#bytesOf(this.#index)));
    this.#index = -1;
  }

  /** What is going to be written, in rising order; to be awaited before it is. */
  async overlay({ runs, data }: Runs, rule: DiscardRule): Promise<void> {
    for (const { address, blocks, kind, data: from } of runs) {
      if (kind === "discard" && rule === "ignore") continue;
      const [start, end] = [address * BLOCK_BYTES, (address + blocks) * BLOCK_BYTES];
      for (let at = start; at < end;) {
        const index = Math.floor(at / CHUNK_BYTES);
        const within = at - index * CHUNK_BYTES;
        const length = Math.min(end - at, CHUNK_BYTES - within);
        if (index >= this.#chunks) return; // beyond the image: whoever writes refuses it
        await this.#open(index);
        if (kind === "normal")
          this.#chunk.set(data.subarray(from + at - start, from + at - start + length), within);
        else this.#chunk.fill(0, within, within + length);
        at += length;
      }
    }
  }

  /** All runs of a pass were written: what comes next may begin in front again. */
  endPass(): void {
    this.#close();
  }

  /** The base is synced and will have this state. */
  async finish(state: Snapshot): Promise<void> {
    this.#close();
    const sums: number[] = [];
    for (const [index, sum] of this.#sums.entries()) {
      const part = this.#chunk.subarray(0, this.#bytesOf(index));
      if (sum === undefined) await this.#image.file.read(part, index * CHUNK_BYTES);
      sums.push(sum ?? crc32c(part));
    }
    const bytes = encodeSide(this.#image.bytes, CHUNK_BYTES, sums);
    await writeFileAtomically(this.#disk, join(this.#directory, nameOf(state)), bytes);
    await removeOthers(this.#disk, this.#directory, nameOf(state));
  }
}

const unknown = ({ bytes }: OpenImage) =>
  new Array<number | undefined>(Math.ceil(bytes / CHUNK_BYTES)).fill(undefined);

/** Of an image that may have grown: the chunk in which it ended, and those behind it, are not known. */
async function known(disk: Disk, path: string, image: OpenImage): Promise<(number | undefined)[]> {
  const side = decodeSide(await readAll(disk, path));
  if (side === undefined || side.chunkBytes !== CHUNK_BYTES)
    throw new NxError("NX_DATA_CORRUPT", `${path} is damaged: it is not what was written`, {
      hint: "`node-x walb verify` tells whether anything else is; removed, it is made anew with the next apply",
    });
  const whole = side.fileBytes === image.bytes ? side.sums.length : Math.floor(side.fileBytes / CHUNK_BYTES);
  return unknown(image).map((_, index) => (index < whole ? side.sums[index] : undefined));
}
