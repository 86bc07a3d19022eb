/**
 * Power loss under an archive and a proxy: every moment of a history times the states of the disk that it can leave,
 * each read as a start would read it. What was acknowledged must be there, whole.
 */
import { compareBase, NewBaseSums } from "../../src/backup/archive/base-sums.ts";
import { apply, diffsToApply, diffsToMerge, merge } from "../../src/backup/archive/jobs.ts";
import { imageAt } from "../../src/backup/archive/reading.ts";
import { ImageFiles } from "../../src/backup/archive/images/files.ts";
import { ArchiveVolume } from "../../src/backup/archive/volume.ts";
import { clean, type MetaDiff, restorePoints, steady } from "../../src/backup/algebra/snapshot.ts";
import { snappy } from "../../src/backup/formats/compression.ts";
import { fileSource, memorySource } from "../../src/backup/formats/bytes.ts";
import { mergedRuns, openDiff, writeMerged } from "../../src/backup/formats/diff-merge.ts";
import { ProxyVolume } from "../../src/backup/proxy/volume.ts";
import type { Disk } from "../../src/core/seams/disk.ts";
import { SimClock } from "../../src/core/sim/clock.ts";
import { crashStates } from "../../src/core/sim/disk-crash.ts";
import type { DirectoryNode } from "../../src/core/sim/disk-state.ts";
import { SimDisk } from "../../src/core/sim/disk.ts";
import { Scheduler } from "../../src/core/sim/scheduler.ts";
import { writeWdiffHeader } from "../../src/native/blocks.ts";
import { LogReader } from "../../src/native/log-reader.ts";
import { boundDisk } from "./bound-disk.ts";
import { keyOf, models } from "./log-harness.ts";

export const DIRECTORY = "/data";
export const VOLUME = "vol1";
export const BLOCKS = 24;
const STATES_MAX = 120;
const VIOLATIONS_MAX = 20;

/** The disk with one promise broken on purpose. */
export type Subject = (disk: Disk) => Disk;
export const whole: Subject = (disk) => disk;

export class CrashWorld {
  readonly scheduler = new Scheduler(7);
  readonly sim = new SimDisk(this.scheduler);
  readonly random = this.scheduler.fork();
  readonly clock = new SimClock(this.scheduler);
  readonly disk: Disk;

  constructor(subject: Subject, state?: DirectoryNode) {
    this.disk = subject(this.sim);
    if (state !== undefined) this.sim.restore(state);
    else this.run(() => this.sim.makeDirectory(DIRECTORY).then(() => this.sim.syncDirectory("/")));
  }

  run<Value>(work: () => Promise<Value>): Value {
    return this.scheduler.run(work, { timeLimitMs: 60_000_000 });
  }

  volume(directory = DIRECTORY): ArchiveVolume {
    const { disk, random, clock } = this;
    const images = new ImageFiles(disk, directory);
    return new ArchiveVolume({ disk, random, clock, images }, directory, VOLUME);
  }

  proxyVolume(): ProxyVolume {
    const { disk, random, clock } = this;
    return new ProxyVolume({ disk, random, clock }, DIRECTORY, VOLUME);
  }
}

export const imageOf = (version: number) => {
  const image = Buffer.alloc(BLOCKS * 512);
  for (let block = 0; block < BLOCKS; block++)
    image.fill((block % (version + 1)) * 16 + version, block * 512, (block + 1) * 512);
  return image;
};

/** A diff that makes the image of `version` of any other. */
export async function diffBytes(version: number): Promise<Uint8Array> {
  const reader = new LogReader({ codec: snappy.id, level: 0, outOffset: 32 });
  reader.addImage(0, imageOf(version), 8);
  reader.index(0);
  const indexed = Buffer.concat([writeWdiffHeader("indexed", new Uint8Array(16)), reader.out.take()]);
  reader.free();
  const parts: Uint8Array[] = [];
  const sink = { append: async (bytes: Uint8Array) => void parts.push(bytes.slice()) };
  await writeMerged([await openDiff(memorySource("memory", indexed))], new Uint8Array(16), sink, {
    compression: snappy,
    blocksMax: 0,
  });
  return Buffer.concat(parts);
}

