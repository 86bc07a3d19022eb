/**
 * Queues that survive a clean shutdown: a `.rq` file for each list, as the originals write them, and a snapshot of
 * everything else (streams, lists whose name no file may have).
 *
 * Invariant: each file is replaced whole or not at all; an empty channel's old file goes. A crash takes what changed
 * since the start. Files are checked to the last byte before anything of them counts.
 */
import { join } from "node:path";
import { LogFile } from "../../core/append-log/log-file.ts";
import type { FrameSource } from "../../core/append-log/scan.ts";
import { NxError } from "../../core/errors.ts";
import type { Log } from "../../core/logging/log.ts";
import type { World } from "../../core/role.ts";
import type { Disk } from "../../core/seams/disk.ts";
import { writeFileAtomically } from "../../core/seams/durable-files.ts";
import { crc32c } from "../../native/crc32c.ts";
import { type Queues, StoreOutcome } from "../../native/queues.ts";
import { replayFrame } from "../durable-log.ts";
import { QUEUE_EFFECTS_FORMAT } from "./log-format.ts";
import { MalformedOverflow, readOverflowSet } from "./overflow-set.ts";

export interface SavedOptions {
  world: World;
  log: Log;
  dataDir: string;
  progress(text: string): void;
}

const SUFFIX = ".rq";
const OTHERS = "others";
/** What may be a file's name: a channel, or `<subscriber>@<channel>`. */
const CHANNEL = /^([A-Za-z0-9_-]*@)?[A-Za-z0-9_-]{1,240}$/;

/** Loads what a clean shutdown saved; with `removes` the `.rq` files go once all are loaded. */
export async function loadQueues(options: SavedOptions, queues: Queues, removes: boolean): Promise<void> {
  const { world, dataDir, log } = options;
  await loadOthers(options, queues);
  const loaded: string[] = [];
  for (const { name, kind } of await world.disk.list(dataDir)) {
    if (kind !== "file" || !name.endsWith(SUFFIX)) continue;
    const channel = name.slice(0, -SUFFIX.length);
    if (!CHANNEL.test(channel)) {
      log.warn(`${join(dataDir, name)} is named like no channel: left alone`);
      continue;
    }
    await loadFile(options, queues, channel, join(dataDir, name));
    loaded.push(name);
  }
  await loadOverflow(options, queues);
  if (!removes || loaded.length === 0) return;
  for (const name of loaded) await world.disk.remove(join(dataDir, name));
  await world.disk.syncDirectory(dataDir);
}

async function loadFile(options: SavedOptions, queues: Queues, channel: string, path: string): Promise<void> {
  const { log, progress, world } = options;
  const outcome = queues.load(channel, await readWhole(world.disk, path));
  if (outcome === StoreOutcome.malformed)
    throw new NxError("NX_DATA_CORRUPT", `${path}: the lengths of its records do not add up`, {
      hint: "restore the file from a copy, or move it away to start without these records",
    });
  if (outcome !== StoreOutcome.ok) throw doesNotFit(`${path}: its records`);
  progress(`  ${channel}: 100.00%`);
  log.info(`loaded channel ${channel}`, { path });
}

/** The originals' overflow, once: the files get other names, because the next save holds what was in them. */
async function loadOverflow({ world, dataDir, log }: SavedOptions, queues: Queues): Promise<void> {
  const [data, index] = ["overflow.dat", "ofchannels.csv"].map((name) => join(dataDir, name)) as [
    string,
    string,
  ];
  if (!(await world.disk.exists(data)) || !(await world.disk.exists(index))) return;
  const text = Buffer.from(await readWhole(world.disk, index)).toString("latin1");
  for (const { name, records } of overflowSet(data, await readWhole(world.disk, data), text)) {
    const channel = name.replace("@", "\0");
    if (channel !== name) queues.load(name, EMPTY_FILE);
    for (const record of records)
      if (queues.push(channel, record) !== StoreOutcome.ok) throw doesNotFit(`${data}: records of ${name}`);
    log.info(`loaded the overflow of channel ${name}`, { records: records.length });
  }
  for (const path of [data, index]) await world.disk.rename(path, `${path}.imported`);
  await world.disk.syncDirectory(dataDir);
}

