/**
 * A simulated disk that uses every freedom `disk.ts` leaves: it loses what was not synced, tears sectors,
 * fails calls, runs full, drops data at a failed sync, and takes its time.
 *
 * Invariant: it never breaks a promise of the seam by itself. Everything that was synced is still there after
 * `crash`, unless a test damages it on purpose (`flipBit`). A call that is under way when the power goes
 * never settles, as its process is gone.
 */
import { createHash } from "node:crypto";
import { posix } from "node:path";
import { diskError } from "../seams/disk-error.ts";
import type { DirectoryEntry, DiskFile, DiskSpace, LinkingDisk, OpenMode } from "../seams/disk.ts";
import { NxError } from "../errors.ts";
import type { Random } from "../seams/random.ts";
import { crashed, type CrashModel } from "./disk-crash.ts";
import { copyDirectory, DirectoryNode, FileNode, filesOf, LinkNode, type Node } from "./disk-state.ts";
import { FaultCounts } from "./faults.ts";
import type { Scheduler } from "./scheduler.ts";

export type DiskOperation =
  | "open" | "read" | "write" | "sync" | "truncate" | "allocate" | "size" | "close" | "list" | "exists"
  | "makeDirectory" | "rename" | "link" | "remove" | "removeDirectory" | "symlink" | "readLink" | "stat" | "setMode"
  | "syncDirectory" | "space" | "lock"; // prettier-ignore

/** Makes calls fail: the n-th from now (1 is the next), once or from then on. */
export interface PlannedFailure {
  nth: number;
  isSticky: boolean;
  errno: "EIO" | "ENOSPC";
  /** Only these operations are counted; all when missing. */
  operations?: readonly DiskOperation[];
}

export interface SimDiskOptions {
  sectorBytes?: number;
  capacityBytes?: number;
  /** Each call takes an exponentially distributed time with this mean on top of `latencyMinMs`. */
  latencyMinMs?: number;
  latencyMeanMs?: number;
}

/** The errno error that a real call would fail with. */
function errnoError(errno: string, operation: DiskOperation, path: string): Error {
  return Object.assign(new Error(`${errno}: ${operation} '${path}'`), { code: errno });
}

export class SimDisk implements LinkingDisk {
  readonly faults = new FaultCounts();
  /** Called after each completed call that changed something, before its caller hears of it. */
  onChange: ((operation: DiskOperation, path: string) => void) | undefined;
  capacityBytes: number;
  /** True once a planned failure has fired. */
  hasFailed = false;
  #scheduler: Scheduler;
  #random: Random;
  #sectorBytes: number;
  #latencyMinMs: number;
  #latencyMeanMs: number;
  #root = new DirectoryNode();
  #openFiles = new Set<FileNode>();
  #locks = new Set<string>();
  readonly #numbers = new WeakMap<FileNode, number>();
  #lastNumber = 0;
  /** Grows with each power loss; calls of an earlier life never settle. */
  #life = 0;
  #plan: PlannedFailure | undefined;

  constructor(scheduler: Scheduler, options: SimDiskOptions = {}) {
    this.#scheduler = scheduler;
    this.#random = scheduler.fork();
    this.#sectorBytes = options.sectorBytes ?? 512;
    this.capacityBytes = options.capacityBytes ?? Number.POSITIVE_INFINITY;
    this.#latencyMinMs = options.latencyMinMs ?? 0.02;
    this.#latencyMeanMs = options.latencyMeanMs ?? 0.1;
  }

  // --- for tests
  // -------------------------------------------------------------------------------------------------

  failLater(plan: PlannedFailure | undefined): void {
    this.#plan = plan === undefined ? undefined : { ...plan };
    this.hasFailed = false;
  }

