/**
 * Loads a directory of dumps into a store: each `<ch>.tcm` with the `.nxs` that belongs to it.
 *
 * Invariant: a channel is loaded whole or the start fails; what is skipped on the way (records that no node can serve,
 * files that are no dumps) is counted and logged. Power loss at any moment of a dump leaves a `.tcm` and, under one of
 * its two names, the `.nxs` that was written with it (dump-files.ts).
 */
import { join } from "node:path";
import type { World } from "../../core/role.ts";
import type { Log } from "../../core/logging/log.ts";
import type { Disk } from "../../core/seams/disk.ts";
import type { Store, StoreChannel } from "../../native/store.ts";
import { applySideBlock, type OutOfRange, type TcmCounts, type TcmNote } from "../../native/tcm.ts";
import { classify, nextSideName, sideName, tcmName, type DumpFile } from "./names.ts";
import { readTcm } from "./read.ts";
import { SideReader, type TcmIdentity } from "./side-file.ts";

export interface LoadOptions {
  world: Pick<World, "disk" | "clock">;
  log: Log;
  directory: string;
  store: Store;
  valueBytesMax: number;
  range: { min: bigint; max: bigint };
  outOfRange: OutOfRange;
  abortAfterAllOutOfRange: number;
  progress(text: string): void;
}

export interface LoadedDump {
  channel: string;
  counts: TcmCounts;
  /** From the `.nxs`. */
  sideRecords: number;
}

/** The channels that have a dump in `directory`. */
export async function dumpedChannels(disk: Disk, directory: string): Promise<string[]> {
  return (await disk.list(directory))
    .map(({ name, kind }) => ({ ...classify(name), isFile: kind === "file" }))
    .filter(({ kind, isFile }) => kind === "dump" && isFile)
    .map(({ channel }) => channel);
}

/** Throws NX_DATA_CORRUPT, NX_DATA_VERSION or NX_DATA_OUT_OF_RANGE; the store is then of no use. */
export async function loadDumps(options: LoadOptions): Promise<LoadedDump[]> {
  const { world, directory, log } = options;
  const entries = await world.disk.list(directory);
  const files = entries.map(({ name, kind }) => ({
    ...classify(name),
    isFile: kind === "file",
    entry: kind,
  }));
  const channels = new Set(
    files.filter((file) => file.kind === "dump" && file.isFile).map((file) => file.channel),
  );
  for (const file of files) report(file, file.entry, channels, log, directory);
  const loaded: LoadedDump[] = [];
  for (const channel of channels) {
    const dump = await loadChannel(options, channel, new Set(entries.map(({ name }) => name)));
    if (dump !== undefined) loaded.push(dump);
  }
  return loaded;
}

function report(file: DumpFile, entry: string, channels: Set<string>, log: Log, directory: string): void {
  const path = join(directory, file.name);
  if (file.kind === "expected") return;
  if (entry !== "file") {
    log.warn(`${path} is no file and was not loaded`, { kind: entry });
  } else if (file.kind === "interrupted") {
    log.warn(`${path} is left of a dump that did not finish and was not loaded; it can be removed`);
  } else if (file.kind === "foreign") {
    log.warn(`${path} is no dump and was not loaded`);
  } else if (file.kind === "aside") {
    log.info(`${path} was set aside and not loaded`);
  } else if (file.kind === "side" && !channels.has(file.channel)) {
    log.warn(`${path} was not loaded: ${tcmName(file.channel)} is missing, to which it belongs`);
  }
}

async function loadChannel(
  options: LoadOptions,
  channel: string,
  names: Set<string>,
): Promise<LoadedDump | undefined> {
  const { world, directory, log, progress, store } = options;
  const { disk, clock } = world;
  const path = join(directory, tcmName(channel));
  const startMs = clock.monotonicMs();
  if (await isEmpty(disk, path)) {
    log.warn(`${path} is empty and was skipped`);
    return undefined;
  }
  log.info(`loading channel '${channel}'`, { path });
  const target = store.openChannel(channel);
  const { identity, counts } = await readTcm({
    ...options,
    disk,
    path,
    channel: target,
    onNotes: (notes) => logNotes(log, path, notes),
    onProgress: (bytes, total) => progress(`loading ${channel}: ${((100 * bytes) / total).toFixed(2)}%`),
  });
  warnOfSkipped(log, path, counts, options);
  const sideRecords = await loadSide(options, target, identity, names);
  log.info(`loaded channel '${channel}'`, {
    records: counts.loaded + sideRecords,
    bytes: counts.loadedBytes,
    seconds: ((clock.monotonicMs() - startMs) / 1000).toFixed(3),
  });
  return { channel, counts, sideRecords };
}