export const metaDiff = (gid: number, isMergeable: boolean): MetaDiff => ({
  isMergeable,
  isComparison: false,
  timestamp: 1_800_000_000 + gid,
  from: clean(BigInt(gid - 1)),
  to: clean(BigInt(gid)),
  dataBytes: 0,
});

export interface Point {
  after: string;
  disk: DirectoryNode;
  /** What must be there, by the name of the moment's promise. */
  promise: readonly string[];
}

export interface Exploration {
  points: number;
  states: number;
  violations: string[];
}

export function visit(
  points: readonly Point[],
  subject: Subject,
  find: (world: CrashWorld) => readonly string[],
  statesMax = STATES_MAX,
): Exploration {
  const result: Exploration = { points: points.length, states: 0, violations: [] };
  const findings = new Map<string, readonly string[] | string>();
  for (const point of points) {
    for (const model of models) {
      // What breaks its promises is known by a few.
      if (result.violations.length >= VIOLATIONS_MAX) return result;
      crashStates(point.disk, model, statesMax, (state) => {
        result.states += 1;
        const key = keyOf(state);
        let finding = findings.get(key);
        if (finding === undefined) {
          try {
            finding = find(new CrashWorld(subject, state));
          } catch (error) {
            finding = `refused: ${(error as Error).message}`;
          }
          findings.set(key, finding);
        }
        const missing =
          typeof finding === "string" ? [finding] : point.promise.filter((each) => !finding.includes(each));
        if (missing.length > 0)
          result.violations.push(`after ${point.after} (${model.names}): ${missing.join(", ")}`);
      });
    }
  }
  return result;
}

/** Records a history; `promise` is what a start must find from now on. */
export function record(
  world: CrashWorld,
  work: (promise: (...what: string[]) => void) => Promise<void>,
): Point[] {
  const points: Point[] = [];
  let promised: readonly string[] = [];
  const capture = (after: string) => points.push({ after, disk: world.sim.capture(), promise: promised });
  world.sim.onChange = (operation, path) => {
    if (!["read", "size", "list", "exists", "close"].includes(operation)) capture(`${operation} ${path}`);
  };
  world.run(() =>
    work((...what) => {
      promised = what;
      capture(`the promise of ${what.join(", ")}`);
    }),
  );
  world.sim.onChange = undefined;
  return points;
}

const JOBS = { discard: "zero", openMax: 10, keepsOneCold: false, applySleepPercent: 0 } as const;

/** A base image at gid 0 and diffs up to `gids`; `promise` hears of each. */
export async function makeHistory(
  volume: ArchiveVolume,
  gids: number,
  promise: (...what: string[]) => void = () => undefined,
): Promise<void> {
  const base = await volume.world.images.createBase(VOLUME, BLOCKS * 512);
  await base.file.write(imageOf(0), 0);
  await base.file.sync();
  await base.file.close();
  const sums = new NewBaseSums();
  sums.add(imageOf(0));
  await sums.write(volume.world.disk, volume.directory, clean(0n));
  promise();
  await volume.setBase(steady(clean(0n), 1_800_000_000));
  await volume.setState("Archived");
  promise("0");
  for (let gid = 1; gid <= gids; gid++) {
    const bytes = await diffBytes(gid);
    await volume.diffs.add(metaDiff(gid, false), (sink) => sink.append(bytes));
    promise(...Array.from({ length: gid + 1 }, (_, index) => String(index)));
  }
}

/** A base that has checksums must have the right ones. */
async function demandBaseSums(volume: ArchiveVolume): Promise<void> {
  const { disk, images } = volume.world;
  const { file, bytes, path } = await images.openBase(VOLUME, "read");
  const compared = await compareBase(disk, volume.directory, volume.base, fileSource(path, file, bytes));
  await file.close();
  if (compared?.found !== undefined) throw new Error("the checksums of the base are not those of the base");
}

