/**
 * A point in time out of a bucket, on a machine that has nothing else: the base image part by part, then the diffs over it.
 *
 * While it is under way, `FILE.restore/` holds the image, the diffs that have come, and `progress`: one line
 * `VOLUME LINEAGE BASE GID PARTS`, how many parts of which base image are in the image and synced.
 *
 * Invariant: FILE has its name only when it is whole and synced, and every byte of it came from objects with the right
 * checksums. Interrupted anywhere, the same call goes on: with the next part of the base image and the next diff.
 */
import { dirname, join } from "node:path";
import { NxError } from "../../core/errors.ts";
import type { Disk, DiskFile } from "../../core/seams/disk.ts";
import { writeFileAtomically } from "../../core/seams/durable-files.ts";
import type { ObjectStore } from "../../core/seams/object-store.ts";
import type { Random } from "../../core/seams/random.ts";
import { chainFrom, isSameDiff, type MetaDiff, type RestorePoint } from "../algebra/snapshot.ts";
import { DiffFiles } from "../files/diff-files.ts";
import { readSmallFile } from "../files/volume-files.ts";
import { mergedRuns } from "../formats/diff-merge.ts";
import { ImageWriter } from "../formats/image.ts";
import { BLOCK_BYTES } from "../formats/units.ts";
import type { Manifest, StoredDiff } from "./manifest.ts";
import { partLength, type PartTable } from "./part-table.ts";
import { PartStore } from "./part-store.ts";
import { manifestOf, pointsOf } from "./reading.ts";

const AT_ONCE = 4;
/** The image is synced, and the progress written, after so many parts. */
const PARTS_A_STEP = 16;
const DIFFS_OPEN_MAX = 100;
const READY_BYTES = 4 << 20;

export interface RestoreOptions {
  disk: Disk;
  random: Random;
  store: ObjectStore;
  volume: string;
  /** Absolute; must not exist. */
  path: string;
  choose(points: readonly RestorePoint[]): RestorePoint;
  onProgress?(text: string): void;
}

export interface Restored extends RestorePoint {
  bytes: number;
  /** Bytes that came from the bucket in this call. */
  bytesRead: number;
}

class Restore {
  readonly #options: RestoreOptions;
  readonly #parts: PartStore;
  readonly #directory: string;
  readonly #manifest: Manifest;
  readonly #point: RestorePoint;

  constructor(options: RestoreOptions, parts: PartStore, manifest: Manifest, point: RestorePoint) {
    this.#options = options;
    this.#parts = parts;
    this.#manifest = manifest;
    this.#point = point;
    this.#directory = `${options.path}.restore`;
  }

  get #image(): string {
    return join(this.#directory, "image");
  }