/** A `.rq` file without records: loading it makes the subscriber's storage. */
const EMPTY_FILE = new Uint8Array(12);

function overflowSet(path: string, data: Uint8Array, index: string) {
  try {
    return readOverflowSet(data, index);
  } catch (error) {
    if (!(error instanceof MalformedOverflow)) throw error;
    throw new NxError("NX_DATA_CORRUPT", `${path}: ${error.message}`, {
      hint: "restore both files from a copy, or move them away to start without these records",
    });
  }
}

function doesNotFit(what: string): NxError {
  return new NxError("NX_CONFIG_INVALID", `${what} do not fit the channel's ring`, {
    hint: "raise channels.ringBytes (or channels.sizeBytesMax), or move the file away",
  });
}

async function readWhole(disk: Disk, path: string): Promise<Uint8Array> {
  const file = await disk.open(path, "read");
  try {
    const bytes = new Uint8Array(await file.size());
    for (let at = 0; at < bytes.byteLength;) {
      const read = await file.read(bytes.subarray(at), at);
      if (read === 0) return bytes.subarray(0, at);
      at += read;
    }
    return bytes;
  } finally {
    await file.close();
  }
}

function openOthers(
  { world, dataDir }: SavedOptions,
  replay: (payload: Uint8Array, source: FrameSource) => void,
) {
  return LogFile.open(
    {
      ...world,
      crc32c,
      directory: join(dataDir, OTHERS),
      payloadFormat: QUEUE_EFFECTS_FORMAT,
      listener: { onDurable: () => {} },
    },
    { onSnapshot: replay, onFrame: replay },
  );
}

async function loadOthers(options: SavedOptions, queues: Queues): Promise<void> {
  if (!(await options.world.disk.exists(join(options.dataDir, OTHERS)))) return;
  const log = await openOthers(options, (payload, source) => void replayFrame(queues, payload, source));
  await log.close();
}

/** Saves everything. The lists are gone from memory afterwards: what is left goes into the snapshot. */
export async function saveQueues(options: SavedOptions, queues: Queues): Promise<void> {
  const { world, dataDir, log, progress } = options;
  const lists = queues
    .channels()
    .filter(
      ({ kind, name, isStorage }) =>
        kind === "list" && CHANNEL.test(name) && isStorage === name.includes("@"),
    );
  const written = new Set<string>();
  for (const { name, records } of lists) {
    if (records === 0) continue;
    const path = join(dataDir, `${name}${SUFFIX}`);
    await writeFileAtomically(world.disk, path, queues.save(name) as Uint8Array);
    written.add(`${name}${SUFFIX}`);
    log.info(`saved channel ${name}`, { path, records });
    progress(`  ${name}: 100.00%`);
  }
  await removeOthers(world.disk, dataDir, written);
  for (const { name, isStorage } of lists) queues.remove(isStorage ? name.replace("@", "\0") : name);
  await saveOthers(options, queues);
}

/** Files of channels that are empty or gone: every one was loaded at the start. */
async function removeOthers(disk: Disk, dataDir: string, written: ReadonlySet<string>): Promise<void> {
  for (const { name, kind } of await disk.list(dataDir)) {
    const isOurs = kind === "file" && name.endsWith(SUFFIX) && CHANNEL.test(name.slice(0, -SUFFIX.length));
    if (isOurs && !written.has(name)) await disk.remove(join(dataDir, name));
  }
  await disk.syncDirectory(dataDir);
}

async function saveOthers(options: SavedOptions, queues: Queues): Promise<void> {
  const isKept = await options.world.disk.exists(join(options.dataDir, OTHERS));
  if (!isKept && queues.channels().length === 0) return;
  const log = await openOthers(options, () => {});
  await log.compact(() => queues.exportSlices());
  await log.close();
}
