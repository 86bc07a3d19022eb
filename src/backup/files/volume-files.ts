/**
 * The small files of a volume, in the serializer's format, so that an original server can go on with them:
 *
 *   state         text: SyncReady, Archived or Stopped          uuid          16 bytes, of the last sync's log
 *   base          State of the base image                       archive_uuid  16 bytes, of the lineage
 *   GID.cold      u64, the time of a cold snapshot
 *   full_repl_state   how far a full replication came that was interrupted
 *   checksums     ours: one line `NAME CRC32C [CRC32C]` for each of them, the present and the former content, and a
 *                 last line `checksums CRC32C` of the lines before
 *
 * Invariant: each is replaced whole and synced. `checksums` is written before the file it speaks of, with both contents,
 * so after a crash the file has one of the two; anything else is damage and is reported, never used.
 */
import { join } from "node:path";
import { NxError } from "../../core/errors.ts";
import type { Disk } from "../../core/seams/disk.ts";
import { writeFileAtomically } from "../../core/seams/durable-files.ts";
import { crc32c } from "../../native/crc32c.ts";

const SUMS = "checksums";
const FILE_BYTES_MAX = 1 << 20;

export async function readSmallFile(disk: Disk, path: string): Promise<Uint8Array | undefined> {
  if (!(await disk.exists(path))) return undefined;
  const file = await disk.open(path, "read");
  try {
    const size = await file.size();
    if (size > FILE_BYTES_MAX)
      throw new NxError(
        "NX_DATA_CORRUPT",
        `${path} has ${size} bytes, a file of its kind at most ${FILE_BYTES_MAX}`,
      );
    const bytes = new Uint8Array(size);
    return bytes.subarray(0, await file.read(bytes, 0));
  } finally {
    await file.close();
  }
}

const linesText = (lines: readonly string[]) => lines.map((line) => `${line}\n`).join("");
const hexOf = (bytes: Uint8Array) => crc32c(bytes).toString(16).padStart(8, "0");

export class VolumeFiles {
  readonly directory: string;
  readonly #disk: Disk;
  #sums = new Map<string, string[]>();
  /** Files change one after the other: each change writes `checksums`, under one temporary name. */
  #changing: Promise<unknown> = Promise.resolve();

  private constructor(disk: Disk, directory: string) {
    this.#disk = disk;
    this.directory = directory;
  }

  static async open(disk: Disk, directory: string): Promise<VolumeFiles> {
    const files = new VolumeFiles(disk, directory);
    const text = Buffer.from((await readSmallFile(disk, join(directory, SUMS))) ?? []).toString();
    const lines = text.split("\n").filter((each) => each !== "");
    const last = lines.pop();
    if (last !== undefined && last !== `${SUMS} ${hexOf(Buffer.from(linesText(lines)))}`)
      throw files.#damaged(SUMS);
    for (const line of lines) {
      const [name = "", ...sums] = line.split(" ");
      files.#sums.set(name, sums);
    }
    return files;
  }

  #damaged(name: string): NxError {
    return new NxError(
      "NX_DATA_CORRUPT",
      `${join(this.directory, name)} is damaged: it is not what was written`,
      {
        hint: "bring it back from a backup of the directory, or clear the volume and replicate it from another archive",
      },
    );
  }

  async read(name: string): Promise<Uint8Array | undefined> {
    const bytes = await readSmallFile(this.#disk, join(this.directory, name));
    const sums = this.#sums.get(name);
    if (bytes !== undefined && sums !== undefined && !sums.includes(hexOf(bytes))) throw this.#damaged(name);
    return bytes;
  }

  /** Every file of the directory, ours and others. */
  async names(): Promise<string[]> {
    return (await this.#disk.list(this.directory))
      .filter(({ kind }) => kind === "file")
      .map(({ name }) => name);
  }

  /** Removes a file; its line in `checksums` stays and speaks of nothing. */
  async remove(name: string): Promise<void> {
    const path = join(this.directory, name);
    if (!(await this.#disk.exists(path))) return;
    await this.#disk.remove(path);
    await this.#disk.syncDirectory(this.directory);
  }

  /** Writes that are asked for at once happen in the order in which they were. */
  write(name: string, bytes: Uint8Array): Promise<void> {
    const change = this.#changing.then(() => this.#replace(name, bytes));
    this.#changing = change.catch(() => undefined);
    return change;
  }

  async #replace(name: string, bytes: Uint8Array): Promise<void> {
    const former = await readSmallFile(this.#disk, join(this.directory, name));
    const sum = hexOf(bytes);
    this.#sums.set(name, former === undefined || hexOf(former) === sum ? [sum] : [sum, hexOf(former)]);
    const lines = linesText([...this.#sums].map(([each, sums]) => `${each} ${sums.join(" ")}`));
    const text = `${lines}${SUMS} ${hexOf(Buffer.from(lines))}\n`;
    await writeFileAtomically(this.#disk, join(this.directory, SUMS), text);
    await writeFileAtomically(this.#disk, join(this.directory, name), bytes);
  }
}
