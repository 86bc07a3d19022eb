/**
 * A data directory of a dht node that is not running, held for a tool.
 *
 * Invariant: while a tool reads, no node can start there, and a tool does not start while a node runs: both take the
 * same lock. On a file system that is mounted read-only there is nothing to lock and nobody to lock out.
 */
import { join } from "node:path";
import { errnoOf, NxError } from "../../../core/errors.ts";
import type { Disk } from "../../../core/seams/disk.ts";

/** Where a node with durability "log" keeps its log, below its data directory. */
export const STORE_DIRECTORY = "store";

/** Calls `use` with the log's directory. Throws NX_DATA_DIR_LOCKED (with the pid) or NX_DATA_DIR_UNUSABLE. */
export async function withIdleStore<Result>(
  disk: Disk,
  dataDir: string,
  use: (directory: string) => Promise<Result>,
): Promise<Result> {
  const directory = join(dataDir, STORE_DIRECTORY);
  if (!(await disk.exists(directory))) throw await noStore(disk, dataDir);
  const lock = await lockOf(disk, dataDir);
  try {
    return await use(directory);
  } finally {
    await lock?.release();
  }
}

/** The lock of a data directory; undefined on a file system that is mounted read-only. */
export async function lockOf(disk: Disk, dataDir: string) {
  try {
    return await disk.lock(join(dataDir, "lock"));
  } catch (error) {
    const errno = errnoOf(error) ?? errnoOf((error as Error).cause);
    if (errno === "EROFS") return undefined;
    if (errno !== "EACCES" && errno !== "EPERM") throw error;
    throw new NxError("NX_DATA_DIR_UNUSABLE", `${dataDir}: its lock cannot be taken (${errno})`, {
      hint: "run this as the user that owns the directory",
      cause: error,
    });
  }
}

async function noStore(disk: Disk, dataDir: string): Promise<NxError> {
  const isThere = await disk.exists(dataDir);
  const names = isThere ? (await disk.list(dataDir)).map(({ name }) => name) : [];
  const isStoreItself = names.some((name) => name.endsWith(".nxl"));
  const isDump = names.some((name) => name.endsWith(".tcm"));
  const hint = isStoreItself
    ? "give the directory above it"
    : isDump
      ? 'it holds dumps (durability "dump"): `node-x tcm check FILE` reads those'
      : 'give the dataDir of a dht node with durability "log"';
  const what = isThere ? `there is no directory "${STORE_DIRECTORY}" in it` : "there is no such directory";
  return new NxError("NX_DATA_DIR_UNUSABLE", `${dataDir}: ${what}`, { hint });
}
