/**
 * Images as files in the directory of their volume: sparse, and cloned where the file system shares blocks.
 *
 * Invariant: see back-end.ts. A file that was created, grown or renamed has its directory synced before anyone relies on it.
 */
import { join } from "node:path";
import { NxError } from "../../../core/errors.ts";
import type { Disk } from "../../../core/seams/disk.ts";
import { type BegunRestore, gidsBehind, type ImageBackEnd, type OpenImage, WithoutCold } from "./back-end.ts";

export class ImageFiles extends WithoutCold implements ImageBackEnd {
  readonly volumeGroup = "";
  readonly thinPool = "";
  readonly newBaseIsZero = true;
  readonly #disk: Disk;
  readonly #directory: string;

  constructor(disk: Disk, directory: string) {
    super();
    this.#disk = disk;
    this.#directory = directory;
  }

  async check(): Promise<void> {}

  #folder(volume: string): string {
    return join(this.#directory, volume);
  }

  #base(volume: string): string {
    return join(this.#folder(volume), `wb_${volume}`);
  }

  restoredPath(volume: string, gid: bigint): string {
    return join(this.#folder(volume), `wr_${volume}_${gid}`);
  }

  async #names(volume: string): Promise<string[]> {
    if (!(await this.#disk.exists(this.#folder(volume)))) return [];
    return (await this.#disk.list(this.#folder(volume))).map(({ name }) => name);
  }

  async baseBytes(volume: string): Promise<number | undefined> {
    if (!(await this.#disk.exists(this.#base(volume)))) return undefined;
    const { file, bytes } = await this.openBase(volume, "read");
    await file.close();
    return bytes;
  }

  async #sized(path: string, bytes: number): Promise<OpenImage> {
    const file = await this.#disk.open(path, "create");
    await file.truncate(0);
    await file.truncate(bytes);
    await file.sync();
    return { file, bytes, path };
  }

  async createBase(volume: string, bytes: number): Promise<OpenImage> {
    const image = await this.#sized(this.#base(volume), bytes);
    await this.#disk.syncDirectory(this.#folder(volume));
    return image;
  }

  async openBase(volume: string, mode: "read" | "readWrite"): Promise<OpenImage> {
    const path = this.#base(volume);
    const file = await this.#disk.open(path, mode).catch((error: unknown) => {
      throw (error as { code?: string }).code === "ENOENT"
        ? new NxError("NX_DATA_CORRUPT", `the base image ${path} is missing`, {
            hint: "restore it from another archive (replicate), or take a full backup",
          })
        : error;
    });
    return { file, bytes: await file.size(), path };
  }

  async growBase(volume: string, bytes: number): Promise<void> {
    const { file, bytes: before } = await this.openBase(volume, "readWrite");
    try {
      // The new part reads as zeros.
      if (bytes > before) await file.truncate(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
  }

  async removeBase(volume: string): Promise<void> {
    if (!(await this.#disk.exists(this.#base(volume)))) return;
    await this.#disk.remove(this.#base(volume));
    await this.#disk.syncDirectory(this.#folder(volume));
  }

  async restored(volume: string): Promise<bigint[]> {
    return gidsBehind(await this.#names(volume), `wr_${volume}_`);
  }

  async beginRestore(volume: string, gid: bigint): Promise<BegunRestore> {
    const path = `${this.restoredPath(volume, gid)}_tmp`;
    if (await this.#disk.exists(path)) await this.#disk.remove(path);
    const hasFile = await this.#disk.exists(this.#base(volume));
    if (hasFile && (await this.#disk.clone?.(this.#base(volume), path)) === true) {
      const file = await this.#disk.open(path, "readWrite");
      return { file, bytes: await file.size(), path, isCopy: true };
    }
    const bytes = (await this.baseBytes(volume)) ?? 0;
    return { ...(await this.#sized(path, bytes)), isCopy: false };
  }

  async finishRestore(volume: string, gid: bigint): Promise<void> {
    const path = this.restoredPath(volume, gid);
    await this.#disk.rename(`${path}_tmp`, path);
    await this.#disk.syncDirectory(this.#folder(volume));
  }

  async removeRestored(volume: string, gid: bigint): Promise<void> {
    await this.#disk.remove(this.restoredPath(volume, gid));
    await this.#disk.syncDirectory(this.#folder(volume));
  }

  async collect(volume: string): Promise<void> {
    for (const name of await this.#names(volume))
      if (/^wr_.*_tmp$/.test(name)) await this.#disk.remove(join(this.#folder(volume), name));
  }

  async removeAll(volume: string): Promise<void> {
    for (const name of await this.#names(volume))
      if (name.startsWith("wr_")) await this.#disk.remove(join(this.#folder(volume), name));
    await this.removeBase(volume);
  }
}
