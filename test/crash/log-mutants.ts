/**
 * The log with one guarantee taken away at a time, to show that the crash suite would notice.
 *
 * The log's own code has no switches for this: what it relies on is injected, so a mutant is a disk that does
 * less than it says, or a checksum that fits everything.
 */
import type { Disk, DiskFile, OpenMode } from "../../src/core/seams/disk.ts";
import { boundDisk } from "./bound-disk.ts";
import { whole, type Subject } from "./log-harness.ts";

interface Lies {
  /** How `sync` of this file behaves. */
  sync?: (path: string, mode: OpenMode) => "honest" | "skipped" | "early";
  isDirectorySyncSkipped?: boolean;
  /** Whether writes of this file are passed on. */
  isWritten?: (path: string, mode: OpenMode) => boolean;
  /** A torn tail stays. */
  isTruncateSkipped?: boolean;
}

function lyingFile(file: DiskFile, path: string, mode: OpenMode, lies: Lies): DiskFile {
  const sync = lies.sync?.(path, mode) ?? "honest";
  const isWritten = lies.isWritten?.(path, mode) ?? true;
  return {
    read: (target, offset) => file.read(target, offset),
    async write(bytes, offset) {
      if (isWritten) await file.write(bytes, offset);
    },
    async writeDurably(bytes, offset) {
      await this.write(bytes, offset);
      await this.sync();
    },
    async sync() {
      if (sync === "honest") await file.sync();
      if (sync === "early") file.sync().catch(() => undefined);
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
    ...boundDisk(disk),
    async open(path, mode) {
      return lyingFile(await disk.open(path, mode), path, mode, lies);
    },
    async syncDirectory(path) {
      if (lies.isDirectorySyncSkipped !== true) await disk.syncDirectory(path);
    },
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

/** The file that a restart finds last is the first that it opens for writing. */
function lyingAboutTail(lies: (isTail: () => boolean) => Lies): Subject {
  const wrapDisk = (disk: Disk) => {
    let isFirst = true;
    const isTail = () => {
      const answer = isFirst;
      isFirst = false;
      return answer;
    };
    return lyingDisk(disk, lies(isTail));
  };
  return { ...whole, wrapDisk };
}

/** Noticed only when a process is killed first and the power fails later. */
export const restartMutants = {
  "what a killed process left unsynced is not synced by the restart": lyingAboutTail((isTail) => ({
    sync: (_, mode) => (mode === "readWrite" && isTail() ? "skipped" : "honest"),
  })),
  "a torn tail is not cut": lying({ isTruncateSkipped: true }),
} satisfies Record<string, Subject>;

/** Noticed only after a failed sync, a restart of the process, and power loss, in this order. */
export const failedSyncMutants = {
  "what a failed sync dropped is not written again by the restart": lyingAboutTail((isTail) => ({
    isWritten: (_, mode) => !(mode === "readWrite" && isTail()),
  })),
} satisfies Record<string, Subject>;
