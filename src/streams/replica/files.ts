/**
 * The files of a replica server: one directory for each worker, in it files that only grow, are cut, or go.
 *
 * Invariant: one appender at a time for each file; everything that changes a file waits for what was asked before. A name
 * that was given out by `append` is on disk. What `sync` resolved for survives power loss, and nothing is called synced
 * before.
 */
import { join } from "node:path";
import type { Disk } from "../../core/seams/disk.ts";
import { makeDurableDirectory } from "../../core/seams/durable-files.ts";
import { crc32c } from "../../native/crc32c.ts";
import { AppendFile } from "../append-file.ts";
import { fileChunks } from "../read-file.ts";
import { WireError } from "../wire/bytes.ts";
import type { ReplicaFile } from "../wire/replica.ts";

export class ReplicaFiles {
  readonly #disk: Disk;
  readonly #base: string;
  /** Open appends by path. */
  readonly #appending = new Map<string, AppendFile | undefined>();

  static async open(disk: Disk, base: string): Promise<ReplicaFiles> {
    await makeDurableDirectory(disk, base);
    return new ReplicaFiles(disk, base);
  }

  private constructor(disk: Disk, base: string) {
    this.#disk = disk;
    this.#base = base;
  }

  get appends(): number {
    return this.#appending.size;
  }

  /** The path of a worker's directory. `isMade`: made when it is missing; otherwise WireError. */
  async select(directory: string, isMade: boolean): Promise<string> {
    const path = join(this.#base, directory);
    if (await this.#disk.exists(path)) return path;
    if (!isMade) throw new WireError(`there is no directory ${directory}`);
    await makeDurableDirectory(this.#disk, path);
    return path;
  }

  async list(directory: string): Promise<ReplicaFile[]> {
    const files: ReplicaFile[] = [];
    for (const { name, kind } of await this.#disk.list(directory)) {
      const path = join(directory, name);
      if (kind !== "file" || name.startsWith(".")) continue;
      const isAppending = this.#appending.has(path);
      files.push({
        name,
        isAppending,
        bytes: this.#appending.get(path)?.bytes ?? (await this.#sizeOf(path)),
      });
    }
    return files;
  }

  async #sizeOf(path: string): Promise<number> {
    const file = await this.#disk.open(path, "read");
    try {
      return await file.size();
    } finally {
      await file.close();
    }
  }

  /** Up to `count` bytes (0: all) from `offset`. */
  async read(directory: string, name: string, offset: number, count: number): Promise<Uint8Array> {
    const path = await this.#existing(directory, name);
    const chunks: Uint8Array[] = [];
    const end = count === 0 ? undefined : offset + count;
    for await (const chunk of fileChunks(this.#disk, path, offset, end)) chunks.push(chunk);
    return Buffer.concat(chunks);
  }

  /** Takes the file for one appender. Throws WireError when it does not end at `offset`, or has an appender. */
  async append(directory: string, name: string, offset: number): Promise<AppendFile> {
    const path = join(directory, name);
    this.#assertFree(path, name);
    this.#appending.set(path, undefined);
    try {
      const file = await AppendFile.open(this.#disk, path);
      if (file.bytes !== offset) {
        await file.close();
        throw new WireError(`${name} has ${file.bytes} bytes, the append begins at ${offset}`);
      }
      this.#appending.set(path, file);
      return file;
    } catch (error) {
      this.#appending.delete(path);
      throw error;
    }
  }

  /** Closes what `append` gave. */
  async release(directory: string, name: string, file: AppendFile): Promise<void> {
    try {
      await file.close();
    } finally {
      this.#appending.delete(join(directory, name));
    }
  }

  /** Syncs a file and returns its length. */
  async sync(directory: string, name: string): Promise<number> {
    const path = await this.#existing(directory, name);
    const open = this.#appending.get(path);
    if (open !== undefined) {
      const { bytes } = open;
      await open.sync();
      return bytes;
    }
    return this.#with(path, async (file) => {
      await file.sync();
      return file.bytes;
    });
  }

  async truncate(directory: string, name: string, length: number): Promise<void> {
    const path = await this.#existing(directory, name);
    this.#assertFree(path, name);
    await this.#with(path, async (file) => {
      if (file.bytes < length) throw new WireError(`${name} has ${file.bytes} bytes`);
      await file.truncate(length);
    });
  }

  async checksum(directory: string, name: string, length: number): Promise<number> {
    const path = await this.#existing(directory, name);
    let crc = 0;
    let bytes = 0;
    for await (const chunk of fileChunks(this.#disk, path, 0, length)) {
      crc = crc32c(chunk, crc);
      bytes += chunk.byteLength;
    }
    if (bytes < length) throw new WireError(`${name} has ${bytes} bytes`);
    return crc;
  }

  async remove(directory: string, name: string): Promise<void> {
    const path = await this.#existing(directory, name);
    this.#assertFree(path, name);
    await this.#disk.remove(path);
    await this.#disk.syncDirectory(directory);
  }

  async #with<Value>(path: string, work: (file: AppendFile) => Promise<Value>): Promise<Value> {
    const file = await AppendFile.open(this.#disk, path);
    try {
      return await work(file);
    } finally {
      await file.close();
    }
  }

  async #existing(directory: string, name: string): Promise<string> {
    const path = join(directory, name);
    if (!(await this.#disk.exists(path))) throw new WireError(`there is no file ${name}`);
    return path;
  }

  #assertFree(path: string, name: string): void {
    if (this.#appending.has(path)) throw new WireError(`${name} is being appended to`);
  }
}
