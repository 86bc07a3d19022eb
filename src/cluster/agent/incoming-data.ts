/**
 * The data directory of an instance that moves here: a tar archive that arrives in pieces, is checked and
 * unpacked.
 *
 * Invariant: the directory has its name only when all of it is there, checked against the SHA-256 of what was
 * sent, and synced. One that exists with something in it is never replaced. A crash leaves an archive or a
 * `.moving` directory, which the next attempt throws away.
 */
import { dirname, join } from "node:path";
import { NxError } from "../../core/errors.ts";
import type { LinkingDisk } from "../../core/seams/disk.ts";
import { makeDurableDirectory, removeTree } from "../../core/seams/durable-files.ts";
import { listIfAny, removeIfAny, sha256OfFile } from "../release/files.ts";
import type { RunProgram } from "../release/incoming.ts";

export interface DataPiece {
  instance: string;
  dataDir: string;
  offset: number;
  /** Of the whole archive; with the last piece. */
  sha256?: string | undefined;
}

export class IncomingData {
  readonly #disk: LinkingDisk;
  readonly #run: RunProgram;
  readonly #directory: string;

  constructor(disk: LinkingDisk, run: RunProgram, directory: string) {
    this.#disk = disk;
    this.#run = run;
    this.#directory = directory;
  }

  /**
   * Throws NX_FILE_EXISTS when the directory has contents, NX_UPLOAD_DAMAGED when what arrived is not what
   * was sent.
   */
  async put({ instance, dataDir, offset, sha256 }: DataPiece, bytes: Uint8Array): Promise<void> {
    if ((await listIfAny(this.#disk, dataDir)).length > 0)
      throw new NxError("NX_FILE_EXISTS", `${dataDir} exists and is not empty`, {
        hint: "an instance that was here before left it: move it away if it is not needed",
      });
    const archive = join(this.#directory, `${instance}.tar`);
    await makeDurableDirectory(this.#disk, this.#directory);
    const file = await this.#disk.open(archive, "create");
    try {
      if (offset === 0) await file.truncate(0);
      await file.write(bytes, offset);
      if (sha256 !== undefined) await file.sync();
    } finally {
      await file.close();
    }
    if (sha256 !== undefined) await this.#unpack(archive, dataDir, sha256);
  }

  async #unpack(archive: string, dataDir: string, sha256: string): Promise<void> {
    if ((await sha256OfFile(this.#disk, archive)) !== sha256) {
      await removeIfAny(this.#disk, archive);
      throw new NxError("NX_UPLOAD_DAMAGED", `the data for ${dataDir} did not arrive as it was sent`, {
        hint: "run the command again",
      });
    }
    const moving = `${dataDir}.moving`;
    if (await this.#disk.exists(moving)) await removeTree(this.#disk, moving);
    await makeDurableDirectory(this.#disk, moving);
    await this.#must(["tar", "--extract", "--file", archive, "--directory", moving]);
    await this.#must(["sync", "--file-system", moving]);
    if (await this.#disk.exists(dataDir)) await this.#disk.removeDirectory(dataDir);
    await this.#disk.rename(moving, dataDir);
    await this.#disk.syncDirectory(dirname(dataDir));
    await removeIfAny(this.#disk, archive);
  }

  async #must(words: readonly string[]): Promise<void> {
    const { status, output } = await this.#run(words);
    if (status === 0) return;
    throw new NxError("NX_DISK_FAILED", `${words.join(" ")}: ${output.trim() || `it ended with ${status}`}`, {
      hint: `${words[0]} is needed on the host, and space for the data twice`,
    });
  }
}