/** The gids that can be restored, each image compared. */
export async function pointsFound(volume: ArchiveVolume): Promise<string[]> {
  await demandBaseSums(volume);
  const found: string[] = [];
  for (const { gid } of restorePoints(volume.base, volume.diffs.all)) {
    const parts: Buffer[] = [];
    for await (const chunk of imageAt(volume, gid, 4096)) parts.push(Buffer.from(chunk));
    if (!Buffer.concat(parts).equals(imageOf(Number(gid)))) throw new Error(`the image at ${gid} is another`);
    found.push(String(gid));
  }
  return found;
}

/** init, full copy, diffs, a disabled snapshot, a merge, an apply. */
export function exploreArchive(subject: Subject): Exploration {
  const world = new CrashWorld(subject);
  const points = record(world, async (promise) => {
    const volume = world.volume();
    await volume.init();
    promise("SyncReady");
    await makeHistory(volume, 4, promise);
    promise("0", "1", "2", "3", "4");
    await volume.diffs.setMergeable(3n, true);
    promise("0", "1", "2", "4");
    await merge(volume, diffsToMerge(volume, 2n, { upTo: 4n }));
    promise("2", "4");
    await apply(volume, 2n, JOBS);
    promise("2", "4");
    if (diffsToApply(volume, 4n).length === 0) throw new Error("nothing is left to apply");
    promise("4");
    await apply(volume, 4n, JOBS);
  });
  return visit(points, subject, (restarted) =>
    restarted.run(async () => {
      const volume = restarted.volume();
      await volume.load();
      if (volume.state !== "Archived") return [volume.state];
      return await pointsFound(volume);
    }),
  );
}

/** Two archives, diffs that come, an archive that takes them. */
export function exploreProxy(subject: Subject): Exploration {
  const world = new CrashWorld(subject);
  const forwarding = { archive: { host: "127.0.0.1", port: 1 }, compression: snappy, delaySeconds: 0 };
  const points = record(world, async (promise) => {
    const volume = world.proxyVolume();
    await volume.setArchive("a0", forwarding);
    await volume.setArchive("a1", forwarding);
    promise("a0:", "a1:");
    for (let gid = 1; gid <= 2; gid++) {
      const bytes = await diffBytes(gid);
      await volume.store(async (sink) => {
        await sink.append(bytes);
        return metaDiff(gid, false);
      });
      promise(
        ...["a0", "a1"].flatMap((name) => [
          `${name}:`,
          ...Array.from({ length: gid }, (_, index) => `${name}:${index + 1}`),
        ]),
      );
    }
    // From here on a0 has acknowledged the first.
    promise("a0:", "a1:", "a0:2", "a1:1", "a1:2");
    const { diffs } = volume.queue("a0");
    await diffs.remove(diffs.all.slice(0, 1));
  });
  return visit(points, subject, (restarted) =>
    restarted.run(async () => {
      const volume = restarted.proxyVolume();
      if (!(await restarted.disk.exists(volume.directory))) return [];
      await volume.load();
      const found: string[] = [];
      for (const { name, diffs } of volume.queues.values()) {
        found.push(`${name}:`);
        for (const diff of diffs.all) {
          const finding = await diffs.verify(diff);
          // A diff that is being removed may have lost its side file first.
          if (finding !== undefined && finding !== "none")
            throw new Error(`${name}: the diff to ${diff.to.begin} is damaged`);
          await diffs.withOpen([diff], async (open) => {
            for await (const _runs of mergedRuns(open)) continue;
          });
          found.push(`${name}:${diff.to.begin}`);
        }
      }
      return found;
    }),
  );
}

/** Files whose sync does nothing. */
export const withoutSync: Subject = (disk) => ({
  ...boundDisk(disk),
  async open(path, mode) {
    const file = await disk.open(path, mode);
    return {
      read: (target, offset) => file.read(target, offset),
      write: (bytes, offset) => file.write(bytes, offset),
      writeDurably: (bytes, offset) => file.write(bytes, offset),
      sync: async () => undefined,
      truncate: (size) => file.truncate(size),
      allocate: (size) => file.allocate(size),
      size: () => file.size(),
      close: () => file.close(),
    };
  },
});

/** Directories whose sync does nothing. */
export const withoutDirectorySync: Subject = (disk) => ({
  ...boundDisk(disk),
  syncDirectory: async () => undefined,
});
