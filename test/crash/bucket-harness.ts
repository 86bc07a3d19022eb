/**
 * Crashes of an archive that writes to a bucket: at every call of the store and every change of the disk the archive dies.
 * The bucket alone must then restore every point that it had been said to have, and the archive that starts again must
 * bring the bucket up to itself.
 */
import { apply, diffsToMerge, merge } from "../../src/backup/archive/jobs.ts";
import { homeVolumeOf } from "../../src/backup/archive/bucket/homes.ts";
import { PrimaryBucket } from "../../src/backup/archive/bucket/primary.ts";
import { ArchiveVolume } from "../../src/backup/archive/volume.ts";
import { decodeManifest } from "../../src/backup/bucket/manifest.ts";
import { type HomeOptions, type HomeVolume, VolumeHome } from "../../src/backup/bucket/home.ts";
import { dataPrefix, PartStore } from "../../src/backup/bucket/part-store.ts";
import { PartStores } from "../../src/backup/bucket/part-stores.ts";
import { manifestOf, pointsOf } from "../../src/backup/bucket/reading.ts";
import { restoreFromBucket } from "../../src/backup/bucket/restore.ts";
import type { ObjectStore } from "../../src/core/seams/object-store.ts";
import type { DirectoryNode } from "../../src/core/sim/disk-state.ts";
import { MemoryObjects } from "../backup/bucket/memory-store.ts";
import {
  CrashWorld,
  diffBytes,
  DIRECTORY,
  imageOf,
  makeHistory,
  metaDiff,
  pointsFound,
  VOLUME,
  whole,
} from "./backup-harness.ts";

const PART_BYTES = 4096;
const JOBS = { discard: "zero", openMax: 10, keepsOneCold: false, applySleepPercent: 0 } as const;

/** The store as the archive uses it, with one promise broken on purpose. */
export type StoreSubject = (store: MemoryObjects) => ObjectStore;
export const honest: StoreSubject = (store) => store;

interface Moment {
  after: string;
  disk: DirectoryNode;
  objects: Map<string, Uint8Array>;
  /** Gids that the bucket must restore. */
  promised: readonly string[];
}

/** The bucket follows the archive, or is where the archive keeps everything. */
export type Mode = "second" | "primary";

interface Opened {
  volume: ArchiveVolume;
  home: VolumeHome;
}

/** The volume as a start finds it; `load` reads what is there. */
async function open(world: CrashWorld, store: ObjectStore, mode: Mode): Promise<Opened> {
  if (mode === "second") {
    const volume = world.volume();
    return { volume, home: homeOf(homeVolumeOf(volume), new PartStore(store, VOLUME)) };
  }
  const { disk, random, clock } = world;
  const stores = new PartStores(store);
  const primary = new PrimaryBucket({
    ...{ disk, random, directory: DIRECTORY, cacheDirectory: `${DIRECTORY}/cache`, stores },
    // Nothing that is in the bucket stays here.
    ...{ cacheBytesMax: 2, partBytes: PART_BYTES, nodeId: "a0", takesOver: false },
  });
  await primary.open(() => undefined);
  const openParts = (name: string) => primary.openParts(name);
  const volume = new ArchiveVolume(
    { disk, random, clock, images: primary.images, openParts },
    DIRECTORY,
    VOLUME,
  );
  return { volume, home: homeOf(primary.homeVolumeOf(volume), stores.of(VOLUME)) };
}

export function homeOf(volume: HomeVolume, parts: PartStore, more: Partial<HomeOptions> = {}): VolumeHome {
  return new VolumeHome(volume, parts, {
    ...{ writer: "a0", takesOver: false, discard: "zero", partBytes: PART_BYTES, atOnce: 2 },
    keepUnusedSeconds: 0,
    // The same in every life: the clocks of these worlds all begin anew.
    nowSeconds: () => 1_800_001_000,
    beginBase: () => () => undefined,
    throwIfStopped: () => undefined,
    ...more,
  });
}

type Known = Map<string, string[]>;

