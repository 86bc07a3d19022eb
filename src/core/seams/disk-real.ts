/**
 * The disk seam on a real file system, through `node:fs` with callbacks.
 *
 * Invariant: no call blocks the event loop; each runs on Bun's thread pool. A write counts as written only
 * when every byte was taken, and errors are those of `disk-error.ts`. A crash leaves what POSIX leaves: see
 * `disk.ts`.
 *
 * Measured here (ext4 on a virtio disk, median of 600 appends each): a write followed by fdatasync takes
 * 150-190 us over blocks that were written with zeros before, 210-430 us where it makes the file longer,
 * because then each sync also commits the journal. Unwritten extents (fallocate) need that commit too, so
 * `allocate` writes zeros. A descriptor with O_DSYNC is no faster on the disk (155-180 us), but saves `writeDurably` a
 * second way to the pool and back.
 */
import * as fs from "node:fs";
import { dirname } from "node:path";
import { diskError, nativeDiskError } from "./disk-error.ts";
import type { DirectoryEntry, DiskFile, DiskSpace, LinkingDisk, OpenMode } from "./disk.ts";
import { errnoOf, NxError } from "../errors.ts";
import type { FilePair } from "./file-pair.ts";
import { CopyThread } from "./file-pair-real.ts";
import { SpareFiles } from "./spare-files.ts";

/** What Bun does not offer for open files (native/system.ts). */
export interface FileCalls {
  /** Makes a hole; false where it cannot be. */
  punchHole(fd: number, offset: number, bytes: number): boolean;
  /** Writes all of it before it returns: 0, 1 when it had to wait for something, or a negative errno. */
  writeFileNow(fd: number, bytes: Uint8Array, offset: number): number;
  /** The length of a block device, or a negative errno. */
  deviceBytes(fd: number): number;
}

/** Takes an exclusive advisory lock on an open file without waiting; false when another process holds it. */
export type LockFile = (fd: number, isPosix: boolean) => boolean;

const { O_RDONLY, O_WRONLY, O_RDWR, O_CREAT, O_EXCL, O_DIRECTORY, O_DIRECT, O_DSYNC } = fs.constants;

const openFlags: Record<OpenMode, number> = {
  read: O_RDONLY,
  readWrite: O_RDWR,
  create: O_RDWR | O_CREAT,
  exclusive: O_RDWR | O_CREAT | O_EXCL,
  claim: O_RDWR | O_EXCL,
};

const ZEROS_BYTES = 1 << 20;
/** What goes past the page cache begins and ends at pages. */
const PAGE_BYTES = 4096;
/** Of the time at most this part is waited for in `writeNow`. */
const WAITING_SHARE = 0.1;
const PUNCH_BYTES = 64 << 20;
const notCloned = ["ENOTSUP", "EOPNOTSUPP", "EXDEV", "EINVAL", "ENOSYS"];

type Callback<Value> = (error: NodeJS.ErrnoException | null, value?: Value) => void;

/** Runs one `node:fs` call with a callback; its error says what was done to which path. */
function call<Value = void>(
  operation: string,
  path: string,
  start: (done: Callback<Value>) => void,
): Promise<Value> {
  return new Promise((resolve, reject) => {
    start((error, value) => {
      if (error === null || error === undefined) resolve(value as Value);
      else reject(diskError(error, operation, path));
    });
  });
}

class RealFile implements DiskFile {
  #fd: number;
  /** The same file once more, opened so that a write returns when it is on disk (O_DSYNC). */
  #durableFd: number | undefined;
  /** And once more, past the page cache (O_DIRECT). */
  #pastFd: Promise<number> | undefined;
  #canWritePast = true;
  #path: string;
  readonly #calls: Partial<FileCalls>;
  readonly #spares: SpareFiles;
  /** Until then `writeNow` leaves writes to the thread pool: the last one had to wait. */
  #waitsUntilMs = 0;

  constructor(fd: number, path: string, calls: Partial<FileCalls>, spares: SpareFiles) {
    this.#fd = fd;
    this.#path = path;
    this.#calls = calls;
    this.#spares = spares;
  }

