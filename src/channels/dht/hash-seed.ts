/**
 * The key of the store's hash function, 16 secret random bytes that stay the same for a data directory.
 *
 * The order of a GetAll depends on it: a neo client that goes on behind a key, after the node was restarted, goes on in the
 * same order. Secret, because who knows it can choose keys that collide. The file is replaced as a whole: after a crash it
 * is there or not; when it is not, a new one is made, and only clients in the middle of a GetAll notice.
 */
import { join } from "node:path";
import { writeFileAtomically } from "../../core/seams/durable-files.ts";
import type { Disk } from "../../core/seams/disk.ts";
import type { Random } from "../../core/seams/random.ts";

const SEED_BYTES = 16;

export async function loadHashSeed(disk: Disk, dataDir: string, random: Random): Promise<Uint8Array> {
  const path = join(dataDir, "hash-seed");
  if (await disk.exists(path)) {
    const file = await disk.open(path, "read");
    try {
      const seed = new Uint8Array(SEED_BYTES);
      // Anything else than a whole seed is as good as none: it protects nothing that is stored.
      if ((await file.read(seed, 0)) === SEED_BYTES) return seed;
    } finally {
      await file.close();
    }
  }
  const seed = random.bytes(SEED_BYTES);
  await writeFileAtomically(disk, path, seed);
  return seed;
}
