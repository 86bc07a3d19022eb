/**
 * Diffs of a directory whose content is in a bucket only: `NAME.parts` stands for the diff NAME and holds its table of parts.
 *
 * Invariant: the table is synced under its name before the diff's own file goes, so a diff is always here or there. After a
 * crash in between both are there, and the file counts.
 */
import { join } from "node:path";
import type { Disk } from "../../core/seams/disk.ts";
import { writeFileAtomically } from "../../core/seams/durable-files.ts";
import { diffName, parseDiffName } from "../algebra/diff-name.ts";
import type { MetaDiff } from "../algebra/snapshot.ts";
import { decodePartTable, encodePartTable, type PartTable } from "../bucket/part-table.ts";
import type { ByteSource } from "../formats/bytes.ts";

/** Reads a file of which there is only a table. */
export type OpenParts = (name: string, table: PartTable) => ByteSource;

export const PARTS_SUFFIX = ".parts";

export async function readPartTable(disk: Disk, path: string): Promise<PartTable> {
  const file = await disk.open(path, "read");
  try {
    const bytes = new Uint8Array(await file.size());
    return decodePartTable(path, bytes.subarray(0, await file.read(bytes, 0)));
  } finally {
    await file.close();
  }
}

export class DistantDiffs {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #open: OpenParts;
  /** By the diff's name. */
  readonly #tables = new Map<string, PartTable>();

  constructor(disk: Disk, directory: string, open: OpenParts) {
    this.#disk = disk;
    this.#directory = directory;
    this.#open = open;
  }

  #pathOf(name: string): string {
    return join(this.#directory, name + PARTS_SUFFIX);
  }

  /** Reads what is there. `names` are those of all files. */
  async load(names: readonly string[]): Promise<MetaDiff[]> {
    this.#tables.clear();
    const present = new Set(names);
    const found: MetaDiff[] = [];
    for (const file of names.filter((name) => name.endsWith(PARTS_SUFFIX))) {
      const name = file.slice(0, -PARTS_SUFFIX.length);
      const diff = parseDiffName(name);
      if (diff === undefined) continue;
      if (present.has(name)) {
        await this.#disk.remove(this.#pathOf(name));
        continue;
      }
      const table = await readPartTable(this.#disk, this.#pathOf(name));
      this.#tables.set(name, table);
      found.push({ ...diff, dataBytes: table.bytes });
    }
    return found;
  }

  has(diff: MetaDiff): boolean {
    return this.#tables.has(diffName(diff));
  }

  source(diff: MetaDiff): ByteSource | undefined {
    const name = diffName(diff);
    const table = this.#tables.get(name);
    return table && this.#open(join(this.#directory, name), table);
  }

  /** Notes the table; durable when this resolves. */
  async add(diff: MetaDiff, table: PartTable): Promise<void> {
    const name = diffName(diff);
    await writeFileAtomically(this.#disk, this.#pathOf(name), encodePartTable(table));
    this.#tables.set(name, table);
  }

  /** The caller syncs the directory. */
  async remove(diff: MetaDiff): Promise<void> {
    const name = diffName(diff);
    this.#tables.delete(name);
    await this.#disk.remove(this.#pathOf(name));
  }

  /** The caller syncs the directory. */
  async rename(from: MetaDiff, to: MetaDiff): Promise<void> {
    const [before, after] = [diffName(from), diffName(to)];
    await this.#disk.rename(this.#pathOf(before), this.#pathOf(after));
    this.#tables.set(after, this.#tables.get(before) as PartTable);
    this.#tables.delete(before);
  }
}
