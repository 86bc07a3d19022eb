/**
 * Channels as segments: `<directory>/<channel>/records-<first>-<end>.nxr`, each with the records of a time of writing.
 *
 * Invariant: a segment appears whole, by its rename, and its name is synced before a seal resolves. A file goes only when
 * no scan needs it any more. Power loss leaves files with `.tmp` and files that another one covers; the next start
 * removes both.
 */
import { makeDurableDirectory } from "../../../core/seams/durable-files.ts";
import type { Disk } from "../../../core/seams/disk.ts";
import type { Log } from "../../../core/logging/log.ts";
import type { Random } from "../../../core/seams/random.ts";
import { errnoOf, NxError } from "../../../core/errors.ts";
import { isChannelName } from "../channel-name.ts";
import { parseSlot } from "../classic/names.ts";
import type { MemtablePointer } from "../../../native/logfiles/logs.ts";
import type {
  Expired,
  Frozen,
  HeldSources,
  Layout,
  LoadedChannel,
  Movable,
  RetentionLimits,
  Sealed,
} from "../store/layout.ts";
import { type KeyRange, widestRange } from "../store/key-range.ts";
import { everything } from "../scan/request.ts";
import type { FileWork } from "../work/work.ts";
import { listingOf } from "./directory.ts";
import { segmentName } from "./format.ts";
import { readSegmentInfo } from "./read.ts";
import type { WriteSettings } from "./seal.ts";
import type { SegmentInfo } from "./write.ts";

export interface SegmentSettings extends WriteSettings {
  /** So many segments of about one size are joined. */
  joinCount: number;
  /** Segments beyond this size are not joined any more. */
  joinBytesMax: number;
}

export interface SegmentLayoutOptions {
  disk: Disk;
  random: Random;
  log: Log;
  work: FileWork;
  directory: string;
  settings: SegmentSettings;
}

/** A file that counts, or that did and is still read. */
interface Segment extends SegmentInfo {
  path: string;
  readers: number;
  isDropped: boolean;
}

export class SegmentLayout implements Layout {
  readonly sealsTogether = false;
  readonly #options: SegmentLayoutOptions;
  readonly #channels = new Map<string, Segment[]>();
  /** Whose names are synced already. */
  readonly #directories = new Set<string>();
  /** Files to be removed. */
  #doomed: Segment[] = [];
  #tidying: Promise<void> | undefined;

  constructor(options: SegmentLayoutOptions) {
    this.#options = options;
  }