/**
 * The gids that the bucket restores, each image compared. Throws for one that it lists and cannot restore. Most moments leave
 * the bucket as it was: what was found is kept in `known`.
 */
function bucketPoints(store: MemoryObjects, known: Known): string[] {
  const manifest = store.objects.get(`${VOLUME}/manifest`) ?? new Uint8Array(0);
  const key = [Bun.hash(manifest), ...[...store.objects.keys()].sort()].join();
  const found = known.get(key) ?? restoredPoints(store);
  known.set(key, found);
  return found;
}

function restoredPoints(store: ObjectStore): string[] {
  const world = new CrashWorld(whole);
  return world.run(async () => {
    const found: string[] = [];
    for (const { gid } of pointsOf(await manifestOf(store, VOLUME))) {
      const path = `/restored-${gid}`;
      await restoreFromBucket({
        ...{ disk: world.disk, random: world.random, store, volume: VOLUME, path },
        choose: (points) => points.find((point) => point.gid === gid) as (typeof points)[number],
      });
      const file = await world.disk.open(path, "read");
      const image = Buffer.alloc(imageOf(0).byteLength);
      const count = await file.read(image, 0);
      await file.close();
      if (count !== image.byteLength || !image.equals(imageOf(Number(gid))))
        throw new Error(`the image at ${gid} is another`);
      found.push(String(gid));
    }
    return found;
  });
}

/** Full copy, diffs, a merge, an apply; the bucket follows after each. */
export function recordBucket(subject: StoreSubject, mode: Mode): Moment[] {
  const world = new CrashWorld(whole);
  const objects = new MemoryObjects();
  const moments: Moment[] = [];
  let promised: readonly string[] = [];
  const capture = (after: string) =>
    moments.push({ after, disk: world.sim.capture(), objects: new Map(objects.objects), promised });
  objects.after = (call, key) => {
    if (call === "put" || call === "replace" || call === "remove") capture(`${call} ${key}`);
  };
  world.sim.onChange = (operation, path) => {
    // A file that has no name of its own yet changes nothing for a start.
    const isNameless = /\.tmp$|\/tmp[0-9a-f]+$|\/cache\//.test(path) && operation !== "rename";
    const changes = !["open", "read", "size", "list", "exists", "close"].includes(operation);
    if (changes && !isNameless) capture(`${operation} ${path}`);
  };
  world.run(async () => {
    const { volume, home } = await open(world, subject(objects), mode);
    await volume.init();
    const bringUp = async (...gids: string[]) => {
      await home.bringUp();
      promised = gids;
      capture(`the promise of ${gids.join(", ")}`);
    };
    await makeHistory(volume, 2);
    await bringUp("0", "1", "2");
    for (const gid of [3, 4]) {
      const bytes = await diffBytes(gid);
      await volume.diffs.add(metaDiff(gid, false), (sink) => sink.append(bytes));
    }
    await bringUp("0", "1", "2", "3", "4");
    await volume.diffs.setMergeable(3n, true);
    promised = ["0", "1", "2", "4"];
    await merge(volume, diffsToMerge(volume, 2n, { upTo: 4n }));
    await bringUp("0", "1", "2", "4");
    promised = ["2", "4"];
    await apply(volume, 2n, JOBS);
    await bringUp("2", "4");
    home.close();
  });
  return moments;
}

