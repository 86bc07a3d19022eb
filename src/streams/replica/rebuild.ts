/**
 * Makes the directory of a worker's state log anew, from the newest copy at its replicas.
 *
 * Invariant: the directory appears whole, under its name, or not at all; one that is there already is left alone. A crash
 * leaves at most `state.restoring`, which the next attempt removes.
 */
import { join } from "node:path";
import { LogFile } from "../../core/append-log/log-file.ts";
import { NxError } from "../../core/errors.ts";
import type { World } from "../../core/role.ts";
import { makeDurableDirectory } from "../../core/seams/durable-files.ts";
import { crc32c } from "../../native/crc32c.ts";
import { Contents } from "../checkpoint/contents.ts";
import { STATE_LOG_FORMAT } from "../checkpoint/records.ts";
import { ByteReader } from "../wire/bytes.ts";
import { findNewestCopy, type CopyRank, type FindOptions, type FoundCopy } from "./restore.ts";

export interface RebuildOptions extends Omit<FindOptions, "rank" | "world"> {
  world: World;
  /** The worker's data directory. */
  dataDir: string;
}

const STATE = "state";
const RESTORING = "state.restoring";

/** Which checkpoints a state log's records hold. Throws WireError. */
export function rankOf(records: readonly Uint8Array[]): CopyRank {
  const contents = new Contents([]);
  for (const run of records) contents.read(new ByteReader(run));
  contents.end();
  return { committed: contents.committed.id, prepared: contents.prepared?.id ?? 0 };
}

/** Throws NX_FILE_EXISTS, NX_INPUT_INVALID (no copy), NX_DATA_DIR_LOCKED. */
export async function rebuildState(options: RebuildOptions): Promise<FoundCopy> {
  const { world, dataDir } = options;
  const { disk } = world;
  await makeDurableDirectory(disk, dataDir);
  const lock = await disk.lock(join(dataDir, "lock"));
  try {
    if (await disk.exists(join(dataDir, STATE)))
      throw new NxError("NX_FILE_EXISTS", `${join(dataDir, STATE)} is there already`, {
        hint: "move it away when it is older than the copy; nothing was changed",
      });
    const found = await findNewestCopy({ ...options, rank: rankOf });
    await removeRest(world, join(dataDir, RESTORING));
    await writeLog(world, join(dataDir, RESTORING), found.copy.records);
    await disk.rename(join(dataDir, RESTORING), join(dataDir, STATE));
    await disk.syncDirectory(dataDir);
    return found;
  } finally {
    await lock.release();
  }
}

async function removeRest({ disk }: World, directory: string): Promise<void> {
  if (!(await disk.exists(directory))) return;
  for (const { name } of await disk.list(directory)) await disk.remove(join(directory, name));
  await disk.removeDirectory(directory);
}

async function writeLog(world: World, directory: string, records: readonly Uint8Array[]): Promise<void> {
  let failed: Error | undefined;
  const log = await LogFile.open(
    {
      ...world,
      ...{ crc32c, directory, payloadFormat: STATE_LOG_FORMAT },
      listener: {
        onDurable: () => {},
        onState: (_state, error) => {
          failed ??= error;
        },
      },
    },
    { onSnapshot: () => {}, onFrame: () => {} },
  );
  try {
    for (const run of records) {
      if (failed !== undefined) throw failed;
      log.append(run);
      if (log.isCongested) await log.flush();
    }
    await log.flush();
  } finally {
    await log.close();
  }
}
