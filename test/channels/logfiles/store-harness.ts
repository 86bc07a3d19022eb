/** The store of a logfiles node over any disk, with the work on files in the same thread, as simulations need it. */
import { ClassicLayout } from "../../../src/channels/logfiles/classic/classic-layout.ts";
import { InlineWork } from "../../../src/channels/logfiles/work/inline-work.ts";
import { SegmentLayout } from "../../../src/channels/logfiles/segments/segment-layout.ts";
import { everything, type ScanRequest } from "../../../src/channels/logfiles/scan/request.ts";
import { readPieces } from "../../../src/channels/logfiles/scan/scan.ts";
import type { Layout } from "../../../src/channels/logfiles/store/layout.ts";
import { LogStore } from "../../../src/channels/logfiles/store/log-store.ts";
import { silentLog } from "../../../src/core/logging/log.ts";
import type { World } from "../../../src/core/role.ts";
import type { FileWork } from "../../../src/channels/logfiles/work/work.ts";

export type LayoutName = "segments" | "classic";
export type StoreWorld = Omit<World, "net">;

export interface HarnessOptions {
  layout?: LayoutName;
  durability?: "log" | "buffered";
  dataDir?: string;
  memtableBytes?: number;
  joinCount?: number;
  retention?: { ageSecondsMax: number; fileBytesMax: number };
  onDurable?: () => void;
  onFatal?: (error: Error) => void;
  work?: (work: FileWork) => FileWork;
}

export const CHANNELS = "channels";

export function layoutFor(world: StoreWorld, work: FileWork, options: HarnessOptions): Layout {
  const { disk, random } = world;
  const directory = `${options.dataDir ?? "/data"}/${CHANNELS}`;
  if (options.layout === "classic") return new ClassicLayout({ disk, log: silentLog(), work, directory });
  const settings = { pageBytes: 4096, level: 3, joinCount: options.joinCount ?? 8, joinBytesMax: 1 << 28 };
  return new SegmentLayout({ disk, random, log: silentLog(), work, directory, settings });
}

export function openStore(world: StoreWorld, options: HarnessOptions = {}): Promise<LogStore> {
  const work = options.work?.(new InlineWork(world.disk)) ?? new InlineWork(world.disk);
  return LogStore.open({
    world,
    log: silentLog(),
    dataDir: options.dataDir ?? "/data",
    durability: options.durability ?? "log",
    layout: layoutFor(world, work, options),
    work,
    sealing: {
      memtableBytes: options.memtableBytes ?? 1 << 20,
      logBytesMin: 0,
      periodMs: 3_600_000,
      checkMs: 1000,
    },
    retention: { ageSecondsMax: 0, fileBytesMax: 0, ...options.retention, checkMs: 3_600_000 },
    onDurable: options.onDurable ?? (() => {}),
    onDrain: () => {},
    onRefusal: () => {},
    onGroup: () => {},
    onFatal: options.onFatal ?? (() => {}),
    progress: () => {},
    // Small, so that a simulated disk has few sectors to lose.
    appendLog: { segmentBytesMin: 2048, segmentBytesMax: 4096, groupBytesMax: 1 << 16 },
  });
}

export function put(store: LogStore, channel: string, key: bigint, value: string): void {
  store.put(channel, key, Buffer.from(value));
  store.commit();
}

/** `<key> <value>` of each record that is found, in order. */
export async function read(
  store: LogStore,
  channel: string,
  request: Partial<ScanRequest> = {},
): Promise<string[]> {
  const pieces = store.scan(channel, { ...everything, output: "lines", batchBytes: 0, ...request });
  if (pieces === undefined) return [];
  const parts: Uint8Array[] = [];
  await readPieces(pieces, (piece) => void parts.push(piece));
  const text = Buffer.concat(parts).toString();
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const { time, value, base64 } = JSON.parse(line) as { time: number; value?: string; base64?: string };
      return `${time} ${value ?? `base64 ${base64}`}`;
    });
}

/** Everything in the store, by channel. */
export async function readAll(store: LogStore): Promise<Record<string, string[]>> {
  const all: Record<string, string[]> = {};
  for (const { name } of store.channels()) {
    const records = await read(store, name);
    if (records.length > 0) all[name] = records;
  }
  return all;
}
