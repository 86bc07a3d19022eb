/**
 * The checksums of cold snapshots, each in `cold-GID.crc32c` beside the volume's small files (formats/side-file.ts).
 *
 * A cold snapshot is a copy of the base, or of an older cold snapshot, with diffs laid over it; its checksums are theirs,
 * with what the diffs write laid over. Where those have none, it has none.
 *
 * Invariant: the side file is synced before `GID.cold` makes the snapshot one. A snapshot of an image that turns out to be
 * damaged is not kept, so damage does not become the start of later restores, nor a base that is believed to be whole.
 */
import { join } from "node:path";
import type { Disk } from "../../core/seams/disk.ts";
import { writeFileAtomically } from "../../core/seams/durable-files.ts";
import type { MetaState } from "../algebra/snapshot.ts";
import { type ByteSource } from "../formats/bytes.ts";
import type { Runs } from "../formats/diff-merge.ts";
import type { DiscardRule } from "../formats/image.ts";
import { compareWithSide, readSide, type SideFinding } from "../formats/side-file.ts";
import { baseSumsPath } from "./base-sums.ts";
import { ImageSums, sumsOf } from "./image-sums.ts";
import type { OpenImage } from "./images/back-end.ts";

export const coldSumsName = (gid: bigint) => `cold-${gid}.crc32c`;

/** The gid in the name of such a side file. */
export const coldGidOf = (name: string): bigint | undefined => {
  const digits = /^cold-(\d+)\.crc32c$/.exec(name)?.[1];
  return digits === undefined ? undefined : BigInt(digits);
};

/** Compares a cold snapshot with its side file; "none": it has none. */
export async function compareCold(
  disk: Disk,
  directory: string,
  gid: bigint,
  image: ByteSource,
): Promise<SideFinding | "none"> {
  const side = await readSide(disk, join(directory, coldSumsName(gid)));
  return side === undefined ? "none" : await compareWithSide(image, side, { mayBeLonger: true });
}

/** What a restore that leaves a cold snapshot makes of the checksums that it begins with. */
export class ColdSums {
  readonly #sums: ImageSums | undefined;
  /** What the restore began with is damaged, or its checksums are. */
  isDamaged = false;

  private constructor(sums: ImageSums | undefined) {
    this.#sums = sums;
  }

  /** `image` is still a copy of the base in this state, or of the cold snapshot `cold`. */
  static async begin(
    { disk, directory }: { disk: Disk; directory: string },
    { base, cold }: { base: MetaState; cold: bigint | undefined },
    image: OpenImage,
  ): Promise<ColdSums> {
    // A base that is being applied to is not what either of its checksums says.
    const path =
      cold !== undefined
        ? join(directory, coldSumsName(cold))
        : base.isApplying
          ? undefined
          : baseSumsPath(directory, base.to);
    if (path === undefined || !(await disk.exists(path))) return new ColdSums(undefined);
    try {
      return new ColdSums(new ImageSums(image, await sumsOf(disk, path, image)));
    } catch {
      const damaged = new ColdSums(undefined);
      damaged.isDamaged = true;
      return damaged;
    }
  }

  async overlay(runs: Runs, rule: DiscardRule): Promise<void> {
    if (this.isDamaged) return;
    await this.#sums?.overlay(runs, rule).catch(() => {
      this.isDamaged = true;
    });
  }

  endPass(): void {
    this.#sums?.endPass();
  }

  /** The image is synced and will be the cold snapshot `gid`. */
  async write(disk: Disk, directory: string, gid: bigint): Promise<void> {
    if (this.#sums === undefined) return;
    await writeFileAtomically(disk, join(directory, coldSumsName(gid)), await this.#sums.encode());
  }
}
