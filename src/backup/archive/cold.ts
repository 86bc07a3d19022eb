/**
 * Cold snapshots: read-only states of a volume from which later restores and applies begin, where the back end gives them
 * for nothing. `GID.cold` beside the diffs holds the time of one, `cold-GID.crc32c` its checksums.
 *
 * Invariant: a cold snapshot without its file, or the other way round, is removed at the start. One that becomes the base
 * is settled at the start after a crash: while the old base is there it is a cold snapshot again, else it is the base. Its
 * checksums are those of the base from then on.
 */
import { join } from "node:path";
import type { Disk } from "../../core/seams/disk.ts";
import { clean, type MetaState, steady } from "../algebra/snapshot.ts";
import type { VolumeFiles } from "../files/volume-files.ts";
import { Writer } from "../wire/serial.ts";
import { decodeFile } from "../wire/values.ts";
import { keepBaseSums, offerBaseSums } from "./base-sums.ts";
import { coldGidOf, coldSumsName, type ColdSums } from "./cold-sums.ts";
import type { ImageBackEnd } from "./images/back-end.ts";

const SUFFIX = ".cold";
const TIME_MAX = 253402300799;

export class ColdSnapshots {
  readonly #volume: string;
  readonly #files: VolumeFiles;
  readonly #disk: Disk;
  readonly #images: ImageBackEnd;
  readonly #times = new Map<bigint, number>();

  constructor(volume: string, files: VolumeFiles, { disk, images }: { disk: Disk; images: ImageBackEnd }) {
    this.#volume = volume;
    this.#files = files;
    this.#disk = disk;
    this.#images = images;
  }

  get #directory(): string {
    return this.#files.directory;
  }

  /** Gids in rising order. */
  get all(): bigint[] {
    return [...this.#times.keys()].sort((a, b) => (a < b ? -1 : 1));
  }

  timeOf(gid: bigint): number {
    return this.#times.get(gid) ?? 0;
  }

  /** The newest that is behind `after` and not beyond `upTo`. */
  newestBetween(after: bigint, upTo: bigint): bigint | undefined {
    return this.all.filter((gid) => gid > after && gid <= upTo).at(-1);
  }

  async #readTime(name: string): Promise<number | undefined> {
    const bytes = await this.#files.read(name);
    if (bytes === undefined) return undefined;
    return await decodeFile(bytes, (reader) => reader.count(TIME_MAX, "a time"));
  }

  /** Reads what is there; settles what a crash left. Returns what the base is by now, if that has changed. */
  async load(base: MetaState): Promise<MetaState | undefined> {
    const state = await this.#settleBase(base);
    const gids = await this.#images.cold(this.#volume);
    for (const gid of gids) {
      const time = await this.#readTime(`${gid}${SUFFIX}`);
      if (time === undefined) await this.#images.removeCold(this.#volume, gid);
      else this.#times.set(gid, time);
    }
    for (const name of await this.#files.names())
      if (name.endsWith(SUFFIX) && !this.#times.has(BigInt(name.slice(0, -SUFFIX.length))))
        await this.#files.remove(name);
    for (const name of await this.#files.names()) {
      const gid = coldGidOf(name);
      if (gid !== undefined && !this.#times.has(gid)) await this.#files.remove(name);
    }
    if (gids.length > 0 || state !== undefined)
      await keepBaseSums(this.#disk, this.#directory, state ?? base);
    return state;
  }

  async #settleBase(base: MetaState): Promise<MetaState | undefined> {
    const gid = await this.#images.coldBecomingBase(this.#volume);
    if (gid === undefined) return undefined;
    if ((await this.#images.baseBytes(this.#volume)) !== undefined) {
      await this.#images.undoColdToBase(this.#volume, gid);
      if (gid <= base.from.begin) await this.#images.removeCold(this.#volume, gid);
      return undefined;
    }
    const time = await this.#readTime(`${gid}${SUFFIX}`);
    await this.#images.finishColdToBase(this.#volume, gid);
    return steady(clean(gid), time ?? base.timestamp);
  }

  /** Keeps the state of the restore that is under way, unless it is damaged. With `isOnly` all others go. */
  async keep(gid: bigint, timestamp: number, isOnly: boolean, sums: ColdSums): Promise<void> {
    if (!this.#times.has(gid) && !sums.isDamaged) {
      await this.#images.keepCold(this.#volume, gid);
      await sums.write(this.#disk, this.#directory, gid);
      await this.#files.write(`${gid}${SUFFIX}`, new Writer().u64(timestamp).bytes);
      this.#times.set(gid, timestamp);
    }
    if (!isOnly) return;
    const newest = this.all.at(-1);
    for (const each of this.all) if (each !== newest) await this.remove(each);
  }

  async remove(gid: bigint): Promise<void> {
    await this.#files.remove(`${gid}${SUFFIX}`);
    this.#times.delete(gid);
    await this.#files.remove(coldSumsName(gid));
    await this.#images.removeCold(this.#volume, gid);
  }

  /** Removes those that the base has reached. */
  async removeUpTo(gid: bigint): Promise<void> {
    for (const each of this.all) if (each <= gid) await this.remove(each);
  }

  /** A cold snapshot takes the place of the base, which `setBase` writes down while there is none. */
  async becomeBase(
    gid: bigint,
    before: MetaState,
    setBase: (base: MetaState) => Promise<void>,
  ): Promise<void> {
    const [disk, directory] = [this.#disk, this.#directory];
    const after = steady(clean(gid), this.timeOf(gid));
    await offerBaseSums(disk, directory, join(directory, coldSumsName(gid)), after.to);
    try {
      await this.#replaceBase(gid);
    } catch (error) {
      await keepBaseSums(disk, directory, before);
      throw error;
    }
    await setBase(after);
    await this.#images.finishColdToBase(this.#volume, gid);
    await this.#files.remove(`${gid}${SUFFIX}`);
    this.#times.delete(gid);
    await this.#files.remove(coldSumsName(gid));
    await keepBaseSums(disk, directory, after);
  }

  async #replaceBase(gid: bigint): Promise<void> {
    await this.#images.beginColdToBase(this.#volume, gid);
    try {
      await this.#images.removeBase(this.#volume);
    } catch (error) {
      // Someone has it open: everything stays as it was.
      await this.#images.undoColdToBase(this.#volume, gid);
      throw error;
    }
  }
}