/** What is wrong after a crash at this moment. */
function violationsAt({ after, disk, objects, promised }: Moment, mode: Mode, known: Known): string[] {
  const bucket = new MemoryObjects(new Map(objects));
  const found: string[] = [];
  const demand = (what: string) => {
    const points = bucketPoints(bucket, known);
    const missing = promised.filter((gid) => !points.includes(gid));
    if (missing.length > 0) found.push(`${what} lacks ${missing.join(", ")}`);
  };
  try {
    if (promised.length > 0) demand("the bucket");
    const isArchived = restart(new CrashWorld(whole, disk));
    if (isArchived) demand("the bucket after a restart");
    // Another machine begins with the bucket alone.
    if (mode === "primary" && promised.length > 0) restart(new CrashWorld(whole));
  } catch (error) {
    found.push((error as Error).message);
  }
  return found.map((text) => `after ${after}: ${text}`);

  function restart(world: CrashWorld): boolean {
    return world.run(async () => {
      const { volume, home } = await open(world, bucket, mode);
      if (!(await world.disk.exists(volume.directory))) return false;
      await volume.load();
      if (volume.state !== "Archived") return false;
      await home.bringUp();
      // As maintenance does: what an interrupted apply had uploaded is used or goes.
      if (volume.base.isApplying) await apply(volume, volume.base.to.begin, JOBS);
      await home.bringUp();
      const points = await pointsFound(volume);
      const missing = promised.filter((gid) => !points.includes(gid));
      if (missing.length > 0) found.push(`the archive after a restart lacks ${missing.join(", ")}`);
      const { diffs, isBaseMissing } = home.behind();
      if (diffs.length > 0 || isBaseMissing) found.push("the bucket is behind after a restart");
      found.push(...(await strays(bucket, home)));
      home.close();
      return true;
    });
  }
}

/** Objects that no manifest names; after a restart there are none. */
async function strays(bucket: MemoryObjects, home: VolumeHome): Promise<string[]> {
  const manifest = await decodeManifest("manifest", bucket.objects.get(`${VOLUME}/manifest`) as Uint8Array);
  const named = new Set<string>();
  for (const table of [manifest.baseTable, ...manifest.diffs.map((each) => each.table)]) {
    named.add(table.sha256);
    for (const part of (await home.parts.getTable(table)).parts)
      if (part !== undefined) named.add(part.sha256);
  }
  const prefix = dataPrefix(VOLUME);
  const keys = [...bucket.objects.keys()].filter((key) => key.startsWith(prefix));
  const count = keys.filter((key) => !named.has(key.slice(prefix.length))).length;
  return count === 0 ? [] : [`${count} objects that nothing names are left`];
}

export function exploreBucket(
  subject: StoreSubject,
  mode: Mode = "second",
): { moments: number; violations: string[] } {
  const moments = recordBucket(subject, mode);
  const violations: string[] = [];
  const known: Known = new Map();
  for (const moment of moments) {
    if (violations.length > 10) break;
    violations.push(...violationsAt(moment, mode, known));
  }
  return { moments: moments.length, violations };
}

/** Writes the manifest first: what it names is sent when the next object or manifest is. */
export const manifestFirst: StoreSubject = (store) => {
  let late: [string, Uint8Array][] = [];
  const flush = async () => {
    for (const [key, bytes] of late.splice(0)) await store.put(key, bytes);
  };
  return {
    ...bound(store),
    put: async (key, bytes) => void late.push([key, bytes.slice()]),
    async replace(key, bytes, tag) {
      const result = await store.replace(key, bytes, tag);
      await flush();
      return result;
    },
    get: async (key, bytesMax) =>
      late.find(([each]) => each === key)?.[1] ?? (await store.get(key, bytesMax)),
  };
};

/** Removes what the next manifest does not name before that is written. */
export const removedFirst: StoreSubject = (store) => ({
  ...bound(store),
  async replace(key, bytes, tag) {
    const { baseTable, diffs } = await decodeManifest(key, bytes);
    const names = new Set([baseTable.sha256, ...diffs.map(({ table }) => table.sha256)]);
    const before = store.objects.get(key);
    const old = before === undefined ? undefined : await decodeManifest(key, before);
    for (const { table } of old?.diffs ?? [])
      if (!names.has(table.sha256)) await store.remove(dataPrefix(VOLUME) + table.sha256);
    return await store.replace(key, bytes, tag);
  },
});

function bound(store: MemoryObjects): ObjectStore {
  return {
    name: store.name,
    put: (key, bytes) => store.put(key, bytes),
    replace: (key, bytes, tag) => store.replace(key, bytes, tag),
    get: (key, bytesMax) => store.get(key, bytesMax),
    stat: (key) => store.stat(key),
    list: (prefix) => store.list(prefix),
    remove: (key) => store.remove(key),
    close: () => store.close(),
  };
}
