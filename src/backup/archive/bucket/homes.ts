/**
 * The homes of an archive's volumes in its bucket, and the uploader that keeps them up with it.
 *
 * Invariant: a diff or a base image is uploaded only when its side file says that it is what came. Figures are told whether the bucket can be
 * reached or not.
 */
import { NxError } from "../../../core/errors.ts";
import type { Log } from "../../../core/logging/log.ts";
import type { Clock } from "../../../core/seams/clock.ts";
import type { Random } from "../../../core/seams/random.ts";
import { isSameDiff, type MetaDiff } from "../../algebra/snapshot.ts";
import type { BucketConfig } from "../../bucket/config.ts";
import { type HomeOptions, type HomeVolume, VolumeHome } from "../../bucket/home.ts";
import type { PartStores } from "../../bucket/part-stores.ts";
import { Uploader } from "../../bucket/uploader.ts";
import { type ByteSource, fileSource } from "../../formats/bytes.ts";
import type { DiscardRule } from "../../formats/image.ts";
import { parsePeriod } from "../../formats/units.ts";
import { compareBase } from "../base-sums.ts";
import type { ArchiveVolume } from "../volume.ts";

export interface HomesOptions {
  stores: PartStores;
  config: BucketConfig;
  clock: Clock;
  random: Random;
  log: Log;
  nodeId: string;
  discard: DiscardRule;
  volumes(): Iterable<ArchiveVolume>;
  /** What a volume's home sees of it. */
  homeVolumeOf(volume: ArchiveVolume): HomeVolume;
}

async function demandWhole(volume: ArchiveVolume, diff: MetaDiff): Promise<void> {
  const finding = await volume.diffs.verify(diff);
  if (finding === undefined || finding === "none") return;
  throw new NxError("NX_DATA_CORRUPT", `${volume.diffs.pathOf(diff)} is damaged, so it is not uploaded`, {
    hint: "replicate the volume from another archive; `node-x walb verify` says where the damage is",
  });
}

async function demandWholeBase(volume: ArchiveVolume, image: ByteSource): Promise<void> {
  const compared = await compareBase(volume.world.disk, volume.directory, volume.base, image);
  if (compared?.found === undefined) return;
  const { path, found } = compared;
  const what = found.at === "side" ? path : `${image.name} (at byte ${found.offset} or in the MiB behind it)`;
  throw new NxError("NX_DATA_CORRUPT", `${what} is damaged, so the base image is not uploaded`, {
    hint: "replicate the volume from another archive, or take a full backup anew",
  });
}

/** A volume as its home sees it; with `more`, one whose image is in the bucket. */
export function homeVolumeOf(
  volume: ArchiveVolume,
  more: Pick<HomeVolume, "baseTable" | "ownTables" | "onInStep"> = {},
): HomeVolume {
  const there = (diff: MetaDiff) =>
    volume.diffs.all.filter((each) => isSameDiff(each, diff) && each.timestamp === diff.timestamp);
  return {
    ...more,
    name: volume.name,
    get base() {
      return volume.base;
    },
    get diffs() {
      return volume.diffs.all;
    },
    get uuid() {
      return volume.uuid;
    },
    get archiveUuid() {
      return volume.archiveUuid;
    },
    withDiff: (diff, work) =>
      volume.diffs.withOpen(
        () => there(diff),
        async ([open]) => {
          if (open === undefined) return undefined;
          const [present] = there(diff);
          // Whoever merged it away meanwhile has read it.
          if (present !== undefined) await demandWhole(volume, present);
          return await work(open.source);
        },
      ),
    imageBytes: async () => (await volume.world.images.baseBytes(volume.name)) ?? 0,
    async withBase(work) {
      const { file, bytes, path } = await volume.world.images.openBase(volume.name, "read");
      try {
        const image = fileSource(path, file, bytes);
        await demandWholeBase(volume, image);
        return await work(image);
      } finally {
        await file.close();
      }
    },
  };
}

export class BucketHomes {
  readonly #options: HomesOptions;
  readonly #homes = new Map<ArchiveVolume, VolumeHome>();
  readonly uploader: Uploader;
  #isReadingBase = false;

  constructor(options: HomesOptions) {
    this.#options = options;
    const { clock, random, log, config } = options;
    const homes = () => this.#present();
    this.uploader = new Uploader({ clock, random, log, intervalMs: config.intervalMs, homes });
  }

  /** Homes of the volumes that there are; those that are gone are given up, what they have in the bucket stays. */
  #present(): [string, VolumeHome][] {
    const volumes = new Set(this.#options.volumes());
    for (const [volume, home] of this.#homes) {
      if (volumes.has(volume)) continue;
      home.close();
      this.#homes.delete(volume);
    }
    return [...volumes].map((volume) => [volume.name, this.#homeOf(volume)]);
  }

  #homeOf(volume: ArchiveVolume): VolumeHome {
    const known = this.#homes.get(volume);
    if (known !== undefined) return known;
    const { stores, config, nodeId, discard, clock } = this.#options;
    const options: HomeOptions = {
      ...{ writer: nodeId, discard, takesOver: config.takesOver, partBytes: config.partBytes },
      atOnce: config.uploadsAtOnce,
      keepUnusedSeconds: parsePeriod(config.keepUnused) ?? 0,
      nowSeconds: () => Math.floor(clock.nowMs() / 1000),
      beginBase: () => this.#beginBase(),
      throwIfStopped: () => {
        if (this.uploader.isStopped) throw new NxError("NX_NOT_RUNNING", "the archive stops");
        if (["ClearVol", "ResetVol"].includes(volume.state))
          throw new NxError("NX_NOT_RUNNING", `${volume.name} is being removed`);
      },
    };
    const home = new VolumeHome(this.#options.homeVolumeOf(volume), stores.of(volume.name), options);
    this.#homes.set(volume, home);
    return home;
  }

  /** One base image after the other: they are what takes memory and time. */
  #beginBase(): (() => void) | undefined {
    if (this.#isReadingBase) return undefined;
    this.#isReadingBase = true;
    return () => (this.#isReadingBase = false);
  }

  /** Something of the volume is not in the bucket, or nobody has looked yet. */
  isBehind(volume: ArchiveVolume): boolean {
    const { diffs, isBaseMissing } = this.#homeOf(volume).behind();
    return diffs.length > 0 || isBaseMissing;
  }

  /** For `/stats`. */
  stats() {
    const { stores, config } = this.#options;
    const sums = { objectsPut: 0, bytesPut: 0, objectsFound: 0, objectsRemoved: 0, bytesRead: 0 };
    for (const { figures } of stores.all())
      for (const key of Object.keys(sums) as (keyof typeof sums)[]) sums[key] += figures[key];
    const volumes = this.uploader.lags().map((lag) => ({ ...lag, error: lag.error ?? null }));
    return { name: stores.objects.name, mode: config.mode, ...sums, volumes };
  }

  async stop(): Promise<void> {
    const stopped = this.uploader.stop();
    // Nobody waits for a store that does not answer.
    this.#options.stores.objects.close();
    await stopped;
    for (const home of this.#homes.values()) home.close();
    this.#homes.clear();
    this.#options.stores.close();
  }
}
