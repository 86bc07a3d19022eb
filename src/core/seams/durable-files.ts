/**
 * Directories and small files that are there after power loss, and never half.
 *
 * Invariant: a directory made here survives with its name, and so does what is synced in it: a synced file in a
 * directory whose own name was never synced is lost with it. A replaced file holds its old content or its new one,
 * whole, because the new content is synced under another name before it takes the path.
 */
import { dirname, join } from "node:path";
import type { Disk } from "./disk.ts";
import { errnoOf } from "../errors.ts";

/**
 * Makes `path` (absolute) with its parents and syncs each name on the way. All of them, whoever made them: an earlier
 * process may have been killed between making a directory and syncing its name.
 */
export async function makeDurableDirectory(disk: Disk, path: string): Promise<void> {
  await disk.makeDirectory(path);
  for (let child = path; dirname(child) !== child; child = dirname(child)) {
    try {
      await disk.syncDirectory(dirname(child));
    } catch (error) {
      // A parent that we may not even read was there before us.
      if (!["EACCES", "EPERM"].includes(errnoOf(error) ?? errnoOf((error as Error).cause) ?? "")) throw error;
    }
  }
}

/**
 * Removes a directory with everything below it, if it is there; symbolic links are removed, not followed. A crash leaves part
 * of it, and power loss may bring all of it back until the directory that it was in is synced. What somebody else removes meanwhile
 * is as good as removed here.
 */
export async function removeTree(disk: Disk, path: string): Promise<void> {
  if (!(await disk.exists(path))) return;
  try {
    for (const { name, kind } of await disk.list(path)) {
      if (kind === "directory") await removeTree(disk, join(path, name));
      else await disk.remove(join(path, name)).catch(unlessGone);
    }
    await disk.removeDirectory(path);
  } catch (error) {
    unlessGone(error);
  }
}

function unlessGone(error: unknown): void {
  if (errnoOf(error) !== "ENOENT") throw error;
}

/** Replaces (or creates) `path`. Resolves when the new content would survive power loss. */
export async function writeFileAtomically(
  disk: Disk,
  path: string,
  content: string | Uint8Array,
): Promise<void> {
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
  const temporary = `${path}.tmp`;
  if (await disk.exists(temporary)) await disk.remove(temporary);
  const file = await disk.open(temporary, "exclusive");
  try {
    await file.write(bytes, 0);
    await file.sync();
  } finally {
    await file.close();
  }
  await disk.rename(temporary, path);
  await disk.syncDirectory(dirname(path));
}
