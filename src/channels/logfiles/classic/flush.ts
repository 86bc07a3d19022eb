/**
 * Moves memtables into bucket files, as a job in the thread that works on files.
 *
 * Steps: which files will grow and how large they are now is written down (state-file.ts) and told to running scans; the
 * records are appended, each file in its own format; files and new names are synced; the new numbers are written down.
 * Invariant: power loss before the last step undoes everything at the next start, after it nothing.
 *
 * A file is walked before it is appended to for the first time: behind a record that is not whole nothing could be read
 * again, so such an end is cut off, and a damaged file is repaired first (bucket-file.ts).
 */
import { newBuffer } from "../../../core/append-log/frame.ts";
import type { Disk } from "../../../core/seams/disk.ts";
import { BucketWriter, MemtableReader, Page } from "../../../native/logfiles/pages.ts";
import { everything } from "../scan/request.ts";
import type { ScanPlace } from "../scan/scan.ts";
import { READ_PAGE_BYTES } from "../scan/source.ts";
import type { Frozen } from "../store/layout.ts";
import { withFile } from "../segments/read.ts";
import { repairBucket, walkBucket } from "./bucket-file.ts";
import { bucketPath } from "./names.ts";
import { type FlushState, readState, writeState } from "./state-file.ts";

export interface FlushTask {
  /** Tells this flush from others, for scans. */
  flush: number;
  /** Of the channels. */
  directory: string;
  statePath: string;
  numbers: Record<string, number>;
  frozen: Pick<Frozen, "channel" | "memtable" | "firstNumber" | "count">[];
}

export interface FlushResult {
  numbers: Record<string, number>;
  /** What an operator should know. */
  warnings: string[];
}

/** A file that is about to grow. */
interface Growth {
  /** `<channel>/<slot>/<bucket>` */
  name: string;
  sizeBefore: number;
  version: number;
  parts: Uint8Array[];
}

/** The files of one flush, by name. */
class Growths {
  readonly byName = new Map<string, Growth>();
  readonly warnings: string[] = [];
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #writer = new BucketWriter();
  readonly #page = new Page();

  constructor(disk: Disk, directory: string) {
    this.#disk = disk;
    this.#directory = directory;
  }

  async add(channel: string, bytes: Uint8Array): Promise<void> {
    this.#page.load(bytes);
    for (let bucket = this.#page.bucket; bucket >= 0; bucket = this.#page.bucket) {
      const growth = await this.#growth(`${channel}/${bucketPath(bucket)}`, bucket);
      this.#writer.append(this.#page, bucket, growth.version);
      growth.parts.push(this.#writer.take());
    }
  }

  async #growth(name: string, bucket: number): Promise<Growth> {
    let growth = this.byName.get(name);
    if (growth !== undefined) return growth;
    growth = await this.#inspect(name, bucket);
    this.byName.set(name, growth);
    return growth;
  }

  async #inspect(name: string, bucket: number): Promise<Growth> {
    const path = `${this.#directory}/${name}`;
    if (!(await this.#disk.exists(path))) return this.#newFile(name);
    const report = await withFile(this.#disk, path, (file) => walkBucket(file, bucket));
    if (report.end !== "whole") {
      this.warnings.push(`${path}, byte ${report.wholeBytes}: ${report.end}; the rest is in ${path}.broken`);
      await repairBucket(this.#disk, path, report);
    }
    // Shorter than a header: the originals pass over such files, and so there is nothing to keep.
    if (report.wholeBytes === 0) return { ...this.#newFile(name), sizeBefore: 0 };
    return { name, sizeBefore: report.wholeBytes, version: report.version, parts: [] };
  }

  #newFile(name: string): Growth {
    this.#writer.begin();
    return { name, sizeBefore: 0, version: 1, parts: [this.#writer.take()] };
  }

  close(): void {
    this.#writer.free();
    this.#page.free();
  }
}

async function gather(disk: Disk, { directory, frozen }: FlushTask): Promise<Growths> {
  const growths = new Growths(disk, directory);
  try {
    for (const { channel, memtable, count } of frozen) {
      const reader = new MemtableReader(memtable, 0, count, everything.low, everything.high);
      try {
        for (let page = reader.next(READ_PAGE_BYTES); page !== undefined; page = reader.next(READ_PAGE_BYTES))
          await growths.add(channel, page);
      } finally {
        reader.free();
      }
    }
    return growths;
  } finally {
    growths.close();
  }
}

async function grow(disk: Disk, directory: string, { name, sizeBefore, parts }: Growth): Promise<void> {
  const bytes = newBuffer(parts.reduce((sum, part) => sum + part.byteLength, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.byteLength;
  }
  const file = await disk.open(`${directory}/${name}`, "create");
  try {
    await file.write(bytes, sizeBefore);
    await file.sync();
  } finally {
    await file.close();
  }
}

export async function flushBuckets({ disk, appends }: ScanPlace, task: FlushTask): Promise<FlushResult> {
  const { directory, flush, statePath, frozen } = task;
  // The flush before may have failed half way: what it appended must not stay, it comes again.
  const state = await readState(disk, statePath);
  if (state.flushing !== undefined) await undoFlush(disk, directory, statePath, state);
  const { byName, warnings } = await gather(disk, task);
  const flushing = Object.fromEntries([...byName].map(([name, { sizeBefore }]) => [name, sizeBefore]));
  await writeState(disk, statePath, { numbers: task.numbers, flushing });
  appends.begin(flush);
  const directories = new Set([directory]);
  for (const growth of byName.values()) {
    const [channel = "", slot = ""] = growth.name.split("/");
    const path = `${directory}/${channel}/${slot}`;
    if (!directories.has(path)) await disk.makeDirectory(path);
    directories.add(path).add(`${directory}/${channel}`);
    appends.announce(flush, `${directory}/${growth.name}`, growth.sizeBefore);
    await grow(disk, directory, growth);
  }
  for (const path of directories) await disk.syncDirectory(path);
  const numbers = { ...task.numbers };
  for (const { channel, firstNumber, count } of frozen) numbers[channel] = firstNumber + count;
  await writeState(disk, statePath, { numbers, flushing: undefined });
  return { numbers, warnings };
}

/** No later scan will have the records of this flush in a memtable. */
export async function forgetFlush({ appends }: ScanPlace, { flush }: { flush: number }): Promise<void> {
  appends.forget(flush);
}

/** Undoes a flush that was cut short: its files have their sizes of before again. */
export async function undoFlush(disk: Disk, directory: string, statePath: string, state: FlushState) {
  for (const [name, size] of Object.entries(state.flushing ?? {})) {
    const path = `${directory}/${name}`;
    if (!(await disk.exists(path))) continue;
    if (size === 0) {
      await disk.remove(path);
      await disk.syncDirectory(path.slice(0, path.lastIndexOf("/")));
      continue;
    }
    const file = await disk.open(path, "readWrite");
    try {
      if ((await file.size()) > size) await file.truncate(size);
      await file.sync();
    } finally {
      await file.close();
    }
  }
  await writeState(disk, statePath, { numbers: state.numbers, flushing: undefined });
}
