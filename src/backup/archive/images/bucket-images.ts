/**
 * Base images in a bucket: `wb_VOL.parts` in the directory of the volume is the table of the image's parts. Restored images
 * are files there, as without a bucket.
 *
 * Invariant: see back-end.ts. The table is replaced whole, after the objects that it names are in the bucket.
 */
import { join } from "node:path";
import { NxError } from "../../../core/errors.ts";
import type { Disk, DiskFile } from "../../../core/seams/disk.ts";
import { writeFileAtomically } from "../../../core/seams/durable-files.ts";
import type { PartCache } from "../../bucket/part-cache.ts";
import { PartImage } from "../../bucket/part-image.ts";
import { encodePartTable, partLength, partsOf, type PartTable } from "../../bucket/part-table.ts";
import type { PartStores } from "../../bucket/part-stores.ts";
import { PARTS_SUFFIX, readPartTable } from "../../files/distant-diffs.ts";
import type { BegunRestore, OpenImage } from "./back-end.ts";
import { ImageFiles } from "./files.ts";

export interface BucketImagesOptions {
  disk: Disk;
  directory: string;
  stores: PartStores;
  cache: PartCache;
  /** Of images that are made. */
  partBytes: number;
}

export class BucketImages extends ImageFiles {
  readonly #options: BucketImagesOptions;
  /** What the local files say. */
  readonly #tables = new Map<string, PartTable>();

  constructor(options: BucketImagesOptions) {
    super(options.disk, options.directory);
    this.#options = options;
  }

  #path(volume: string): string {
    return join(this.#options.directory, volume, `wb_${volume}${PARTS_SUFFIX}`);
  }

  async findTable(volume: string): Promise<PartTable | undefined> {
    const known = this.#tables.get(volume);
    if (known !== undefined) return known;
    if (!(await this.#options.disk.exists(this.#path(volume)))) return undefined;
    const table = await readPartTable(this.#options.disk, this.#path(volume));
    this.#tables.set(volume, table);
    return table;
  }

  /** The table of the base image, which must be there. */
  async tableOf(volume: string): Promise<PartTable> {
    const table = await this.findTable(volume);
    if (table !== undefined) return table;
    throw new NxError("NX_DATA_CORRUPT", `the table of the base image ${this.#path(volume)} is missing`, {
      hint: "remove the volume's directory: an archive that starts takes it from the bucket",
    });
  }

  async setTable(volume: string, table: PartTable): Promise<void> {
    await writeFileAtomically(this.#options.disk, this.#path(volume), encodePartTable(table));
    this.#tables.set(volume, table);
  }

  #open(volume: string, table: PartTable): OpenImage {
    const { stores, cache } = this.#options;
    const save = (next: PartTable) => this.setTable(volume, next);
    const file = new PartImage({ parts: stores.of(volume), cache, table, save });
    return { file, bytes: table.bytes, path: this.#path(volume) };
  }

  override async baseBytes(volume: string): Promise<number | undefined> {
    return (await this.findTable(volume))?.bytes;
  }

  override async createBase(volume: string, bytes: number): Promise<OpenImage> {
    const { partBytes } = this.#options;
    const parts = Array.from({ length: partsOf(bytes, partBytes) }, () => undefined);
    const table = { partBytes, bytes, parts };
    await this.setTable(volume, table);
    return this.#open(volume, table);
  }

  override async openBase(volume: string, _mode: "read" | "readWrite"): Promise<OpenImage> {
    return this.#open(volume, await this.tableOf(volume));
  }

  override async growBase(volume: string, bytes: number): Promise<void> {
    const { file } = await this.openBase(volume, "readWrite");
    try {
      await file.allocate(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
  }

  override async removeBase(volume: string): Promise<void> {
    this.#tables.delete(volume);
    if (await this.#options.disk.exists(this.#path(volume)))
      await this.#options.disk.remove(this.#path(volume));
  }

  /** Nothing of the volume stays in the bucket: an archive that starts would take it from there. */
  override async removeAll(volume: string): Promise<void> {
    const parts = this.#options.stores.of(volume);
    await parts.alone(() => parts.removeVolume());
    await super.removeAll(volume);
  }

  /** The base image comes from the bucket into a file; parts of zeros stay holes. */
  override async beginRestore(volume: string, gid: bigint): Promise<BegunRestore> {
    const image = await super.beginRestore(volume, gid);
    try {
      await this.#fill(volume, image.file);
      return { ...image, isCopy: true };
    } catch (error) {
      await image.file.close();
      throw error;
    }
  }

  async #fill(volume: string, file: DiskFile): Promise<void> {
    const table = await this.tableOf(volume);
    const { stores, cache } = this.#options;
    for (const [index, part] of table.parts.entries()) {
      if (part === undefined) continue;
      const content = new Uint8Array(partLength(table, index));
      await cache.read(stores.of(volume), table, index, content, 0);
      await file.write(content, index * table.partBytes);
    }
  }
}