  /** Of what an earlier call left only what is of this volume and lineage is used. */
  #progressLine(parts: number): string {
    const { archiveUuid, baseTable } = this.#manifest;
    const lineage = Buffer.from(archiveUuid).toString("hex");
    return `${this.#options.volume} ${lineage} ${baseTable.sha256} ${this.#point.gid} ${parts}\n`;
  }

  async #readProgress(): Promise<number> {
    const { disk } = this.#options;
    const bytes = await readSmallFile(disk, join(this.#directory, "progress"));
    const text = Buffer.from(bytes ?? []).toString();
    const parts = Number(/ (\d+)\n$/.exec(text)?.[1]);
    const [volume, lineage] = text.split(" ");
    const [ourVolume, ourLineage] = this.#progressLine(0).split(" ");
    if (volume !== ourVolume || lineage !== ourLineage) await this.#clear();
    return text === this.#progressLine(parts) ? parts : 0;
  }

  async #clear(): Promise<void> {
    const { disk } = this.#options;
    for (const { name } of await disk.list(this.#directory)) await disk.remove(join(this.#directory, name));
  }

  async run(): Promise<Restored> {
    const { disk, path } = this.#options;
    await disk.makeDirectory(this.#directory);
    const done = await this.#readProgress();
    const chain = await this.#fetchDiffs();
    const image = await disk.open(this.#image, "create");
    try {
      await this.#copyBase(image, done);
      await this.#apply(image, chain);
      await image.sync();
    } finally {
      await image.close();
    }
    await disk.rename(this.#image, path);
    await disk.syncDirectory(dirname(path));
    await this.#clear();
    await disk.removeDirectory(this.#directory);
    const { imageBytes: bytes } = this.#manifest;
    return { ...this.#point, bytes, bytesRead: this.#parts.figures.bytesRead };
  }

  /** Brings the diffs of the chain that are not there yet. */
  async #fetchDiffs(): Promise<{ files: DiffFiles; chain: MetaDiff[] }> {
    const { disk, random, onProgress } = this.#options;
    const { base, diffs } = this.#manifest;
    const files = await DiffFiles.open(disk, random, this.#directory);
    const all = diffs.map(({ diff }) => diff);
    const chain = chainFrom(base.from, all, this.#point.gid);
    const found: MetaDiff[] = [];
    for (const [index, diff] of chain.entries()) {
      onProgress?.(`diff ${index + 1} of ${chain.length}`);
      const { table } = diffs.find((each) => each.diff === diff) as StoredDiff;
      const present = files.all.find((each) => isSameDiff(each, diff) && each.timestamp === diff.timestamp);
      found.push(present ?? (await this.#fetchDiff(files, diff, await this.#parts.getTable(table))));
    }
    return { files, chain: found };
  }

  #fetchDiff(files: DiffFiles, diff: MetaDiff, table: PartTable): Promise<MetaDiff> {
    return files.add(diff, async (sink) => {
      for (let index = 0; index < table.parts.length; index++)
        await sink.append(await this.#parts.getPart(table, index));
    });
  }

  /** Writes the base image from part `done` on. What is zeros stays a hole. */
  async #copyBase(image: DiskFile, done: number): Promise<void> {
    const { disk, onProgress } = this.#options;
    const table = await this.#parts.getTable(this.#manifest.baseTable);
    if (done === 0) await image.truncate(0);
    await image.truncate(this.#manifest.imageBytes);
    for (let from = done; from < table.parts.length; from += PARTS_A_STEP) {
      const to = Math.min(from + PARTS_A_STEP, table.parts.length);
      onProgress?.(`part ${from + 1} of ${table.parts.length} of the base image`);
      await this.#copyParts(image, table, from, to);
      await image.sync();
      await writeFileAtomically(disk, join(this.#directory, "progress"), this.#progressLine(to));
    }
  }

  async #copyParts(image: DiskFile, table: PartTable, from: number, to: number): Promise<void> {
    let next = from;
    const work = async () => {
      while (next < to) {
        const index = next++;
        if (table.parts[index] === undefined) continue;
        const content = await this.#parts.getPart(table, index);
        await image.write(content.subarray(0, partLength(table, index)), index * table.partBytes);
      }
    };
    const ended = await Promise.allSettled(Array.from({ length: AT_ONCE }, work));
    for (const each of ended) if (each.status === "rejected") throw each.reason;
  }

  async #apply(image: DiskFile, { files, chain }: { files: DiffFiles; chain: MetaDiff[] }): Promise<void> {
    const { disk, onProgress } = this.#options;
    const { discard, imageBytes } = this.#manifest;
    for (let at = 0; at < chain.length; at += DIFFS_OPEN_MAX) {
      onProgress?.(`applying diff ${at + 1} of ${chain.length}`);
      const writer = new ImageWriter(disk, { file: image, blocks: imageBytes / BLOCK_BYTES }, discard);
      try {
        await files.withOpen(chain.slice(at, at + DIFFS_OPEN_MAX), async (open) => {
          for await (const runs of mergedRuns(open, { readyBytes: READY_BYTES })) await writer.write(runs);
        });
        await writer.finish();
      } finally {
        await writer.close();
      }
    }
  }
}

/** Throws NX_FILE_EXISTS, what `choose` throws, NX_DATA_CORRUPT with the object's name, NX_CONNECT_FAILED. */
export async function restoreFromBucket(options: RestoreOptions): Promise<Restored> {
  const { disk, store, volume, path, choose } = options;
  if (await disk.exists(path))
    throw new NxError("NX_FILE_EXISTS", `${path} exists already`, {
      hint: "name another file, or remove it",
    });
  const manifest = await manifestOf(store, volume);
  const point = choose(pointsOf(manifest));
  const parts = new PartStore(store, volume);
  try {
    return await new Restore(options, parts, manifest, point).run();
  } finally {
    parts.close();
  }
}