  get descriptor(): { fd: number; path: string } {
    return { fd: this.#fd, path: this.#path };
  }

  async read(target: Uint8Array, offset: number): Promise<number> {
    let total = 0;
    while (total < target.byteLength) {
      const length = target.byteLength - total;
      const count = await call<number>("read", this.#path, (done) =>
        fs.read(this.#fd, target, total, length, offset + total, done),
      );
      if (count === 0) break;
      total += count;
    }
    return total;
  }

  write(bytes: Uint8Array, offset: number): Promise<void> {
    return this.#writeAll(this.#fd, bytes, offset);
  }

  async writeDurably(bytes: Uint8Array, offset: number): Promise<void> {
    // By descriptor, not by path: the file may have another name by now.
    this.#durableFd ??= await this.#spares.open(`/proc/self/fd/${this.#fd}`, O_WRONLY | O_DSYNC);
    await this.#writeAll(this.#durableFd, bytes, offset);
  }

  async writePast(parts: readonly Uint8Array[], offset: number): Promise<void> {
    const isPages = [offset, ...parts.map((part) => part.byteLength)].every(
      (each) => each % PAGE_BYTES === 0,
    );
    let written = this.#canWritePast && isPages ? await this.#writePast(parts, offset) : 0;
    let at = offset;
    for (const part of parts) {
      // As a rule nothing is left.
      const taken = Math.min(written, part.byteLength);
      if (taken < part.byteLength) await this.write(part.subarray(taken), at + taken);
      written -= taken;
      at += part.byteLength;
    }
  }

  /** Bytes that were written; 0 where that cannot be. */
  async #writePast(parts: readonly Uint8Array[], offset: number): Promise<number> {
    try {
      // By descriptor, not by path: the file may have another name by now.
      this.#pastFd ??= this.#spares.open(`/proc/self/fd/${this.#fd}`, O_WRONLY | O_DIRECT);
      const fd = await this.#pastFd;
      return await call<number>("write", this.#path, (done) => fs.writev(fd, [...parts], offset, done));
    } catch (error) {
      if (errnoOf((error as Error).cause) !== "EINVAL") throw error;
      this.#canWritePast = false;
      return 0;
    }
  }

  writeNow(bytes: Uint8Array, offset: number): boolean {
    const startMs = performance.now();
    if (this.#calls.writeFileNow === undefined || startMs < this.#waitsUntilMs) return false;
    const result = this.#calls.writeFileNow(this.#fd, bytes, offset);
    if (result < 0) throw nativeDiskError(result, "write", this.#path);
    if (result > 0) this.#waitsUntilMs = startMs + (performance.now() - startMs) / WAITING_SHARE;
    return true;
  }

  async #writeAll(fd: number, bytes: Uint8Array, offset: number): Promise<void> {
    let total = 0;
    while (total < bytes.byteLength) {
      const length = bytes.byteLength - total;
      // A short write is not an error: the next call then says why (a full disk, for instance).
      total += await call<number>("write", this.#path, (done) =>
        fs.write(fd, bytes, total, length, offset + total, done),
      );
    }
  }

  sync(): Promise<void> {
    return call("sync", this.#path, (done) => fs.fdatasync(this.#fd, done));
  }

  truncate(size: number): Promise<void> {
    return call("truncate", this.#path, (done) => fs.ftruncate(this.#fd, size, done));
  }

  async punch(offset: number, bytes: number): Promise<boolean> {
    // In steps, because each is a call on this thread.
    for (let done = 0; done < bytes; done += PUNCH_BYTES)
      if (this.#calls.punchHole?.(this.#fd, offset + done, Math.min(PUNCH_BYTES, bytes - done)) !== true)
        return false;
    return true;
  }

  async allocate(size: number): Promise<void> {
    const start = await this.size();
    const zeros = new Uint8Array(Math.max(0, Math.min(ZEROS_BYTES, size - start)));
    for (let offset = start; offset < size; offset += zeros.byteLength) {
      await this.write(zeros.subarray(0, Math.min(zeros.byteLength, size - offset)), offset);
    }
  }

  async size(): Promise<number> {
    const stat = await call<fs.Stats>("stat", this.#path, (done) => fs.fstat(this.#fd, done));
    if (!stat.isBlockDevice()) return stat.size;
    const bytes = this.#calls.deviceBytes?.(this.#fd) ?? 0;
    if (bytes < 0) throw nativeDiskError(bytes, "stat", this.#path);
    return bytes;
  }

  async close(): Promise<void> {
    if (this.#durableFd !== undefined) await this.#spares.close(this.#path, this.#durableFd);
    const pastFd = await this.#pastFd?.catch(() => undefined);
    if (pastFd !== undefined) await this.#spares.close(this.#path, pastFd);
    await this.#spares.close(this.#path, this.#fd);
  }
}

/** The machine's file system. `lockFile` comes from the C library (flock). */
export class RealDisk implements LinkingDisk {
  #lockFile: LockFile;
  readonly #copyThread = new CopyThread();
  readonly #fileCalls: Partial<FileCalls>;
  readonly #spares = new SpareFiles();

  constructor(lockFile: LockFile, fileCalls: Partial<FileCalls> = {}) {
    this.#lockFile = lockFile;
    this.#fileCalls = fileCalls;
  }

  pair(first: DiskFile, second: DiskFile): FilePair | undefined {
    if (!(first instanceof RealFile && second instanceof RealFile)) return undefined;
    return this.#copyThread.pair(first.descriptor, second.descriptor);
  }

  async open(path: string, mode: OpenMode): Promise<DiskFile> {
    return new RealFile(await this.#spares.open(path, openFlags[mode]), path, this.#fileCalls, this.#spares);
  }

  async list(path: string): Promise<DirectoryEntry[]> {
    const entries = await call<fs.Dirent[]>("list", path, (done) =>
      fs.readdir(path, { withFileTypes: true }, done),
    );
    return entries
      .map((entry): DirectoryEntry => ({ name: entry.name, kind: kindOf(entry) }))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  async exists(path: string): Promise<boolean> {
    try {
      await call<fs.Stats>("stat", path, (done) => fs.stat(path, done));
      return true;
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return false;
      throw error;
    }
  }

  async makeDirectory(path: string): Promise<void> {
    await call<string | undefined>("create directory", path, (done) =>
      fs.mkdir(path, { recursive: true, mode: 0o700 }, done),
    );
  }

  rename(from: string, to: string): Promise<void> {
    return call("rename", from, (done) => fs.rename(from, to, done));
  }

  link(from: string, to: string): Promise<void> {
    return call("link", from, (done) => fs.link(from, to, done));
  }

  async clone(from: string, to: string): Promise<boolean> {
    const { COPYFILE_FICLONE_FORCE: sharing, COPYFILE_EXCL: exclusive } = fs.constants;
    let errno: string | undefined;
    await call("clone", from, (done) =>
      fs.copyFile(from, to, sharing | exclusive, (error) => {
        errno = error?.code;
        done(errno !== undefined && notCloned.includes(errno) ? null : error);
      }),
    );
    return errno === undefined;
  }

  remove(path: string): Promise<void> {
    return call("remove", path, (done) => fs.unlink(path, done));
  }

  removeDirectory(path: string): Promise<void> {
    return call("remove directory", path, (done) => fs.rmdir(path, done));
  }

  symlink(target: string, path: string): Promise<void> {
    return call("link", path, (done) => fs.symlink(target, path, done));
  }

  readLink(path: string): Promise<string> {
    return call<string>("read link", path, (done) => fs.readlink(path, done));
  }

  async fileMark(path: string): Promise<string | undefined> {
    try {
      const stat = await call<fs.BigIntStats>("stat", path, (done) => fs.lstat(path, { bigint: true }, done));
      return stat.isFile() ? `${stat.dev}:${stat.ino}:${stat.size}:${stat.mtimeNs}` : undefined;
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return undefined;
      throw error;
    }
  }

  setMode(path: string, mode: number): Promise<void> {
    return call("set mode of", path, (done) => fs.chmod(path, mode, done));
  }

  async syncDirectory(path: string): Promise<void> {
    const fd = await this.#spares.open(path, O_RDONLY | O_DIRECTORY);
    try {
      await call("sync directory", path, (done) => fs.fsync(fd, done));
    } finally {
      await this.#spares.close(path, fd);
    }
  }

  async space(path: string): Promise<DiskSpace> {
    const stat = await call<fs.StatsFs>("stat file system of", path, (done) => fs.statfs(path, done));
    return { freeBytes: stat.bavail * stat.bsize, totalBytes: stat.blocks * stat.bsize };
  }

  async lock(path: string, isPosix = false): Promise<{ release(): Promise<void> }> {
    const spares = this.#spares;
    for (;;) {
      const fd = await spares.open(path, O_RDWR | O_CREAT);
      try {
        if (!this.#lockFile(fd, isPosix)) throw await heldError(path, fd, isPosix);
        if (await isNameOf(path, fd)) {
          await writePid(path, fd);
          return {
            async release() {
              // The name goes first: whoever locks the nameless file notices and tries again.
              await call("remove", path, (done) => fs.unlink(path, done));
              await spares.close(path, fd);
            },
          };
        }
      } catch (error) {
        await spares.close(path, fd);
        throw error;
      }
      // The previous owner removed the name between our open and our lock.
      await spares.close(path, fd);
    }
  }
}

function kindOf(entry: fs.Dirent): DirectoryEntry["kind"] {
  if (entry.isFile()) return "file";
  return entry.isDirectory() ? "directory" : "other";
}

async function isNameOf(path: string, fd: number): Promise<boolean> {
  const ours = await call<fs.Stats>("stat", path, (done) => fs.fstat(fd, done));
  try {
    const named = await call<fs.Stats>("stat", path, (done) => fs.stat(path, done));
    return named.ino === ours.ino && named.dev === ours.dev;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return false;
    throw error;
  }
}

async function writePid(path: string, fd: number): Promise<void> {
  await call("truncate", path, (done) => fs.ftruncate(fd, 0, done));
  const text = Buffer.from(`${process.pid}\n`);
  try {
    await call<number>("write", path, (done) => fs.write(fd, text, 0, text.byteLength, 0, done));
  } catch (error) {
    // The lock holds without the number, which is only for messages; a full disk must not keep a reader from
    // starting.
    if ((error as NxError).code !== "NX_DISK_FULL") throw error;
  }
}

async function heldError(path: string, fd: number, isPidFile: boolean): Promise<NxError> {
  const file = new RealFile(fd, path, {}, new SpareFiles());
  const text = Buffer.alloc(32);
  const pid = text.toString("latin1", 0, await file.read(text, 0)).trim();
  const owner = /^\d+$/.test(pid) ? `process ${pid}` : "another process";
  if (isPidFile) {
    return new NxError("NX_DATA_DIR_LOCKED", `the pid file ${path} is locked by ${owner}`, {
      hint: "stop that process, or give this instance a pid file of its own",
    });
  }
  return new NxError("NX_DATA_DIR_LOCKED", `${dirname(path)} is in use by ${owner} (lock file ${path})`, {
    hint: "stop that process, or give this instance a data directory of its own",
  });
}
