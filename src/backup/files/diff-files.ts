/**
 * The diff files of one volume: which there are, a new one put in its place, old ones removed.
 *
 * Invariant: a diff has its name only when it is whole and synced, with its side file before it. Names that begin with
 * `tmp` are what a crash left. Content of diffs may be elsewhere: see distant-diffs.ts.
 */
import { join } from "node:path";
import type { Disk, DiskFile } from "../../core/seams/disk.ts";
import type { Random } from "../../core/seams/random.ts";
import { diffName, parseDiffName, sideName } from "../algebra/diff-name.ts";
import { isSameDiff, type MetaDiff } from "../algebra/snapshot.ts";
import { type ByteSink, type ByteSource, fileSource } from "../formats/bytes.ts";
import { type Diff, openDiff } from "../formats/diff-merge.ts";
import { EarlySync } from "../formats/early-sync.ts";
import { compareWithSide, readSide, type SideFinding, SideSums } from "../formats/side-file.ts";
import type { PartTable } from "../bucket/part-table.ts";
import { DistantDiffs, type OpenParts } from "./distant-diffs.ts";

export class DiffFiles {
  readonly directory: string;
  readonly #disk: Disk;
  readonly #random: Random;
  readonly #distant: DistantDiffs | undefined;
  #diffs: MetaDiff[] = [];
  /** Names change one after the other: what is listed and what is there would part otherwise. */
  #changing: Promise<unknown> = Promise.resolve();

  private constructor(disk: Disk, random: Random, directory: string, openParts: OpenParts | undefined) {
    this.#disk = disk;
    this.#random = random;
    this.directory = directory;
    this.#distant = openParts && new DistantDiffs(disk, directory, openParts);
  }

  /** With `openParts`, the content of diffs may be in a bucket. */
  static async open(
    disk: Disk,
    random: Random,
    directory: string,
    openParts?: OpenParts,
  ): Promise<DiffFiles> {
    const files = new DiffFiles(disk, random, directory, openParts);
    await files.reload();
    return files;
  }

  /** Reads the directory again; removes temporary files. */
  async reload(): Promise<void> {
    const files = (await this.#disk.list(this.directory)).filter(({ kind }) => kind === "file");
    this.#diffs = (await this.#distant?.load(files.map(({ name }) => name))) ?? [];
    for (const { name, kind } of await this.#disk.list(this.directory)) {
      if (kind !== "file") continue;
      if (/^tmp[0-9A-Za-z]/.test(name)) await this.#disk.remove(join(this.directory, name));
      const diff = parseDiffName(name);
      if (diff !== undefined) this.#diffs.push({ ...diff, dataBytes: await this.#size(name) });
    }
    this.#sort();
    const sides = new Set(this.#diffs.map(sideName));
    for (const { name } of await this.#disk.list(this.directory))
      if (/^\d{14}-.*\.crc32c$/.test(name) && !sides.has(name))
        await this.#disk.remove(join(this.directory, name));
  }

  #sort(): void {
    this.#diffs.sort((a, b) =>
      a.from.begin === b.from.begin ? Number(a.to.begin - b.to.begin) : a.from.begin < b.from.begin ? -1 : 1,
    );
  }

  async #size(name: string): Promise<number> {
    const file = await this.#disk.open(join(this.directory, name), "read");
    try {
      return await file.size();
    } finally {
      await file.close();
    }
  }

