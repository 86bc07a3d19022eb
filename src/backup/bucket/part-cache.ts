/**
 * Parts of a bucket's files on the local disk, as many as fit: the content of a part, then four bytes of its CRC-32C, in a file
 * named after the object.
 *
 * Invariant: what is handed out was compared with its checksum once since the start; a file that fails is thrown away and
 * fetched again. The files are a copy of what is in the bucket, so a crash may leave any of them, and none is synced.
 */
import { join } from "node:path";
import type { Disk } from "../../core/seams/disk.ts";
import type { Random } from "../../core/seams/random.ts";
import { crc32c } from "../../native/crc32c.ts";
import type { ByteSource } from "../formats/bytes.ts";
import { partLength, type PartTable } from "./part-table.ts";
import type { PartStore } from "./part-store.ts";

const SUM_BYTES = 4;

interface Entry {
  bytes: number;
  isChecked: boolean;
  /** Reads under way. */
  users: number;
}

export class PartCache {
  readonly #disk: Disk;
  readonly #random: Random;
  readonly #directory: string;
  readonly #bytesMax: number;
  /** By name, the one that was used longest ago first. */
  readonly #entries = new Map<string, Entry>();
  readonly #coming = new Map<string, Promise<void>>();
  #bytes = 0;
  figures = { hits: 0, misses: 0 };

  constructor(disk: Disk, random: Random, directory: string, bytesMax: number) {
    this.#disk = disk;
    this.#random = random;
    this.#directory = directory;
    this.#bytesMax = bytesMax;
  }

  /** Finds what an earlier life left. */
  async open(): Promise<void> {
    await this.#disk.makeDirectory(this.#directory);
    for (const { name } of await this.#disk.list(this.#directory)) {
      const path = join(this.#directory, name);
      if (!/^[0-9a-f]{64}$/.test(name)) await this.#disk.remove(path);
      else {
        const file = await this.#disk.open(path, "read");
        this.#note(name, await file.size(), false);
        await file.close();
      }
    }
    await this.#trim();
  }

  get bytes(): number {
    return this.#bytes;
  }

  #note(name: string, bytes: number, isChecked: boolean): void {
    this.#entries.set(name, { bytes, isChecked, users: 0 });
    this.#bytes += bytes;
  }

  async #forget(name: string): Promise<void> {
    this.#bytes -= this.#entries.get(name)?.bytes ?? 0;
    this.#entries.delete(name);
    await this.#disk.remove(join(this.#directory, name)).catch(() => undefined);
  }

  async #trim(): Promise<void> {
    for (const [name, { users }] of this.#entries) {
      if (this.#bytes <= this.#bytesMax) return;
      if (users === 0) await this.#forget(name);
    }
  }

  /** Keeps a part that was just sent. */
  async keep(name: string, content: Uint8Array): Promise<void> {
    if (this.#entries.has(name)) return;
    const path = join(this.#directory, `tmp${Buffer.from(this.#random.bytes(6)).toString("hex")}`);
    const sum = new Uint8Array(SUM_BYTES);
    new DataView(sum.buffer).setUint32(0, crc32c(content), true);
    const file = await this.#disk.open(path, "exclusive");
    try {
      await file.write(content, 0);
      await file.write(sum, content.byteLength);
    } finally {
      await file.close();
    }
    await this.#disk.rename(path, join(this.#directory, name));
    if (!this.#entries.has(name)) this.#note(name, content.byteLength + SUM_BYTES, true);
    await this.#trim();
  }

  /** Fills `target` with the content of a part from `offset` on. */
  async read(
    parts: PartStore,
    table: PartTable,
    index: number,
    target: Uint8Array,
    offset: number,
  ): Promise<void> {
    const ref = table.parts[index];
    if (ref === undefined) return void target.fill(0);
    const entry = this.#entries.get(ref.sha256);
    if (entry !== undefined && (await this.#readFile(ref.sha256, entry, target, offset))) {
      this.figures.hits += 1;
      return;
    }
    this.figures.misses += 1;
    // Whoever wants the same part meanwhile waits for the same request.
    let coming = this.#coming.get(ref.sha256);
    if (coming === undefined) {
      coming = parts.getPart(table, index).then((content) => this.keep(ref.sha256, content));
      this.#coming.set(ref.sha256, coming);
      void coming.catch(() => undefined).then(() => this.#coming.delete(ref.sha256));
    }
    await coming;
    const kept = this.#entries.get(ref.sha256);
    if (kept !== undefined && (await this.#readFile(ref.sha256, kept, target, offset))) return;
    // It does not even fit alone.
    target.set((await parts.getPart(table, index)).subarray(offset, offset + target.byteLength));
  }

  /** False when the file is not what it was. */
  async #readFile(name: string, entry: Entry, target: Uint8Array, offset: number): Promise<boolean> {
    entry.users += 1;
    this.#entries.delete(name);
    this.#entries.set(name, entry);
    let isWhole = false;
    try {
      const file = await this.#disk.open(join(this.#directory, name), "read");
      try {
        if (!entry.isChecked) {
          const all = new Uint8Array(entry.bytes);
          const count = await file.read(all, 0);
          const [content, sum] = [all.subarray(0, -SUM_BYTES), all.subarray(-SUM_BYTES)];
          const wanted = new DataView(sum.buffer, sum.byteOffset).getUint32(0, true);
          entry.isChecked = count === entry.bytes && count > SUM_BYTES && crc32c(content) === wanted;
        }
        isWhole = entry.isChecked && (await file.read(target, offset)) === target.byteLength;
      } finally {
        await file.close();
      }
    } catch {
      isWhole = false;
    } finally {
      entry.users -= 1;
    }
    if (!isWhole) await this.#forget(name);
    return isWhole;
  }

  /** A file in the bucket by position, through this cache. */
  source(name: string, parts: PartStore, table: PartTable): ByteSource {
    return {
      name,
      bytes: table.bytes,
      read: async (target, offset) => {
        const bytes = Math.max(0, Math.min(target.byteLength, table.bytes - offset));
        for (const { index, from, at, length } of stretchesOf(table, offset, bytes))
          await this.read(parts, table, index, target.subarray(at, at + length), from);
        return bytes;
      },
    };
  }
}

/** The parts that [offset, offset + bytes) lies in: where in each, and where in what is read. */
export function* stretchesOf(
  table: PartTable,
  offset: number,
  bytes: number,
): Generator<{ index: number; from: number; at: number; length: number }> {
  for (let at = 0; at < bytes;) {
    const index = Math.floor((offset + at) / table.partBytes);
    const from = offset + at - index * table.partBytes;
    const length = Math.min(bytes - at, partLength(table, index) - from);
    yield { index, from, at, length };
    at += length;
  }
}