async function isEmpty(disk: Disk, path: string): Promise<boolean> {
  const file = await disk.open(path, "read");
  try {
    return (await file.size()) === 0;
  } finally {
    await file.close();
  }
}

const noteTexts = {
  none: "",
  badKey: "the key is not 16 hex digits and not 8 bytes; skipped",
  emptyValue: "the value is empty; skipped",
  largeValue: "the value is too large; skipped",
  outOfRange: "the record belongs to another node",
} as const;

function logNotes(log: Log, path: string, notes: TcmNote[]): void {
  for (const { kind, offset, detail } of notes) {
    const what =
      kind === "badKey" ? { keyBytes: Number(detail) } : { key: detail.toString(16).padStart(16, "0") };
    const level = kind === "outOfRange" ? "trace" : kind === "badKey" ? "error" : "warn";
    log[level](`${path}, record at byte ${offset}: ${noteTexts[kind]}`, what);
  }
}

function warnOfSkipped(
  log: Log,
  path: string,
  counts: TcmCounts,
  { outOfRange, valueBytesMax }: LoadOptions,
): void {
  const { records, badKeys, emptyValues, largeValues } = counts;
  if (badKeys + emptyValues + largeValues > 0) {
    const text = `${path}: some records cannot be served and were skipped; the next dump will not have them`;
    log.warn(text, {
      records,
      badKeys,
      emptyValues,
      largeValues,
      valueBytesMax,
    });
  }
  if (counts.outOfRange > 0) {
    const percent = ((100 * counts.outOfRange) / records).toFixed(2);
    const done = outOfRange === "ignore" ? "were skipped" : "were loaded all the same";
    log.warn(`${path}: ${counts.outOfRange} records (${percent} %) belong to other nodes and ${done}`);
  }
}

/** Loads the `.nxs` that was written with this `.tcm`, whichever of its two names it has. */
async function loadSide(
  options: LoadOptions,
  target: StoreChannel,
  tcm: TcmIdentity,
  names: Set<string>,
): Promise<number> {
  const { world, directory, log } = options;
  const { name: channel } = target;
  const next = nextSideName(channel);
  if (names.has(next)) {
    const count = await tryLoadSide(options, target, tcm, next);
    if (count !== undefined) {
      await settle(world.disk, directory, channel);
      return count;
    }
    log.info(`${join(directory, next)} belongs to a dump that did not finish and was not loaded`);
  }
  const name = sideName(channel);
  if (!names.has(name)) return 0;
  const count = await tryLoadSide(options, target, tcm, name);
  if (count !== undefined) return count;
  const text = `${join(directory, name)} does not belong to the .tcm beside it, which was replaced or damaged`;
  log.warn(`${text}; its records were added where the .tcm has none of that key`);
  return await readSide(options, target, name, true);
}

async function tryLoadSide(
  options: LoadOptions,
  target: StoreChannel,
  tcm: TcmIdentity,
  name: string,
): Promise<number | undefined> {
  const reader = await SideReader.open(options.world.disk, join(options.directory, name));
  const isOurs = reader.belongsTo(tcm);
  await reader.close();
  return isOurs ? await readSide(options, target, name, false) : undefined;
}

/** Returns how many records of the channel came from the file. */
async function readSide(
  { world, directory }: LoadOptions,
  target: StoreChannel,
  name: string,
  keepsExisting: boolean,
): Promise<number> {
  const before = target.records;
  const reader = await SideReader.open(world.disk, join(directory, name));
  try {
    await reader.readBlocks((payload) => applySideBlock(target, payload, world.clock.nowMs(), keepsExisting));
  } finally {
    await reader.close();
  }
  return target.records - before;
}

/** Gives the `.nxs.new` that belongs to the present `.tcm` its name, before the next dump needs the other. */
export async function settle(disk: Disk, directory: string, channel: string): Promise<void> {
  await disk.rename(join(directory, nextSideName(channel)), join(directory, sideName(channel)));
  await disk.syncDirectory(directory);
}
