/**
 * Points in time as read-only NBD exports, `VOL@GID`, without a copy of the base: what the diffs say is laid out once in a
 * nameless sparse file, each block at its own place, with an index of the stretches in memory; everything else is read from
 * the base.
 *
 * Invariant: a read gives the volume at that point, or fails. An apply beyond the point changes the base, and so does what
 * gives the volume another history (a full copy, a resync): from then on reads fail. An apply up to the point changes only what
 * is laid out already. Memory: 24 bytes for each stretch, at most STRETCHES_MAX.
 */
import { join } from "node:path";
import { NxError } from "../../core/errors.ts";
import type { Log } from "../../core/logging/log.ts";
import type { DiskFile } from "../../core/seams/disk.ts";
import { type FilePair, openPair } from "../../core/seams/file-pair.ts";
import { restorePoints } from "../algebra/snapshot.ts";
import { mergedRuns } from "../formats/diff-merge.ts";
import { ImageWriter } from "../formats/image.ts";
import { BLOCK_BYTES, listingTime } from "../formats/units.ts";
import {
  type BlockReader,
  type Extents,
  type NbdDevice,
  type NbdExport,
  type NbdPeer,
  readerExport,
} from "../nbd/device.ts";
import type { OpenImage } from "./images/back-end.ts";
import { chainToPoint } from "./reading.ts";
import type { ArchiveVolume } from "./volume.ts";

const STRETCHES_MAX = 4 << 20;
const READY_BYTES = 4 << 20;

/** Stretches of a volume, in rising order, none overlapping another. */
class StretchIndex {
  #ends = new Float64Array(1024);
  #starts = new Float64Array(1024);
  #isZero = new Uint8Array(1024);
  count = 0;

