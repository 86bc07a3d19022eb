/**
 * Copies what is intact of a damaged store into a directory of its own: the last resort without backup or replica.
 *
 * Invariant: the source is only read. The copy gets its name in one step, complete and synced, and is a store that a node
 * opens; a run that is killed leaves `<to>.partial`. What is left out is told with file, offset and bytes.
 *
 * What lies behind a gap is applied all the same, so a record may be older than it was, or be back although it was
 * removed. One thing is not done: changing a part of a value whose earlier bytes are not there. That would make up
 * data, so such changes are left out and counted.
 */
import { dirname, join } from "node:path";
import { salvageLog, type Loss } from "../../../core/append-log/inspect.ts";
import { LogFile } from "../../../core/append-log/log-file.ts";
import type { FrameSource } from "../../../core/append-log/scan.ts";
import { NxError } from "../../../core/errors.ts";
import { makeDurableDirectory } from "../../../core/seams/durable-files.ts";
import { crc32c } from "../../../native/crc32c.ts";
import { MalformedEffects } from "../../../native/record-store.ts";
import { Store } from "../../../native/store.ts";
import { decodeEffects, encodeEffect, type Effect } from "../../effects.ts";
import { EFFECTS_FORMAT } from "../log-format.ts";
import { STORE_DIRECTORY, withIdleStore } from "./directory.ts";
import { channelsOf, progressOf, type ChannelCount, type OfflineWorld, type OnProgress } from "./read.ts";

export interface SalvageReport {
  directory: string;
  to: string;
  records: number;
  channels: ChannelCount[];
  /** Whole groups copied, and the bytes of changes in them. */
  frames: number;
  payloadBytes: number;
  losses: Loss[];
  /** Changes of a part of a value whose earlier bytes are lost. */
  baselessChanges: number;
}

export interface SalvageOptions {
  world: OfflineWorld;
  /** Absolute. */
  dataDir: string;
  /** Absolute; must not exist. */
  to: string;
  onProgress: OnProgress;
}

/** Throws NX_FILE_EXISTS, NX_DATA_DIR_LOCKED, NX_DATA_DIR_UNUSABLE, NX_DISK_FULL; the source is as it was then too. */
export async function salvageStore(options: SalvageOptions): Promise<SalvageReport> {
  const { world, dataDir, to } = options;
  const partial = `${to}.partial`;
  for (const path of [to, partial]) {
    if (!(await world.disk.exists(path))) continue;
    throw new NxError("NX_FILE_EXISTS", `${path} exists already`, {
      hint:
        path === to ? "give a directory that does not exist" : "an earlier salvage was cut short: remove it",
    });
  }
  return withIdleStore(world.disk, dataDir, async (directory) => {
    const salvage = new Salvage(world);
    try {
      const progress = await progressOf(world, directory, options.onProgress);
      const source = { disk: world.disk, directory, crc32c, payloadFormat: EFFECTS_FORMAT };
      const counts = await salvageLog(
        source,
        (payload, from) => {
          salvage.apply(payload, from);
          progress(payload, from);
        },
        (loss) => salvage.losses.push(loss),
      );
      await writeStore(world, salvage.store, join(partial, STORE_DIRECTORY));
      await world.disk.rename(partial, to);
      await world.disk.syncDirectory(dirname(to));
      const { losses, baselessChanges, store } = salvage;
      const { records } = store.stats();
      return { directory, to, records, channels: channelsOf(store), ...counts, losses, baselessChanges };
    } finally {
      salvage.store.close();
    }
  });
}

class Salvage {
  readonly store: Store;
  readonly losses: Loss[] = [];
  baselessChanges = 0;

  constructor({ random }: OfflineWorld) {
    this.store = new Store({ memoryBytesMax: 0, seed: random.bytes(16) });
  }

  apply(payload: Uint8Array, source: FrameSource): void {
    try {
      if (this.losses.length === 0) this.store.replay(payload);
      else this.#applyEach(payload);
    } catch (error) {
      if (!(error instanceof MalformedEffects)) throw error;
      const { path, offset } = source;
      const bytes = payload.byteLength - error.offset;
      const what = "the checksum is right, but this is no change of a record";
      this.losses.push({ path, offset: offset + error.offset, bytes, what, isTornTail: false });
    }
  }

  /** Behind a gap: each change is looked at before it is applied. */
  #applyEach(payload: Uint8Array): void {
    for (const effect of decodeEffects(payload)) {
      if (this.#hasBase(effect)) this.store.replay(encodeEffect(effect));
      else this.baselessChanges += 1;
    }
  }

  #hasBase(effect: Effect): boolean {
    if (effect.operation !== "patch" || effect.offset === 0) return true;
    // At time 0 nothing has expired: what is asked is what is stored.
    const record = this.store.channel(effect.channel)?.get(effect.key, 0);
    return record !== undefined && record.value.byteLength >= effect.offset;
  }
}

/** A store in a directory of its own that holds exactly these records. */
async function writeStore(world: OfflineWorld, store: Store, directory: string): Promise<void> {
  await makeDurableDirectory(world.disk, directory);
  let failure: NxError | undefined;
  const log = await LogFile.open(
    {
      ...world,
      crc32c,
      directory,
      payloadFormat: EFFECTS_FORMAT,
      listener: { onDurable: () => undefined, onState: (_state, error) => (failure = error ?? failure) },
    },
    { onSnapshot: () => undefined, onFrame: () => undefined },
  );
  try {
    log.assertOpen();
    await log.compact(() => store.exportSlices());
  } finally {
    await log.close();
  }
  if (failure !== undefined) throw failure;
}
