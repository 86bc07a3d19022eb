/**
 * Checks of the disk that a data directory is on: how long a sync takes, how much is free, whether it keeps
 * anything.
 *
 * The probe file is created with a random name in the directory and removed again; a crash may leave it
 * behind (`.node-x-doctor-*`, 4 KiB).
 */
import { existsSync, statfsSync } from "node:fs";
import { open, unlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Clock } from "../seams/clock.ts";
import { errnoOf } from "../errors.ts";
import { realRandom } from "../seams/random.ts";
import { fail, ok, warn, type Finding } from "./finding.ts";

const SYNC_COUNT = 24;
const SYNC_SLOW_MS = 10;
const SYNC_VERY_SLOW_MS = 100;
/** No device that keeps data answers faster; a faster one ignores the sync. */
const SYNC_IMPOSSIBLE_MS = 0.01;
const TMPFS_MAGIC = 0x01021994;

/**
 * The directory itself, or its nearest parent that exists: a data directory is created at the first start.
 */
export function existingDirectory(path: string): string {
  let directory = path;
  while (!existsSync(directory) && dirname(directory) !== directory) directory = dirname(directory);
  return directory;
}

/** Writes and syncs 4 KiB a few times; the figure that bounds every durable write. */
export async function checkSync(path: string, clock: Clock): Promise<Finding> {
  const directory = existingDirectory(path);
  if (isTmpfs(directory)) {
    return warn(
      "fsync",
      `${directory} is in memory (tmpfs): nothing survives a restart`,
      "put dataDir on a disk, or choose durability memory knowingly",
    );
  }
  try {
    const times = await syncTimesMs(directory, clock);
    return judgeSync(directory, times);
  } catch (error) {
    return fail(
      "fsync",
      `${directory} cannot be written (${errnoOf(error) ?? (error as Error).message})`,
      "give the user of node-x write access, or another dataDir",
    );
  }
}

/** The verdict over measured sync times. */
export function judgeSync(directory: string, timesMs: readonly number[]): Finding {
  const sorted = [...timesMs].sort((a, b) => a - b);
  const median = sorted[Math.floor(sorted.length / 2)] ?? 0;
  const max = sorted.at(-1) ?? 0;
  const found = `${median.toFixed(3)} ms median, ${max.toFixed(3)} ms worst of ${sorted.length} in ${directory}`;
  if (median >= SYNC_VERY_SLOW_MS)
    return fail("fsync", found, "use a faster disk: each durable write waits this long");
  if (median >= SYNC_SLOW_MS)
    return warn("fsync", found, "use a disk with a write cache that survives power loss");
  if (median < SYNC_IMPOSSIBLE_MS)
    return warn(
      "fsync",
      `${found}: too fast to be true`,
      "check that the disk and its mount options honour flushes",
    );
  return ok("fsync", found);
}

async function syncTimesMs(directory: string, clock: Clock): Promise<number[]> {
  const path = join(directory, `.node-x-doctor-${Buffer.from(realRandom.bytes(8)).toString("hex")}`);
  const file = await open(path, "wx", 0o600);
  try {
    const block = Buffer.alloc(4096, 0x5a);
    const times: number[] = [];
    for (let round = 0; round < SYNC_COUNT; round++) {
      await file.write(block, 0, block.byteLength, 0);
      const startedMs = clock.monotonicMs();
      await file.datasync();
      times.push(clock.monotonicMs() - startedMs);
    }
    // The first sync also allocates the file's block.
    return times.slice(1);
  } finally {
    await file.close();
    await unlink(path);
  }
}

const MEBIBYTE = 1024 * 1024;
const FREE_BYTES_MIN = 64 * MEBIBYTE;
const FREE_SHARE_LOW = 0.1;

export function checkSpace(path: string): Finding {
  const directory = existingDirectory(path);
  const { bavail, blocks, bsize } = statfsSync(directory);
  return judgeSpace(directory, bavail * bsize, blocks * bsize);
}

export function judgeSpace(directory: string, freeBytes: number, totalBytes: number): Finding {
  const share = totalBytes === 0 ? 0 : freeBytes / totalBytes;
  const mebibytes = (bytes: number) => `${Math.floor(bytes / MEBIBYTE).toLocaleString("en-US")} MiB`;
  const percent = Math.round(share * 100);
  const found = `${mebibytes(freeBytes)} free of ${mebibytes(totalBytes)} (${percent} %) in ${directory}`;
  if (freeBytes < FREE_BYTES_MIN)
    return fail("space", found, "free some space: a full disk makes the role read-only");
  if (share < FREE_SHARE_LOW)
    return warn("space", found, "free some space: compaction needs as much as the data again");
  return ok("space", found);
}

function isTmpfs(directory: string): boolean {
  return statfsSync(directory).type === TMPFS_MAGIC;
}
