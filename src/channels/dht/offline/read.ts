/**
 * Reads a whole store without changing it: every frame and every effect, as a node does when it starts.
 *
 * Invariant: a store without problems is one that a node opens, with exactly the records counted here. It takes as much
 * memory as the node, because effects are applied to a store of their own.
 */
import { join } from "node:path";
import { corrupt } from "../../../core/append-log/frame.ts";
import { inspectLog, type LogFileReport, type LogProblem } from "../../../core/append-log/inspect.ts";
import type { FrameSource } from "../../../core/append-log/scan.ts";
import type { World } from "../../../core/role.ts";
import { modifiedAtMs } from "../../../core/seams/file-times.ts";
import { crc32c } from "../../../native/crc32c.ts";
import { MalformedEffects } from "../../../native/record-store.ts";
import { Store } from "../../../native/store.ts";
import { EFFECTS_FORMAT } from "../log-format.ts";
import { withIdleStore } from "./directory.ts";

export interface ChannelCount {
  name: string;
  records: number;
  keyBytes: number;
  valueBytes: number;
}

export interface StoreFile extends LogFileReport {
  /** Milliseconds since it was last written. */
  ageMs: number | undefined;
}

export interface StoreReading {
  directory: string;
  files: StoreFile[];
  leftovers: string[];
  problems: LogProblem[];
  effects: number;
  records: number;
  /** Records that have an expiry, those whose time has come included. */
  expiring: number;
  channels: ChannelCount[];
}

/** Told after each piece; `total` is the size of all files. */
export type OnProgress = (path: string, doneBytes: number, totalBytes: number) => void;

export type OfflineWorld = Pick<World, "disk" | "clock" | "random">;

/** Reads the store below `dataDir` (absolute). Throws when the directory is in use or cannot be read. */
export async function readStore(
  world: OfflineWorld,
  dataDir: string,
  onProgress: OnProgress,
): Promise<StoreReading> {
  return withIdleStore(world.disk, dataDir, async (directory) => {
    const store = new Store({ memoryBytesMax: 0, seed: world.random.bytes(16) });
    try {
      const progress = await progressOf(world, directory, onProgress);
      let effects = 0;
      const report = await inspectLog({
        disk: world.disk,
        directory,
        crc32c,
        payloadFormat: EFFECTS_FORMAT,
        onFrame: (payload, source) => {
          effects += replay(store, payload, source);
          progress(payload, source);
        },
      });
      const files = report.files.map((file) => ({
        ...file,
        ageMs: ageOf(world, join(directory, file.name)),
      }));
      const { records, expiring } = store.stats();
      return { ...report, directory, files, effects, records, expiring, channels: channelsOf(store) };
    } finally {
      store.close();
    }
  });
}

function replay(store: Store, payload: Uint8Array, { path, offset }: FrameSource): number {
  try {
    return store.replay(payload);
  } catch (error) {
    if (!(error instanceof MalformedEffects)) throw error;
    throw corrupt(path, offset + error.offset, "the checksum is right, but this is no change of a record");
  }
}

/** Counts payload bytes up to the size of all files. */
export async function progressOf(
  { disk }: OfflineWorld,
  directory: string,
  onProgress: OnProgress,
): Promise<(payload: Uint8Array, source: FrameSource) => void> {
  let totalBytes = 0;
  for (const { name, kind } of await disk.list(directory)) {
    if (kind !== "file" || !name.endsWith(".nxl")) continue;
    const file = await disk.open(join(directory, name), "read");
    totalBytes += await file.size();
    await file.close();
  }
  let doneBytes = 0;
  return (payload, { path }) => {
    doneBytes += payload.byteLength;
    onProgress(path, doneBytes, totalBytes);
  };
}

export function channelsOf(store: Store): ChannelCount[] {
  return store
    .channelNames()
    .sort()
    .map((name) => {
      const channel = store.channel(name);
      return {
        name,
        records: channel?.records ?? 0,
        keyBytes: channel?.keyBytes ?? 0,
        valueBytes: channel?.valueBytes ?? 0,
      };
    });
}

function ageOf({ clock }: OfflineWorld, path: string): number | undefined {
  const modifiedMs = modifiedAtMs(path);
  return modifiedMs === undefined ? undefined : Math.max(0, Math.round(clock.nowMs() - modifiedMs));
}
