/**
 * Which files a node starts from when it finds both kinds: those of a log and those of dumps.
 *
 * The rule is one sentence: a log that holds anything always wins, because it is never older than a dump.
 *
 *   mode   log                  dumps    what happens
 *   log    empty or missing     some     the dumps are loaded, written to the log as a snapshot, then renamed *.imported
 *   log    holds something      some     the dumps are ignored, with a warning
 *   dump   empty or missing     any      the dumps are loaded
 *   dump   holds something      any      the log is loaded, the dumps are renamed *.superseded, everything is dumped, then
 *                                        the log's directory is renamed store.imported-<n>
 *
 * Invariant: what was taken over is renamed only after its successor is durable, so after a crash on the way the same
 * files win again and the step is repeated.
 */
import { join } from "node:path";
import type { GroupLog } from "../../core/append-log/group-log.ts";
import { LogFile } from "../../core/append-log/log-file.ts";
import { layoutOf } from "../../core/append-log/directory.ts";
import type { FrameSource } from "../../core/append-log/scan.ts";
import { NxError } from "../../core/errors.ts";
import type { Log } from "../../core/logging/log.ts";
import type { World } from "../../core/role.ts";
import { crc32c } from "../../native/crc32c.ts";
import type { Store } from "../../native/store.ts";
import type { OutOfRange } from "../../native/tcm.ts";
import { DumpFiles } from "../tcm/dump-files.ts";
import { dumpedChannels, loadDumps } from "../tcm/load.ts";
import type { DumpKeeper } from "./dump.ts";
import { EFFECTS_FORMAT, SNAPSHOT_SLICE_BYTES } from "./log-format.ts";

/** The `dump` group of the configuration, and what belongs to it. */
export interface DumpSettings {
  periodSeconds: number;
  batchBytesMax: number;
  allowOutOfRange: OutOfRange;
  abortAfterAllOutOfRange: number;
  disabled: boolean;
  /** The dump at the stop must end within it. */
  shutdownTimeoutMs: number;
  /** 16 hex digits each. */
  hashRange: { min: string; max: string };
}

export interface StartOptions {
  world: World;
  log: Log;
  dataDir: string;
  store: Store;
  dump: DumpSettings;
  progress(text: string): void;
}

/** Loads the dumps of the data directory. */
export async function openFromDumps(options: StartOptions): Promise<void> {
  const { world, log, dataDir, store, dump, progress } = options;
  const startMs = world.clock.monotonicMs();
  const loaded = await loadDumps({
    world,
    log,
    directory: dataDir,
    store,
    progress,
    valueBytesMax: dump.batchBytesMax,
    range: {
      min: BigInt(`0x${dump.hashRange.min}`),
      max: BigInt(`0x${dump.hashRange.max}`),
    },
    outOfRange: dump.allowOutOfRange,
    abortAfterAllOutOfRange: dump.abortAfterAllOutOfRange,
  });
  const seconds = ((world.clock.monotonicMs() - startMs) / 1000).toFixed(3);
  log.info("loaded", {
    channels: loaded.length,
    records: store.stats().records,
    seconds,
  });
}

/** Log mode: takes dumps over into `emptyLog`, or says that they are ignored when the log holds something. */
export async function importDumps(options: StartOptions, emptyLog: GroupLog | undefined): Promise<void> {
  const { world, log, dataDir, store, dump } = options;
  const channels = await dumpedChannels(world.disk, dataDir);
  if (channels.length === 0) return;
  if (emptyLog === undefined) {
    log.warn("dump files were found and ignored: the log holds the data", {
      directory: dataDir,
      channels: channels.length,
    });
    return;
  }
  log.info("the log is empty: loading the dump files instead, once", {
    directory: dataDir,
  });
  await openFromDumps(options);
  await emptyLog.compact(() => store.exportSlices(SNAPSHOT_SLICE_BYTES));
  const files = new DumpFiles({
    world,
    directory: dataDir,
    store,
    valueBytesMax: dump.batchBytesMax,
  });
  for (const channel of channels) await files.setAside(channel, "imported");
  log.info("the dump files are in the log and were renamed *.imported", {
    records: store.stats().records,
  });
}

/** Dump mode: loads a log that a node kept here before, and dumps it. False when there is none. */
export async function openFromLog(
  options: StartOptions,
  dumps: DumpKeeper,
  replay: (payload: Uint8Array, source: FrameSource) => number,
): Promise<boolean> {
  const { world, log, dataDir } = options;
  const directory = join(dataDir, "store");
  if (!(await holdsLog(world, directory))) return false;
  let effects = 0;
  const count = (payload: Uint8Array, source: FrameSource) => void (effects += replay(payload, source));
  const listener = { onDurable: () => undefined };
  const settings = {
    ...world,
    crc32c,
    directory,
    payloadFormat: EFFECTS_FORMAT,
    listener,
  };
  const old = await LogFile.open(settings, {
    onSnapshot: count,
    onFrame: count,
  });
  const isEmpty = effects === 0 && old.stats.snapshotBytes === 0;
  await old.close();
  if (isEmpty) return false;
  log.warn(
    "a log was found and loaded instead of dump files: it is never older; it is dumped and put aside",
    { directory },
  );
  for (const channel of await dumpedChannels(world.disk, dataDir))
    await dumps.files.setAside(channel, "superseded");
  if (!(await dumps.dump())) {
    throw new NxError(
      "NX_DISK_FAILED",
      `the log in ${directory} was loaded but could not be dumped: ${dumps.figures.failure}`,
      {
        hint: 'free space, or start with durability "log"; nothing was changed',
      },
    );
  }
  await retire(options, directory);
  return true;
}

async function holdsLog({ disk }: World, directory: string): Promise<boolean> {
  if (!(await disk.exists(directory))) return false;
  const { snapshot, segments } = layoutOf(await disk.list(directory), directory);
  return snapshot !== undefined || segments.length > 0;
}

async function retire({ world, dataDir, log }: StartOptions, directory: string): Promise<void> {
  for (let number = 1; ; number++) {
    const to = join(dataDir, `store.imported-${number}`);
    if (await world.disk.exists(to)) continue;
    await world.disk.rename(directory, to);
    await world.disk.syncDirectory(dataDir);
    log.info(`the log is in the dump files and was put aside as ${to}; it can be removed`);
    return;
  }
}
