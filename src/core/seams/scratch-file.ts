/**
 * A file that only this process knows: memory that the disk holds. It has no name, so whatever ends the process removes it.
 */
import { closeSync, openSync, rmSync } from "node:fs";
import { errnoOf, NxError } from "../errors.ts";

export interface ScratchFile {
  readonly descriptor: number;
  close(): void;
}

/** Makes it at `path`, where at once there is nothing again. Throws NX_DATA_DIR_UNUSABLE. */
export function openScratchFile(path: string): ScratchFile {
  try {
    rmSync(path, { force: true }); // a process that was killed between the two lines below left it
    const descriptor = openSync(path, "wx+", 0o600);
    rmSync(path);
    return { descriptor, close: () => closeSync(descriptor) };
  } catch (error) {
    throw new NxError(
      "NX_DATA_DIR_UNUSABLE",
      `${path} cannot be made: ${errnoOf(error) ?? (error as Error).message}`,
      { hint: "the data directory must be writable", cause: error },
    );
  }
}
