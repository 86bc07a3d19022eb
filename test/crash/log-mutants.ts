/**
 * The log with one guarantee taken away at a time, to show that the crash suite would notice.
 *
 * The log's own code has no switches for this: what it relies on is injected, so a mutant is a disk that does less
 * than it says, or a checksum that fits everything.
 */
import type { Disk, DiskFile, OpenMode } from "../../src/core/disk.ts";
import { whole, type Subject } from "./log-harness.ts";

interface Lies {
  /** How `sync` of this file behaves. */
  sync?: (path: string, mode: OpenMode) => "honest" | "skipped" | "early";
  isDirectorySyncSkipped?: boolean;
  /** A torn tail stays. */
  isTruncateSkipped?: boolean;
}

function lyingFile(file: DiskFile, sync: "honest" | "skipped" | "early", lies: Lies): DiskFile {
  return {
    read: (target, offset) => file.read(target, offset),
    write: (bytes, offset) => file.write(bytes, offset),
    async sync() {
      if (sync === "honest") await file.sync();
      if (sync === "early") void file.sync();
    },
    async truncate(size) {
      if (lies.isTruncateSkipped !== true) await file.truncate(size);
    },
    allocate: (size) => file.allocate(size),
    size: () => file.size(),
    close: () => file.close(),
  };
}

function lyingDisk(disk: Disk, lies: Lies): Disk {
  return {
    async open(path, mode) {
      return lyingFile(await disk.open(path, mode), lies.sync?.(path, mode) ?? "honest", lies);
    },
    list: (path) => disk.list(path),
    exists: (path) => disk.exists(path),
    makeDirectory: (path) => disk.makeDirectory(path),
    rename: (from, to) => disk.rename(from, to),
    link: (from, to) => disk.link(from, to),
    remove: (path) => disk.remove(path),
    async syncDirectory(path) {
      if (lies.isDirectorySyncSkipped !== true) await disk.syncDirectory(path);
    },
    space: (path) => disk.space(path),
    lock: (path) => disk.lock(path),
  };
}

const lying = (lies: Lies): Subject => ({ ...whole, wrapDisk: (disk) => lyingDisk(disk, lies) });

const isSnapshot = (path: string) => path.includes("snapshot-");

export const mutants = {
  "files are never synced": lying({ sync: () => "skipped" }),
  "appends are acknowledged before the sync is done": lying({ sync: () => "early" }),
  "directories are never synced": lying({ isDirectorySyncSkipped: true }),
  "snapshots are not synced before they get their name": lying({
    sync: (path) => (isSnapshot(path) ? "skipped" : "honest"),
  }),
  "checksums fit everything": { ...whole, crc32c: () => 0 },
} satisfies Record<string, Subject>;

/** Noticed only when a process is killed first and the power fails later. */
export const restartMutants = {
  "what a killed process left unsynced is not synced by the restart": lying({
    sync: (_, mode) => (mode === "readWrite" ? "skipped" : "honest"),
  }),
  "a torn tail is not cut": lying({ isTruncateSkipped: true }),
} satisfies Record<string, Subject>;
