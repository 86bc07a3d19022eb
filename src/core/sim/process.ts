/**
 * One simulated process: a clock and a view of its host's disk that die with it.
 *
 * Invariant: after `kill` the process does nothing any more. Its timers do not run, its disk calls neither
 * start nor settle; code of it that still waits for a promise waits for ever, and is collected.
 */
import type { Disk, DiskFile } from "../seams/disk.ts";
import { SimClock, type SimClockOptions } from "./clock.ts";
import type { SimDisk } from "./disk.ts";
import type { Scheduler } from "./scheduler.ts";

export class SimProcess {
  readonly clock: SimClock;
  readonly disk: Disk;
  #host: SimDisk;
  #isAlive = true;

  constructor(scheduler: Scheduler, disk: SimDisk, options: SimClockOptions = {}) {
    this.#host = disk;
    this.clock = new SimClock(scheduler, options);
    this.disk = whileAlive(disk, () => this.#isAlive);
  }

  get isAlive(): boolean {
    return this.#isAlive;
  }

  /** The process ends by itself, after it closed what it had open. */
  exit(): void {
    this.#isAlive = false;
    this.clock.kill();
  }

  /** The process dies, the machine stays up: what it wrote stays in the page cache, in doubt as before. */
  kill(): void {
    if (!this.#isAlive) return;
    this.exit();
    this.#host.killProcess();
  }
}

/** `disk` as seen by a process: calls are made, and settle, only while `isAlive` says so. */
function whileAlive(disk: Disk, isAlive: () => boolean): Disk {
  const alive = <Value>(call: () => Promise<Value>): Promise<Value> => {
    if (!isAlive()) return new Promise(() => undefined);
    return new Promise((resolve, reject) => {
      call().then(
        (value) => void (isAlive() && resolve(value)),
        (error: unknown) => void (isAlive() && reject(error)),
      );
    });
  };
  const fileOf = (file: DiskFile): DiskFile => ({
    read: (target, offset) => alive(() => file.read(target, offset)),
    write: (bytes, offset) => alive(() => file.write(bytes, offset)),
    writeDurably: (bytes, offset) => alive(() => file.writeDurably(bytes, offset)),
    sync: () => alive(() => file.sync()),
    truncate: (size) => alive(() => file.truncate(size)),
    allocate: (size) => alive(() => file.allocate(size)),
    size: () => alive(() => file.size()),
    close: () => alive(() => file.close()),
  });
  return {
    open: (path, mode) => alive(async () => fileOf(await disk.open(path, mode))),
    list: (path) => alive(() => disk.list(path)),
    exists: (path) => alive(() => disk.exists(path)),
    makeDirectory: (path) => alive(() => disk.makeDirectory(path)),
    rename: (from, to) => alive(() => disk.rename(from, to)),
    link: (from, to) => alive(() => disk.link(from, to)),
    remove: (path) => alive(() => disk.remove(path)),
    removeDirectory: (path) => alive(() => disk.removeDirectory(path)),
    syncDirectory: (path) => alive(() => disk.syncDirectory(path)),
    space: (path) => alive(() => disk.space(path)),
    lock: (path) => alive(() => disk.lock(path)),
  };
}