  /** The present state, doubts included, for `crashStates`. */
  capture(): DirectoryNode {
    return copyDirectory(this.#root);
  }

  /** Puts a captured or crashed state in place, as if this disk had been pulled and another plugged in. */
  restore(root: DirectoryNode): void {
    this.#root = copyDirectory(root);
    this.#restart();
  }

  /** Power loss: keeps a random one of the states that are allowed. */
  crash(model: CrashModel): void {
    this.faults.count("power loss");
    let kept = 0;
    let lost = 0;
    const choose = (count: number) => {
      const pick = this.#random.integer(count);
      if (count > 1 && pick === 0) lost += 1;
      if (count > 1 && pick > 0) kept += 1;
      return pick;
    };
    this.#root = crashed(this.#root, choose, model);
    if (lost > 0) this.faults.count("unsynced change lost", lost);
    if (kept > 0) this.faults.count("unsynced change kept", kept);
    this.#restart();
  }

  /** The process dies, the machine stays up: nothing is lost, what was in doubt stays in doubt. */
  killProcess(): void {
    this.faults.count("process killed");
    this.#restart();
  }

  /** Damages one stored bit. */
  flipBit(path: string, bit: number): void {
    const file = this.#file("write", path);
    const index = Math.floor(bit / 8 / this.#sectorBytes);
    const sector = file.sectorAt(index);
    const content = sector.cache.slice();
    const at = Math.floor(bit / 8) - index * this.#sectorBytes;
    content[at] = (content[at] as number) ^ (1 << (bit % 8));
    file.sectors.set(index, { durable: content, versions: [], cache: content });
    this.faults.count("bit flipped");
  }

  usedBytes(): number {
    const files = filesOf(this.#root);
    for (const file of this.#openFiles) files.add(file);
    let sectors = 0;
    for (const file of files) sectors += file.sectors.size;
    return sectors * this.#sectorBytes;
  }

  // --- the seam
  // --------------------------------------------------------------------------------------------------

  open(path: string, mode: OpenMode): Promise<DiskFile> {
    return this.#call("open", path, () => {
      const { parent, name } = this.#parent("open", path);
      let node = parent.entries.get(name);
      if (node?.kind === "link" && mode !== "exclusive") node = this.#file("open", path);
      if (node !== undefined && mode === "exclusive") throw errnoError("EEXIST", "open", path);
      if (node === undefined) {
        if (mode !== "create" && mode !== "exclusive") throw errnoError("ENOENT", "open", path);
        node = new FileNode(this.#sectorBytes);
        parent.apply({ kind: "set", name, node });
      }
      if (node.kind !== "file") throw errnoError("EISDIR", "open", path);
      node.openCount += 1;
      this.#openFiles.add(node);
      return this.#handle(node, path);
    });
  }

  list(path: string): Promise<DirectoryEntry[]> {
    return this.#call("list", path, () =>
      [...this.#directory("list", path).entries]
        .map(([name, node]): DirectoryEntry => ({ name, kind: node.kind === "link" ? "other" : node.kind }))
        .sort((a, b) => (a.name < b.name ? -1 : 1)),
    );
  }

  exists(path: string): Promise<boolean> {
    return this.#call("exists", path, () => this.#node(path) !== undefined);
  }

  makeDirectory(path: string): Promise<void> {
    return this.#call("makeDirectory", path, () => {
      let at = this.#root;
      for (const name of namesOf(path)) {
        let next = at.entries.get(name);
        if (next === undefined) {
          next = new DirectoryNode();
          at.apply({ kind: "set", name, node: next });
        }
        if (next.kind !== "directory") throw errnoError("ENOTDIR", "makeDirectory", path);
        at = next;
      }
    });
  }

  rename(from: string, to: string): Promise<void> {
    return this.#call("rename", from, () => {
      const source = this.#parent("rename", from);
      const target = this.#parent("rename", to);
      const node = source.parent.entries.get(source.name);
      if (node === undefined) throw errnoError("ENOENT", "rename", from);
      if (source.parent === target.parent) {
        source.parent.apply({ kind: "rename", from: source.name, name: target.name, node });
      } else {
        target.parent.apply({ kind: "set", name: target.name, node });
        source.parent.apply({ kind: "remove", name: source.name });
      }
    });
  }

  link(from: string, to: string): Promise<void> {
    return this.#call("link", from, () => {
      const node = this.#file("link", from);
      const { parent, name } = this.#parent("link", to);
      if (parent.entries.has(name)) throw errnoError("EEXIST", "link", to);
      parent.apply({ kind: "set", name, node });
    });
  }

  remove(path: string): Promise<void> {
    return this.#call("remove", path, () => {
      const { parent, name } = this.#parent("remove", path);
      if (parent.entries.get(name)?.kind !== "link") this.#file("remove", path);
      parent.apply({ kind: "remove", name });
    });
  }

  removeDirectory(path: string): Promise<void> {
    return this.#call("removeDirectory", path, () => {
      const { parent, name } = this.#parent("removeDirectory", path);
      const node = parent.entries.get(name);
      if (node === undefined) throw errnoError("ENOENT", "removeDirectory", path);
      if (node.kind !== "directory") throw errnoError("ENOTDIR", "removeDirectory", path);
      if (node.entries.size > 0) throw errnoError("ENOTEMPTY", "removeDirectory", path);
      parent.apply({ kind: "remove", name });
    });
  }

  symlink(target: string, path: string): Promise<void> {
    return this.#call("symlink", path, () => {
      const { parent, name } = this.#parent("symlink", path);
      if (parent.entries.has(name)) throw errnoError("EEXIST", "symlink", path);
      parent.apply({ kind: "set", name, node: new LinkNode(target) });
    });
  }

  readLink(path: string): Promise<string> {
    return this.#call("readLink", path, () => {
      const { parent, name } = this.#parent("readLink", path);
      const node = parent.entries.get(name);
      if (node === undefined) throw errnoError("ENOENT", "readLink", path);
      if (node.kind !== "link") throw errnoError("EINVAL", "readLink", path);
      return node.target;
    });
  }

  fileMark(path: string): Promise<string | undefined> {
    return this.#call("stat", path, () => {
      const { parent, name } = this.#parent("stat", path);
      const node = parent.entries.get(name);
      if (node?.kind !== "file") return undefined;
      const number = this.#numbers.get(node) ?? ++this.#lastNumber;
      this.#numbers.set(node, number);
      const content = new Uint8Array(node.size);
      node.read(content, 0);
      return `${number}:${createHash("sha256").update(content).digest("hex")}`;
    });
  }

  /** Modes are not kept: a simulation has one user. */
  setMode(path: string, _mode: number): Promise<void> {
    return this.#call("setMode", path, () => {
      if (this.#node(path) === undefined) throw errnoError("ENOENT", "setMode", path);
    });
  }

  syncDirectory(path: string): Promise<void> {
    let directory: DirectoryNode | undefined;
    let count = 0;
    const start = () => {
      directory = this.#directory("syncDirectory", path);
      count = directory.changes.length;
    };
    return this.#call("syncDirectory", path, start, () => directory?.applySync(count));
  }

  space(path: string): Promise<DiskSpace> {
    return this.#call("space", path, () => {
      const totalBytes = Number.isFinite(this.capacityBytes) ? this.capacityBytes : Number.MAX_SAFE_INTEGER;
      return { freeBytes: Math.max(0, totalBytes - this.usedBytes()), totalBytes };
    });
  }

  lock(path: string): Promise<{ release(): Promise<void> }> {
    return this.#call("lock", path, () => {
      if (this.#locks.has(path))
        throw new NxError("NX_DATA_DIR_LOCKED", `${path} is held by another process`);
      this.#locks.add(path);
      const release = async () => {
        this.#locks.delete(path);
      };
      return { release };
    });
  }

  // --- inside
  // ----------------------------------------------------------------------------------------------------

  #handle(file: FileNode, path: string): DiskFile {
    const handle: DiskFile = {
      read: (target, offset) => this.#call("read", path, () => file.read(target, offset)),
      write: (bytes, offset) => {
        const start = () => {
          this.#claim("write", path, file.newSectors(offset, bytes.byteLength));
          file.write(bytes, offset);
        };
        // A failed write may have written some of it.
        const fail = () => {
          const part = bytes.subarray(0, this.#random.integer(bytes.byteLength + 1));
          if (file.newSectors(offset, part.byteLength) === 0) file.write(part, offset);
        };
        return this.#call("write", path, start, undefined, fail);
      },
      writeNow: (bytes, offset) => {
        if (this.#random.integer(2) === 0) return false;
        const errno = this.#plannedErrno("write");
        if (errno !== undefined) throw diskError(errnoError(errno, "write", path), "write", path);
        this.#claim("write", path, file.newSectors(offset, bytes.byteLength));
        file.write(bytes, offset);
        this.onChange?.("write", path);
        return true;
      },
      async writeDurably(bytes, offset) {
        await handle.write(bytes, offset);
        await handle.sync().catch((error: Error) => {
          throw new NxError("NX_DISK_FAILED", error.message, { cause: error });
        });
      },
      sync: () => this.#sync(file, path),
      truncate: (size) => this.#call("truncate", path, () => file.truncate(size)),
      allocate: (size) =>
        this.#call("allocate", path, () => {
          if (size <= file.size) return;
          const zeros = new Uint8Array(size - file.size);
          this.#claim("allocate", path, file.newSectors(file.size, zeros.byteLength));
          file.write(zeros, file.size);
        }),
      size: () => this.#call("size", path, () => file.size),
      close: () =>
        this.#call("close", path, () => {
          file.openCount -= 1;
          if (file.openCount === 0) this.#openFiles.delete(file);
        }),
    };
    return handle;
  }

  #sync(file: FileNode, path: string): Promise<void> {
    let mark: ReturnType<FileNode["mark"]> | undefined;
    const start = () => {
      mark = file.mark();
    };
    const finish = () => mark !== undefined && file.applySync(mark);
    const fail = () => file.dropUnsynced(() => this.#random.integer(2) === 0);
    return this.#call("sync", path, start, finish, fail);
  }

  /**
   * One call: `start` runs at once (so that a crash meanwhile finds it in doubt), `finish` when it completes.
   * A planned failure replaces both.
   */
  #call<Value>(
    operation: DiskOperation,
    path: string,
    start: () => Value,
    finish?: () => void,
    fail?: () => void,
  ): Promise<Value> {
    const life = this.#life;
    let value: Value;
    let error: Error | undefined;
    try {
      const errno = this.#plannedErrno(operation);
      if (errno !== undefined) throw errnoError(errno, operation, path);
      value = start();
    } catch (failure) {
      fail?.();
      error = diskError(failure, operation, path);
    }
    return new Promise((resolve, reject) => {
      const delayMs = this.#latencyMinMs - Math.log(1 - this.#random.float()) * this.#latencyMeanMs;
      this.#scheduler.after(delayMs, () => {
        if (this.#life !== life) return;
        if (error === undefined) finish?.();
        this.onChange?.(operation, path);
        if (error === undefined) resolve(value);
        else reject(error);
      });
    });
  }

  #plannedErrno(operation: DiskOperation): string | undefined {
    const plan = this.#plan;
    if (plan === undefined) return undefined;
    if (plan.operations !== undefined && !plan.operations.includes(operation)) return undefined;
    plan.nth -= 1;
    if (plan.nth > 0 || (plan.nth < 0 && !plan.isSticky)) return undefined;
    this.hasFailed = true;
    this.faults.count(`${operation} failed with ${plan.errno}`);
    return plan.errno;
  }

  #claim(operation: DiskOperation, path: string, sectors: number): void {
    if (sectors === 0 || !Number.isFinite(this.capacityBytes)) return;
    if (this.usedBytes() + sectors * this.#sectorBytes > this.capacityBytes) {
      this.faults.count("disk full");
      throw errnoError("ENOSPC", operation, path);
    }
  }

  #restart(): void {
    this.#life += 1;
    this.#openFiles.clear();
    this.#locks.clear();
  }

  /** Follows symbolic links, the last name's too. */
  #node(path: string, linksMax = 8): Node | undefined {
    let at: Node | undefined = this.#root;
    const names = namesOf(path);
    for (const [index, name] of names.entries()) {
      at = at?.kind === "directory" ? at.entries.get(name) : undefined;
      if (at?.kind !== "link") continue;
      if (linksMax === 0) throw errnoError("ELOOP", "open", path);
      const directory = `/${names.slice(0, index).join("/")}`;
      return this.#node(posix.resolve(directory, at.target, ...names.slice(index + 1)), linksMax - 1);
    }
    return at;
  }

  #file(operation: DiskOperation, path: string): FileNode {
    const node = this.#node(path);
    if (node === undefined) throw errnoError("ENOENT", operation, path);
    if (node.kind !== "file") throw errnoError("EISDIR", operation, path);
    return node;
  }

  #directory(operation: DiskOperation, path: string): DirectoryNode {
    const node = this.#node(path);
    if (node === undefined) throw errnoError("ENOENT", operation, path);
    if (node.kind !== "directory") throw errnoError("ENOTDIR", operation, path);
    return node;
  }

  #parent(operation: DiskOperation, path: string): { parent: DirectoryNode; name: string } {
    const names = namesOf(path);
    const name = names.pop() as string;
    return { parent: this.#directory(operation, names.join("/")), name };
  }
}

function namesOf(path: string): string[] {
  return path.split("/").filter((name) => name !== "" && name !== ".");
}