  add(start: number, end: number, isZero: boolean): void {
    const last = this.count - 1;
    if (last >= 0 && this.#ends[last] === start && this.#isZero[last] === Number(isZero)) {
      this.#ends[last] = end;
      return;
    }
    if (this.count === STRETCHES_MAX)
      throw new NxError("NX_NOT_READY", `this point has more than ${STRETCHES_MAX} stretches in diffs`, {
        hint: "restore it instead, or apply old diffs",
      });
    if (this.count === this.#starts.length) this.#grow();
    this.#starts[this.count] = start;
    this.#ends[this.count] = end;
    this.#isZero[this.count] = Number(isZero);
    this.count += 1;
  }

  #grow(): void {
    const length = this.count * 2;
    const [starts, ends, zero] = [new Float64Array(length), new Float64Array(length), new Uint8Array(length)];
    starts.set(this.#starts);
    ends.set(this.#ends);
    zero.set(this.#isZero);
    [this.#starts, this.#ends, this.#isZero] = [starts, ends, zero];
  }

  /** The first stretch that ends behind `offset`. */
  #from(offset: number): number {
    let [low, high] = [0, this.count];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#ends[middle] as number) <= offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Parts of [offset, end): of the base, of the layer, or zeros. */
  *parts(
    offset: number,
    end: number,
  ): Generator<{ from: number; to: number; kind: "base" | "layer" | "zero" }> {
    let place = offset;
    for (let index = this.#from(offset); index < this.count && place < end; index++) {
      const start = this.#starts[index] as number;
      if (start >= end) break;
      if (start > place) yield { from: place, to: start, kind: "base" };
      const from = Math.max(place, start);
      const to = Math.min(end, this.#ends[index] as number);
      yield { from, to, kind: this.#isZero[index] === 1 ? "zero" : "layer" };
      place = to;
    }
    if (place < end) yield { from: place, to: end, kind: "base" };
  }
}

/** Whether a volume still has the history that it had. */
const hasHistory = ({ archiveUuid }: ArchiveVolume, history: Uint8Array) =>
  Buffer.from(archiveUuid).equals(history);

/** Reads a volume at a point; open until `close`. */
export class PointReader implements BlockReader {
  readonly bytes: number;
  readonly #volume: ArchiveVolume;
  readonly #gid: bigint;
  readonly #history: Uint8Array;
  readonly #base: OpenImage;
  /** The base twice, for its holes. */
  readonly #holes: FilePair;
  readonly #layer: DiskFile;
  readonly #index = new StretchIndex();

  private constructor(volume: ArchiveVolume, gid: bigint, base: OpenImage, layer: DiskFile) {
    this.#volume = volume;
    this.#gid = gid;
    this.#history = volume.archiveUuid;
    this.#base = base;
    this.#holes = openPair(volume.world.disk, base.file, base.file);
    this.#layer = layer;
    this.bytes = base.bytes;
  }

  static async open(volume: ArchiveVolume, gid: bigint): Promise<PointReader> {
    const { disk, random, images } = volume.world;
    const base = await images.openBase(volume.name, "read");
    const path = join(volume.directory, `tmp${Buffer.from(random.bytes(6)).toString("hex")}`);
    const layer = await disk.open(path, "exclusive");
    // Without a name it goes with the process, however that ends.
    await disk.remove(path);
    const reader = new PointReader(volume, gid, base, layer);
    try {
      await reader.#layOut();
      return reader;
    } catch (error) {
      await reader.close();
      throw error;
    }
  }

  async #layOut(): Promise<void> {
    const volume = this.#volume;
    const target = { file: this.#layer, blocks: Math.floor(this.bytes / BLOCK_BYTES) };
    await this.#layer.truncate(this.bytes);
    const writer = new ImageWriter(volume.world.disk, target, "ignore", { isKept: false });
    try {
      await volume.diffs.withOpen(
        () => chainToPoint(volume, this.#gid),
        async (open) => {
          for await (const { runs, data } of mergedRuns(open, { readyBytes: READY_BYTES })) {
            volume.throwIfForced();
            for (const { address, blocks, kind } of runs)
              this.#index.add(address * BLOCK_BYTES, (address + blocks) * BLOCK_BYTES, kind !== "normal");
            await writer.write({ runs: runs.filter(({ kind }) => kind === "normal"), data });
          }
        },
      );
      await writer.finish();
    } finally {
      await writer.close();
    }
  }

  async read(target: Uint8Array, offset: number): Promise<void> {
    for (const { from, to, kind } of this.#index.parts(offset, offset + target.byteLength)) {
      const part = target.subarray(from - offset, to - offset);
      if (kind === "zero") part.fill(0);
      else {
        const file = kind === "base" ? this.#base.file : this.#layer;
        part.fill(0, await file.read(part, from));
      }
    }
    this.#demandPoint();
  }

  /** What the diffs do not speak of is a hole where the base has one. */
  async addExtents(extents: Extents, offset: number, length: number): Promise<void> {
    for (const { from, to, kind } of this.#index.parts(offset, offset + length)) {
      if (kind === "base") extents.addOf(this.#holes, from, to - from, this.bytes);
      else extents.add(to - from, kind === "zero");
      if (extents.isFull) break;
    }
    this.#demandPoint();
  }

  /** Throws when what the base had at the point may have been changed. */
  #demandPoint(): void {
    const volume = this.#volume;
    if (!hasHistory(volume, this.#history))
      throw new NxError(
        "NX_NOT_READY",
        `${volume.name} has another history than when ${this.#gid} was opened`,
      );
    if (volume.base.to.begin > this.#gid)
      throw new NxError("NX_NOT_READY", `${volume.name} was applied to beyond ${this.#gid}`);
  }

  async close(): Promise<void> {
    this.#holes.close();
    await this.#base.file.close();
    await this.#layer.close();
  }
}

/** One point as an export: it is laid out when its first client comes, and given up when the last one goes. */
export class PointExport implements NbdExport {
  readonly isReadOnly = true;
  readonly isShared = true;
  readonly writeUnit = 512;
  readonly preferredUnit = 4096;
  readonly bytes: number;
  readonly description: string;
  readonly #volume: ArchiveVolume;
  readonly #history: Uint8Array;
  readonly #open: () => Promise<PointReader>;
  readonly #onFailure: (error: Error) => void;
  #reader: Promise<PointReader> | undefined;
  #clients = 0;

  constructor(
    volume: ArchiveVolume,
    { gid, bytes, timestamp }: { gid: bigint; bytes: number; timestamp: number },
    onFailure: (error: Error) => void,
  ) {
    this.bytes = bytes;
    this.#volume = volume;
    this.#history = volume.archiveUuid;
    this.description = `${volume.name} at ${listingTime(timestamp)}`;
    this.#open = () => PointReader.open(volume, gid);
    this.#onFailure = onFailure;
  }

  /** It is what an export of this name, of so many bytes, would be if it were made at this moment. */
  isCurrent(volume: ArchiveVolume, bytes: number): boolean {
    return volume === this.#volume && bytes === this.bytes && hasHistory(volume, this.#history);
  }

  open(peer: NbdPeer): NbdDevice {
    this.#clients += 1;
    if (this.#reader === undefined) {
      this.#reader = this.#open();
      // Heard by whoever reads; the next client tries again.
      this.#reader.catch(() => (this.#reader = undefined));
    }
    const reader = this.#reader;
    let isTold = false;
    // The protocol has one word for every failure: the reason is told here, once for each client.
    const tell = (error: Error) => {
      if (!isTold) this.#onFailure(error);
      isTold = true;
      throw error;
    };
    const blocks: BlockReader = {
      bytes: this.bytes,
      read: (target, offset) => reader.then((each) => each.read(target, offset)).catch(tell),
      addExtents: (extents, offset, length) =>
        reader.then((each) => each.addExtents(extents, offset, length)).catch(tell),
    };
    const device = readerExport(blocks, this.description).open(peer);
    return {
      feed: (chunk) => device.feed(chunk),
      close: () => {
        device.close();
        this.#left();
      },
    };
  }

  #left(): void {
    this.#clients -= 1;
    if (this.#clients > 0) return;
    const reader = this.#reader;
    this.#reader = undefined;
    void reader?.then((each) => each.close()).catch(() => undefined);
  }
}

/** The exports of all points of these volumes; those that were asked for before stay the same objects. */
export class PointExports {
  readonly #volumes: () => Iterable<ArchiveVolume>;
  readonly #known = new Map<string, PointExport>();
  readonly #bytes = new Map<string, number>();

  readonly #log: Log;

  constructor(volumes: () => Iterable<ArchiveVolume>, log: Log) {
    this.#volumes = volumes;
    this.#log = log;
  }

  /** Sizes of base images are asked for ahead, because a listing must not wait. */
  async refresh(): Promise<void> {
    for (const volume of this.#volumes())
      if (volume.isActive) this.#bytes.set(volume.name, (await volume.sizeBlocks()) * BLOCK_BYTES);
  }

  all(): ReadonlyMap<string, NbdExport> {
    const present = new Map<string, PointExport>();
    for (const volume of this.#volumes()) {
      const bytes = this.#bytes.get(volume.name);
      if (!volume.isActive || bytes === undefined) continue;
      for (const { gid, timestamp } of restorePoints(volume.base, volume.diffs.all)) {
        const name = `${volume.name}@${gid}`;
        const known = this.#known.get(name);
        const isCurrent = known?.isCurrent(volume, bytes) === true;
        const onFailure = ({ message }: Error) =>
          this.#log.warn(`an NBD client cannot read ${name}: ${message}`);
        present.set(name, isCurrent ? known : new PointExport(volume, { gid, bytes, timestamp }, onFailure));
      }
    }
    this.#known.clear();
    for (const [name, each] of present) this.#known.set(name, each);
    return present;
  }
}
