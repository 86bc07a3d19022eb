/** Small steps on files that a host's rooms share, all through the disk seam. */
import { createHash } from "node:crypto";
import { dirname } from "node:path";
import { errnoOf, NxError } from "../../core/errors.ts";
import type { Disk, LinkingDisk } from "../../core/seams/disk.ts";

const PIECE_BYTES = 4 << 20;

/** The whole file. Throws ENOENT, and NX_DISK_FAILED when it is longer than `bytesMax`. */
export async function readWhole(disk: Disk, path: string, bytesMax: number): Promise<Uint8Array> {
  const file = await disk.open(path, "read");
  try {
    const size = await file.size();
    if (size > bytesMax) throw new NxError("NX_DISK_FAILED", `${path} is longer than ${bytesMax} bytes`);
    const bytes = new Uint8Array(new ArrayBuffer(size));
    return bytes.subarray(0, await file.read(bytes, 0));
  } finally {
    await file.close();
  }
}

/** The text of a file's first bytes, at most so many: files of /proc do not say how long they are. */
export async function readStart(disk: Disk, path: string, bytesMax: number): Promise<string> {
  const file = await disk.open(path, "read");
  try {
    const bytes = new Uint8Array(bytesMax);
    return new TextDecoder().decode(bytes.subarray(0, await file.read(bytes, 0)));
  } finally {
    await file.close();
  }
}

/** The text of a file, or undefined when there is none. */
export async function readTextIfAny(disk: Disk, path: string, bytesMax: number): Promise<string | undefined> {
  try {
    return new TextDecoder().decode(await readWhole(disk, path, bytesMax));
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

export async function listIfAny(disk: Disk, path: string) {
  try {
    return await disk.list(path);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw error;
  }
}

/** Hex SHA-256 of a file, read in pieces. */
export async function sha256OfFile(disk: Disk, path: string): Promise<string> {
  const hash = createHash("sha256");
  const file = await disk.open(path, "read");
  try {
    const piece = new Uint8Array(new ArrayBuffer(PIECE_BYTES));
    for (let offset = 0; ;) {
      const count = await file.read(piece, offset);
      if (count === 0) return hash.digest("hex");
      hash.update(piece.subarray(0, count));
      offset += count;
    }
  } finally {
    await file.close();
  }
}

/** Points a symbolic link elsewhere, or makes it: at every moment it is the old one or the new one. */
export async function replaceLink(disk: LinkingDisk, target: string, path: string): Promise<void> {
  const making = `${path}.making`;
  await removeIfAny(disk, making);
  await disk.symlink(target, making);
  await disk.rename(making, path);
  await disk.syncDirectory(dirname(path));
}

/** What a link says; undefined when there is none. */
export async function readLinkIfAny(disk: LinkingDisk, path: string): Promise<string | undefined> {
  try {
    return await disk.readLink(path);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

export async function removeIfAny(disk: Disk, path: string): Promise<void> {
  try {
    await disk.remove(path);
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
  }
}
