/**
 * An archive without a big disk: base images and diffs are in the bucket, its own disk has metadata, what is not uploaded yet,
 * and a bounded copy of what is used.
 *
 * Invariant: a diff's content leaves the disk only after the manifest names it. What the bucket has and the disk does not know,
 * because the machine is a new one, is taken over at the start before anybody is served.
 */
import { join } from "node:path";
import { NxError } from "../../../core/errors.ts";
import type { Disk } from "../../../core/seams/disk.ts";
import { makeDurableDirectory } from "../../../core/seams/durable-files.ts";
import type { Random } from "../../../core/seams/random.ts";
import type { HomeVolume } from "../../bucket/home.ts";
import type { Manifest } from "../../bucket/manifest.ts";
import { PartCache } from "../../bucket/part-cache.ts";
import type { PartStores } from "../../bucket/part-stores.ts";
import { manifestOf, volumesIn } from "../../bucket/reading.ts";
import { isSameDiff } from "../../algebra/snapshot.ts";
import { DistantDiffs, type OpenParts } from "../../files/distant-diffs.ts";
import { VolumeFiles } from "../../files/volume-files.ts";
import { Writer } from "../../wire/serial.ts";
import { writeState } from "../../wire/values.ts";
import { BucketImages } from "../images/bucket-images.ts";
import type { ArchiveVolume } from "../volume.ts";
import { homeVolumeOf } from "./homes.ts";

export interface PrimaryOptions {
  disk: Disk;
  random: Random;
  /** Of the volumes. */
  directory: string;
  cacheDirectory: string;
  cacheBytesMax: number;
  partBytes: number;
  stores: PartStores;
  nodeId: string;
  takesOver: boolean;
}

export class PrimaryBucket {
  readonly #options: PrimaryOptions;
  readonly cache: PartCache;
  readonly images: BucketImages;

  constructor(options: PrimaryOptions) {
    this.#options = options;
    const { disk, random, directory, cacheDirectory, cacheBytesMax, stores, partBytes } = options;
    // The other half is for diffs that are whole files yet.
    this.cache = new PartCache(disk, random, cacheDirectory, cacheBytesMax / 2);
    this.images = new BucketImages({ disk, directory, stores, cache: this.cache, partBytes });
  }

  openParts(volume: string): OpenParts {
    return (name, table) => this.cache.source(name, this.#options.stores.of(volume), table);
  }

  homeVolumeOf(volume: ArchiveVolume): HomeVolume {
    const { images } = this;
    return homeVolumeOf(volume, {
      baseTable: () => images.tableOf(volume.name),
      ownTables: async () => {
        const table = await images.findTable(volume.name);
        return table === undefined ? [] : [table];
      },
      onInStep: (manifest) => this.#leaveDiffs(volume, manifest),
    });
  }

  /** Gives up the content of the oldest diffs while those that are files are too many. */
  async #leaveDiffs(volume: ArchiveVolume, { diffs }: Manifest): Promise<void> {
    const here = volume.diffs.all.filter((diff) => !volume.diffs.isDistant(diff));
    let bytes = here.reduce((sum, { dataBytes }) => sum + dataBytes, 0);
    for (const diff of here) {
      if (bytes <= this.#options.cacheBytesMax / 2) return;
      const stored = diffs.find(
        (each) => isSameDiff(each.diff, diff) && each.diff.timestamp === diff.timestamp,
      );
      if (stored === undefined) continue;
      await volume.diffs.leave(diff, await this.#options.stores.of(volume.name).getTable(stored.table));
      bytes -= diff.dataBytes;
    }
  }

  /** Opens the cache, and makes the volumes that only the bucket knows. */
  async open(progress: (text: string) => void): Promise<void> {
    await this.cache.open();
    const { disk, directory, stores } = this.#options;
    for (const name of await volumesIn(stores.objects)) {
      const path = join(directory, name);
      if (await disk.exists(join(path, "state"))) continue;
      progress(`taking volume ${name} from the bucket`);
      await this.#adopt(name, path, await manifestOf(stores.objects, name));
    }
  }

  /** Writes what the manifest says into the directory of a volume; the state comes last, so that half a volume is none. */
  async #adopt(name: string, path: string, manifest: Manifest): Promise<void> {
    const { disk, nodeId, takesOver, stores } = this.#options;
    if (manifest.writer !== nodeId && !takesOver)
      throw new NxError(
        "NX_LOCK_HELD",
        `${stores.objects.name}: the volume ${name} is written by the archive "${manifest.writer}"`,
        {
          hint: "give this archive another prefix, or, when that archive is gone for good, set bucket.takesOver",
        },
      );
    await makeDurableDirectory(disk, path);
    const files = await VolumeFiles.open(disk, path);
    await files.write("uuid", manifest.uuid);
    await files.write("archive_uuid", manifest.archiveUuid);
    await files.write("base", writeState(new Writer(), manifest.base).bytes);
    const parts = stores.of(name);
    const base = await parts.getTable(manifest.baseTable);
    await this.images.setTable(name, base);
    await this.images.growBase(name, manifest.imageBytes);
    const diffs = new DistantDiffs(disk, path, this.openParts(name));
    for (const { diff, table } of manifest.diffs) await diffs.add(diff, await parts.getTable(table));
    await files.write("state", new Writer().text("Archived").bytes);
  }
}