  #alone<Result>(change: () => Promise<Result>): Promise<Result> {
    const result = this.#changing.then(change);
    this.#changing = result.catch(() => undefined);
    return result;
  }

  get all(): readonly MetaDiff[] {
    return this.#diffs;
  }

  pathOf(diff: MetaDiff): string {
    return join(this.directory, diffName(diff));
  }

  /** Writes a new diff; it is there, whole and durable, when this resolves. Nothing is left when `write` throws. */
  add(diff: MetaDiff, write: (sink: ByteSink) => Promise<void>): Promise<MetaDiff> {
    return this.addLater(async (sink) => {
      await write(sink);
      return diff;
    });
  }

  /** The same for a diff whose ends are known only when all of it has come. */
  async addLater(write: (sink: ByteSink) => Promise<MetaDiff>): Promise<MetaDiff> {
    const temporary = join(this.directory, `tmp${Buffer.from(this.#random.bytes(6)).toString("hex")}`);
    try {
      const { diff, sums } = await this.#write(temporary, write);
      return await this.#alone(() => this.#publish(temporary, diff, sums));
    } catch (error) {
      await this.#disk.remove(temporary).catch(() => undefined);
      throw error;
    }
  }

  /** Writes a file, synced; what is to become of it is known then. */
  async #write(path: string, write: (sink: ByteSink) => Promise<MetaDiff>) {
    const file = await this.#disk.open(path, "exclusive");
    const sums = new SideSums();
    const early = new EarlySync(file);
    try {
      const diff = await write({
        append: async (bytes) => {
          await file.write(bytes, sums.bytes);
          sums.add(bytes);
          await early.wrote(bytes.byteLength);
        },
      });
      await early.finish();
      return { diff, sums };
    } finally {
      await early.settled();
      await file.close();
    }
  }

  async #publish(temporary: string, diff: MetaDiff, sums: SideSums): Promise<MetaDiff> {
    await this.#writeSide(diff, sums);
    // The side file's name must survive if the diff's does.
    await this.#disk.syncDirectory(this.directory);
    await this.#disk.rename(temporary, this.pathOf(diff));
    await this.#disk.syncDirectory(this.directory);
    const added = { ...diff, dataBytes: sums.bytes };
    this.#diffs = this.#diffs.filter((each) => diffName(each) !== diffName(diff));
    this.#diffs.push(added);
    this.#sort();
    return added;
  }

  async #writeSide(diff: MetaDiff, sums: SideSums): Promise<void> {
    const side = await this.#disk.open(join(this.directory, sideName(diff)), "create");
    try {
      await side.truncate(0);
      await side.write(sums.encode(), 0);
      await side.sync();
    } finally {
      await side.close();
    }
  }

  /** Gives a diff of another directory a second name here, with its side file; durable when this resolves. */
  linkFrom(other: DiffFiles, diff: MetaDiff): Promise<void> {
    return this.#alone(() => this.#link(other, diff));
  }

  async #link(other: DiffFiles, diff: MetaDiff): Promise<void> {
    const side = join(other.directory, sideName(diff));
    const pairs: [string, string][] = [[other.pathOf(diff), this.pathOf(diff)]];
    if (await this.#disk.exists(side)) pairs.unshift([side, join(this.directory, sideName(diff))]);
    for (const [from, to] of pairs) {
      // There already: an earlier life linked it, the sender repeats what it was not sure of, or it is of a log that was
      // begun anew within the same second. The one that came last counts.
      if (await this.#disk.exists(to)) await this.#disk.remove(to);
      await this.#disk.link(from, to);
    }
    await this.#disk.syncDirectory(this.directory);
    this.#diffs = this.#diffs.filter((each) => diffName(each) !== diffName(diff));
    this.#diffs.push({ ...diff });
    this.#sort();
  }

  isDistant(diff: MetaDiff): boolean {
    return this.#distant?.has(diff) ?? false;
  }

  /** Gives up the content of a diff that is in a bucket, where `table` says. Nothing happens when it is gone. */
  leave(diff: MetaDiff, table: PartTable): Promise<void> {
    return this.#alone(async () => {
      if (!this.#diffs.includes(diff) || this.isDistant(diff)) return;
      await this.#distant?.add(diff, table);
      await this.#removeFiles(diff);
      await this.#disk.syncDirectory(this.directory);
    });
  }

  /** Removes diffs of `all`; one whose place another has taken meanwhile stays. */
  remove(diffs: readonly MetaDiff[]): Promise<void> {
    const unwanted = new Set(diffs);
    return this.#alone(() => this.#remove(this.#diffs.filter((each) => unwanted.has(each))));
  }

  async #remove(diffs: readonly MetaDiff[]): Promise<void> {
    if (diffs.length === 0) return;
    for (const diff of diffs) {
      if (this.isDistant(diff)) await this.#distant?.remove(diff);
      else await this.#removeFiles(diff);
    }
    const removed = new Set(diffs);
    this.#diffs = this.#diffs.filter((each) => !removed.has(each));
    await this.#disk.syncDirectory(this.directory);
  }

  async #removeFiles(diff: MetaDiff): Promise<void> {
    await this.#disk.remove(this.pathOf(diff));
    const side = join(this.directory, sideName(diff));
    if (await this.#disk.exists(side)) await this.#disk.remove(side);
  }

  /** Changes the mergeable flag of every diff that begins at `gid`; false when there is none. */
  setMergeable(gid: bigint, isMergeable: boolean): Promise<boolean> {
    return this.#alone(() => this.#setMergeable(gid, isMergeable));
  }

  async #setMergeable(gid: bigint, isMergeable: boolean): Promise<boolean> {
    const found = this.#diffs.filter(({ from }) => from.begin === gid);
    for (const diff of found) {
      if (diff.isMergeable === isMergeable) continue;
      const changed = { ...diff, isMergeable };
      if (this.isDistant(diff)) await this.#distant?.rename(diff, changed);
      else await this.#disk.rename(this.pathOf(diff), this.pathOf(changed));
      this.#diffs[this.#diffs.indexOf(diff)] = changed;
    }
    await this.#disk.syncDirectory(this.directory);
    return found.length > 0;
  }

  /**
   * Opens diffs and closes them after `work`; whoever removes them meanwhile takes only their names. `choose` is asked when no
   * name can change any more before all are open.
   */
  async withOpen<Result>(
    choose: readonly MetaDiff[] | (() => readonly MetaDiff[]),
    work: (open: Diff[]) => Promise<Result>,
  ): Promise<Result> {
    const files: DiskFile[] = [];
    const sources: ByteSource[] = [];
    try {
      await this.#alone(async () => {
        const known = new Set(this.#diffs);
        for (const diff of typeof choose === "function" ? choose() : choose) {
          // Its flag, which is in its name, may have changed since it was chosen.
          const present = known.has(diff)
            ? diff
            : (this.#diffs.find((each) => isSameDiff(each, diff)) ?? diff);
          sources.push(this.#distant?.source(present) ?? (await this.#openFile(present, files)));
        }
      });
      const open: Diff[] = [];
      for (const source of sources) open.push(await openDiff(source));
      return await work(open);
    } finally {
      for (const file of files) await file.close();
    }
  }

  /** Opens a diff's own file, which goes to `files`. */
  async #openFile(diff: MetaDiff, files: DiskFile[]): Promise<ByteSource> {
    const path = this.pathOf(diff);
    const file = await this.#disk.open(path, "read");
    files.push(file);
    return fileSource(path, file, await file.size());
  }

  /** Compares a diff with its side file; "none" when it has none, or is not here. */
  async verify(diff: MetaDiff): Promise<SideFinding | "none"> {
    if (this.isDistant(diff)) return "none";
    const side = await readSide(this.#disk, join(this.directory, sideName(diff)));
    if (side === undefined) return "none";
    const path = this.pathOf(diff);
    const file = await this.#disk.open(path, "read");
    try {
      return await compareWithSide(fileSource(path, file, await file.size()), side);
    } finally {
      await file.close();
    }
  }
}
