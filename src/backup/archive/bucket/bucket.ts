/** The bucket of an archive, put together from its configuration: where volumes go, and for a primary where they are. */
import { join } from "node:path";
import type { RoleContext } from "../../../core/role.ts";
import { openS3 } from "../../../core/seams/object-store-s3.ts";
import { PartStores } from "../../bucket/part-stores.ts";
import { placeOf } from "../../bucket/place.ts";
import type { ArchiveConfig } from "../config.ts";
import type { AwaitedBucket } from "../receive.ts";
import type { ArchiveVolume } from "../volume.ts";
import { BucketHomes, homeVolumeOf } from "./homes.ts";
import { PrimaryBucket } from "./primary.ts";

export interface ArchiveBucket {
  homes: BucketHomes;
  /** Where the bucket is the primary. */
  primary: PrimaryBucket | undefined;
  /** What acknowledgements wait for, there. */
  awaited: AwaitedBucket | undefined;
}

/** Undefined without the key `bucket`. Throws what is wrong with the credentials. */
export function archiveBucket(
  context: RoleContext<ArchiveConfig>,
  directory: string,
  nodeId: string,
  volumes: () => Iterable<ArchiveVolume>,
): ArchiveBucket | undefined {
  const { clock, random, disk, log, config, dataDir } = context;
  const { bucket, discard } = config;
  if (bucket === undefined) return undefined;
  const open = context.openObjects ?? ((place) => openS3(place, clock));
  const stores = new PartStores(open(placeOf(bucket, process.env)));
  const { partBytes, cacheBytesMax, takesOver } = bucket;
  const cacheDirectory = join(dataDir, "bucket-cache");
  const primary =
    bucket.mode === "primary"
      ? new PrimaryBucket({
          ...{ disk, random, directory, cacheDirectory, cacheBytesMax, partBytes, stores, nodeId, takesOver },
        })
      : undefined;
  const homes = new BucketHomes({
    ...{ stores, config: bucket, clock, random, log, nodeId, discard, volumes },
    homeVolumeOf: (volume) => primary?.homeVolumeOf(volume) ?? homeVolumeOf(volume),
  });
  const awaited = primary && {
    isBehind: (volume: ArchiveVolume) => homes.isBehind(volume),
    inStep: (volume: ArchiveVolume) => homes.uploader.inStep(volume.name, bucket.timeoutMs),
  };
  return { homes, primary, awaited };
}
