/**
 * The disk seam: every file a role keeps is opened, written, synced and renamed through here.
 *
 * Invariant: the real and the simulated disk promise exactly what POSIX promises and no more. A write
 * is in doubt until `sync` of that file resolved; a created, renamed or removed name is in doubt until
 * `syncDirectory` of its parent resolved. The simulated disk (`sim/disk.ts`) uses every freedom that
 * leaves: it tears writes at sectors, loses unsynced ones in any combination, fails the n-th call and
 * runs full. After a failed `sync` the contents are unknown: the owner must stop writing that file.
 */
import type { FilePair } from "./file-pair.ts";

export interface DiskFile {
  /** Reads up to `target.byteLength` bytes at `offset`; returns how many (less only at the end of file). */
  read(target: Uint8Array, offset: number): Promise<number>;
  /** Writes all of `bytes` at `offset`, growing the file as needed. Not durable before `sync`. */
  write(bytes: Uint8Array, offset: number): Promise<void>;
  /**
   * `write` before it returns, where that is a matter of microseconds: blocks that the file has, while the page cache
   * takes them. False: nothing was written, and `write` has to do it. Throws as `write` rejects.
   */
  writeNow?(bytes: Uint8Array, offset: number): boolean;
  /**
   * Writes the parts one behind the other, past the page cache: much at a time that is read again late or never. As `write`
   * where the file system, the place or the memory does not allow it (all begin and end at pages).
   */
  writePast?(parts: readonly Uint8Array[], offset: number): Promise<void>;
  /**
   * `write` and `sync` of these bytes in one step, which costs one turn of the event loop instead of two. Earlier
   * writes of the file may stay in doubt. NX_DISK_FULL: may be tried again with the same bytes; any other failure is
   * that of a sync.
   */
  writeDurably(bytes: Uint8Array, offset: number): Promise<void>;
  /** Resolves when every write that resolved before this call would survive power loss (fdatasync). */
  sync(): Promise<void>;
  truncate(size: number): Promise<void>;
  /** Gives the space of a part back, which reads as zeros then; false where the file system cannot, and nothing changed. */
  punch?(offset: number, bytes: number): Promise<boolean>;
  /** Reserves blocks up to `size`, so that later writes below it cannot meet a full disk. Grows the file with zeros. */
  allocate(size: number): Promise<void>;
  size(): Promise<number>;
  close(): Promise<void>;
}

export interface DirectoryEntry {
  name: string;
  /** A symbolic link is "other". */
  kind: "file" | "directory" | "other";
}

export interface DiskSpace {
  freeBytes: number;
  totalBytes: number;
}

/**
 * `create`: read/write, created when missing. `exclusive`: read/write, must not exist. `claim`: read/write; a block device
 * that is mounted, or that another program has claimed, is refused.
 */
export type OpenMode = "read" | "readWrite" | "create" | "exclusive" | "claim";

export interface Disk {
  open(path: string, mode: OpenMode): Promise<DiskFile>;
  /** Names in a directory, sorted; [] is an empty directory, a missing one throws ENOENT. */
  list(path: string): Promise<DirectoryEntry[]>;
  exists(path: string): Promise<boolean>;
  /** Creates the directory (mode 0700) and its parents; fine when it exists. */
  makeDirectory(path: string): Promise<void>;
  /** Atomic; replaces `to`. Durable only after `syncDirectory` of the parent. */
  rename(from: string, to: string): Promise<void>;
  /** A second name for the same file. `to` must not exist. */
  link(from: string, to: string): Promise<void>;
  /**
   * Makes `to`, which must not exist, a file of its own that shares the blocks of `from` until one of them is written to.
   * False where the file system cannot.
   */
  clone?(from: string, to: string): Promise<boolean>;
  /** Removes a file or a symbolic link. Throws ENOENT when missing. */
  remove(path: string): Promise<void>;
  /** Removes an empty directory. Throws ENOENT when missing. */
  removeDirectory(path: string): Promise<void>;
  /** Makes names created, renamed or removed in `path` survive power loss. */
  syncDirectory(path: string): Promise<void>;
  space(path: string): Promise<DiskSpace>;
  /**
   * Takes the lock file `path` for this process and writes its pid into it; `release` unlinks it.
   * Throws NX_DATA_DIR_LOCKED (with the owner's pid) when another process holds it. The kernel
   * drops the lock when the process dies, however it dies. `isPosix`: a POSIX write lock, as other programs' pid files
   * have it.
   */
  lock(path: string, isPosix?: boolean): Promise<{ release(): Promise<void> }>;
  /** Two open files of this disk as a pair (file-pair.ts), where it does that better than by one call for each stretch. */
  pair?(first: DiskFile, second: DiskFile): FilePair | undefined;
}

/** What deploying needs on top of what a role needs. */
export interface LinkingDisk extends Disk {
  /** A symbolic link at `path`, which must not exist. Replace one by renaming another over it. */
  symlink(target: string, path: string): Promise<void>;
  /** What a symbolic link says. Throws ENOENT when there is none. */
  readLink(path: string): Promise<string>;
  /**
   * What tells a regular file, with its content, from every other of the disk: another name of it has the same mark, one that
   * was written to or replaced has another. Undefined where there is none; links are not followed.
   */
  fileMark(path: string): Promise<string | undefined>;
  /** The permission bits of a file or directory. Durable with the next sync of that file. */
  setMode(path: string, mode: number): Promise<void>;
}