  #pathOf(channel: string): string {
    return `${this.#options.directory}/${channel}`;
  }

  // --- start -----------------------------------------------------------------------------------------------------

  async load(progress: (text: string) => void): Promise<LoadedChannel[]> {
    const { disk, directory } = this.#options;
    await makeDurableDirectory(disk, directory);
    const loaded: LoadedChannel[] = [];
    for (const { name, kind } of await disk.list(directory)) {
      if (kind !== "directory" || !isChannelName(name)) continue;
      progress(`reading the index of channel ${name}`);
      const segments = await this.#loadChannel(name);
      this.#channels.set(name, segments);
      // The directory of a removed channel stays, empty.
      if (segments.length > 0) loaded.push({ name, sealedNumber: segments.at(-1)?.endNumber ?? 0 });
    }
    return loaded;
  }

  async #loadChannel(name: string): Promise<Segment[]> {
    const { disk, log } = this.#options;
    const directory = this.#pathOf(name);
    const entries = await disk.list(directory);
    if (entries.some((entry) => entry.kind === "directory" && parseSlot(entry.name) !== undefined)) {
      const message = `${directory} holds bucket files, and the configuration says layout "segments"`;
      throw new NxError("NX_DATA_VERSION", message, {
        hint: 'set layout: "classic", or convert the directory with `node-x logfiles convert`',
      });
    }
    const listing = listingOf(entries, directory);
    for (const leftover of listing.leftovers) await disk.remove(`${directory}/${leftover}`);
    const segments: Segment[] = [];
    for (const file of listing.segments) {
      const path = `${directory}/${file.name}`;
      const { info, isRebuilt } = await readSegmentInfo(disk, path);
      if (isRebuilt)
        log.warn("the index of a segment was damaged; it was made again from its blocks", { path });
      segments.push({ ...info, path, readers: 0, isDropped: false });
    }
    return segments;
  }

  // --- sealing ---------------------------------------------------------------------------------------------------

  async seal(frozen: readonly Frozen[]): Promise<Sealed> {
    const done: { one: Frozen; segment: Segment }[] = [];
    for (const one of frozen) {
      const { firstNumber, count, memtable, channel } = one;
      const header = { firstNumber, endNumber: firstNumber + count, id: this.#options.random.bytes(16) };
      const write = (path: string) => {
        const { level, pageBytes } = this.#options.settings;
        return this.#options.work.run("seal", { path, header, memtable, count, level, pageBytes });
      };
      done.push({ one, segment: await this.#publish(channel, header, write) });
    }
    return {
      apply: (isWanted) => {
        for (const { one, segment } of done) {
          if (isWanted(one)) this.#segmentsOf(one.channel).push(segment);
          else this.#drop(segment);
        }
      },
    };
  }

  /** Writes a segment under a temporary name and gives it its own. */
  async #publish(
    channel: string,
    numbers: { firstNumber: number; endNumber: number },
    write: (path: string) => Promise<SegmentInfo>,
  ): Promise<Segment> {
    const { disk } = this.#options;
    const directory = this.#pathOf(channel);
    if (!this.#directories.has(channel)) {
      await makeDurableDirectory(disk, directory);
      this.#directories.add(channel);
    }
    const path = `${directory}/${segmentName(numbers.firstNumber, numbers.endNumber)}`;
    const info = await write(`${path}.tmp`);
    await disk.rename(`${path}.tmp`, path);
    await disk.syncDirectory(directory);
    return { ...info, path, readers: 0, isDropped: false };
  }

  #segmentsOf(channel: string): Segment[] {
    let segments = this.#channels.get(channel);
    if (segments === undefined) {
      segments = [];
      this.#channels.set(channel, segments);
    }
    return segments;
  }

  // --- scans -----------------------------------------------------------------------------------------------------

  sources(channel: string, _memtables: readonly MemtablePointer[]): HeldSources {
    return this.#hold([...(this.#channels.get(channel) ?? [])]);
  }

  #hold(held: readonly Segment[]): HeldSources {
    for (const segment of held) segment.readers += 1;
    return {
      specs: held.map(({ path, id, blocks }) => ({ kind: "segment", path, id, blocks })),
      release: () => {
        for (const segment of held) segment.readers -= 1;
        if (held.some(({ isDropped, readers }) => isDropped && readers === 0)) this.#removeLater();
      },
    };
  }

  // --- removing --------------------------------------------------------------------------------------------------

  #drop(segment: Segment): void {
    segment.isDropped = true;
    this.#doomed.push(segment);
  }

  forget(channel: string, belowNumber: number): void {
    const segments = this.#segmentsOf(channel);
    const gone = segments.filter(({ endNumber }) => endNumber <= belowNumber);
    for (const segment of gone) this.#drop(segment);
    this.#channels.set(
      channel,
      segments.filter((segment) => !gone.includes(segment)),
    );
  }

  /** Removes the files that nobody reads; the others go when their last reader leaves. */
  async removeFiles(): Promise<void> {
    const { disk } = this.#options;
    const removed = this.#doomed.filter(({ readers }) => readers === 0);
    this.#doomed = this.#doomed.filter((segment) => !removed.includes(segment));
    const directories = new Set<string>();
    for (const { path } of removed) {
      await disk.remove(path).catch((error: unknown) => {
        if (errnoOf(error) !== "ENOENT") throw error;
      });
      directories.add(path.slice(0, path.lastIndexOf("/")));
    }
    for (const directory of directories) await disk.syncDirectory(directory);
  }

  #removeLater(): void {
    this.removeFiles().catch((error: Error) => this.#options.log.error(`a file stays: ${error.message}`));
  }

  /** True while a scan keeps files that are gone for everybody else. */
  get hasDoomed(): boolean {
    return this.#doomed.length > 0;
  }

  async expire({ keyMin, bytesMax }: RetentionLimits): Promise<Expired[]> {
    const expired: Expired[] = [];
    let { fileBytes } = this;
    const all = [...this.#channels].flatMap(([channel, segments]) =>
      segments.map((segment) => ({ channel, segment })),
    );
    all.sort((a, b) => (a.segment.keyMax < b.segment.keyMax ? -1 : 1));
    for (const { channel, segment } of all) {
      const isOld = keyMin !== undefined && segment.keyMax < keyMin;
      const isTooMuch = bytesMax !== undefined && fileBytes > bytesMax;
      if (!isOld && !isTooMuch) continue;
      fileBytes -= segment.fileBytes;
      expired.push(this.#takeOut(channel, segment));
    }
    await this.removeFiles();
    return expired;
  }

  /** No scan that begins later sees it; its file goes with `removeFiles`. */
  #takeOut(channel: string, segment: Segment): Expired {
    this.#channels.set(
      channel,
      this.#segmentsOf(channel).filter((other) => other !== segment),
    );
    this.#drop(segment);
    return { channel, records: segment.records, valueBytes: segment.valueBytes };
  }

  movables(): AsyncIterable<Movable> {
    const all = [...this.#channels].flatMap(([channel, segments]) =>
      segments.map((segment) => this.#movable(channel, segment)),
    );
    return (async function* () {
      yield* all;
    })();
  }

  #movable(channel: string, segment: Segment): Movable {
    return {
      channel,
      ...{ low: everything.low, high: everything.high },
      hold: () => this.#hold([segment]),
      remove: async (records) => {
        if (segment.isDropped || segment.records !== records) return undefined;
        const expired = this.#takeOut(channel, segment);
        await this.removeFiles();
        return expired;
      },
    };
  }

  // --- joining ---------------------------------------------------------------------------------------------------

  tidy(): Promise<void> {
    this.#tidying ??= this.#tidy().finally(() => {
      this.#tidying = undefined;
    });
    return this.#tidying;
  }

  async #tidy(): Promise<void> {
    for (const channel of [...this.#channels.keys()])
      for (let group = this.#groupToJoin(channel); group !== undefined; group = this.#groupToJoin(channel))
        if (!(await this.#join(channel, group))) break;
    await this.removeFiles();
  }

  /** Segments that follow each other and are of about one size, if there are enough. */
  #groupToJoin(channel: string): Segment[] | undefined {
    const { joinCount, joinBytesMax } = this.#options.settings;
    let group: Segment[] = [];
    for (const segment of this.#segmentsOf(channel)) {
      const first = group[0];
      const isAlike = first === undefined || sizeClass(segment.fileBytes) === sizeClass(first.fileBytes);
      group = isAlike ? [...group, segment] : [segment];
      if (segment.fileBytes * joinCount > joinBytesMax) group = [];
      if (group.length === joinCount) return group;
    }
    return undefined;
  }

  /** False when the channel changed meanwhile, so that the new file is not wanted. */
  async #join(channel: string, group: Segment[]): Promise<boolean> {
    const { random, work, settings, disk } = this.#options;
    const { level, pageBytes } = settings;
    for (const segment of group) segment.readers += 1;
    try {
      const firstNumber = (group[0] as Segment).firstNumber;
      const endNumber = (group.at(-1) as Segment).endNumber;
      const header = { firstNumber, endNumber, id: random.bytes(16) };
      const sources = group.map(({ path, id, blocks }) => ({ kind: "segment" as const, path, id, blocks }));
      const path = `${this.#pathOf(channel)}/${segmentName(firstNumber, endNumber)}`;
      const info = await work.run("compact", { path: `${path}.tmp`, header, sources, level, pageBytes });
      if (group.some(({ isDropped }) => isDropped)) {
        // Removed or expired meanwhile: under its name the new file would bring the records back.
        await disk.remove(`${path}.tmp`);
        return false;
      }
      await disk.rename(`${path}.tmp`, path);
      if (group.some(({ isDropped }) => isDropped)) {
        await disk.remove(path);
        return false;
      }
      const segments = this.#segmentsOf(channel);
      const at = segments.indexOf(group[0] as Segment);
      segments.splice(at, group.length, { ...info, path, readers: 0, isDropped: false });
      for (const segment of group) this.#drop(segment);
      // The old files go only when the new name would survive.
      await disk.syncDirectory(this.#pathOf(channel));
      return true;
    } finally {
      for (const segment of group) segment.readers -= 1;
    }
  }

  keyRange(channel: string): KeyRange | undefined {
    return widestRange(this.#segmentsOf(channel));
  }

  totals(channel: string) {
    const segments = this.#segmentsOf(channel);
    return { records: sum(segments, "records"), valueBytes: sum(segments, "valueBytes") };
  }

  get fileBytes(): number {
    let bytes = 0;
    for (const segments of this.#channels.values()) bytes += sum(segments, "fileBytes");
    return bytes;
  }

  get fileCount(): number {
    let count = 0;
    for (const segments of this.#channels.values()) count += segments.length;
    return count;
  }

  async close(): Promise<void> {
    await this.#tidying?.catch(() => undefined);
    await this.removeFiles();
  }
}

const sizeClass = (bytes: number) => Math.floor(Math.log2(Math.max(bytes, 1 << 16)) / 2);

function sum(segments: readonly Segment[], figure: "records" | "valueBytes" | "fileBytes"): number {
  return segments.reduce((total, segment) => total + segment[figure], 0);
}
