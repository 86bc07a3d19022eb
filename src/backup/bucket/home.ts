/**
 * One volume's place in a bucket, as the archive that writes it sees it: brings the bucket up to what the archive has.
 *
 * There is no queue beside the volume: what has to be uploaded is what the volume's directory has and the manifest lacks, so
 * nothing is lost or done twice when the process dies. Steps, each of which may be the last:
 *
 *   parts and tables of new diffs -> manifest -> parts and table of a new base image -> manifest
 *   -> files that have been unused for long enough: parts, then the table -> manifest
 *
 * Invariant: what the manifest names is in the bucket, always. Only one archive writes: the manifest is replaced only where
 * it is the one that was last written here.
 */
import { NxError } from "../../core/errors.ts";
import type { ObjectTag } from "../../core/seams/object-store.ts";
import type { MetaDiff } from "../algebra/snapshot.ts";
import type { ByteSource } from "../formats/bytes.ts";
import type { DiscardRule } from "../formats/image.ts";
import { NO_LSID } from "../formats/units.ts";
import {
  decodeManifest,
  encodeManifest,
  type Manifest,
  MANIFEST_BYTES_MAX,
  manifestKey,
  type StoredDiff,
} from "./manifest.ts";
import type { ObjectRef, PartTable } from "./part-table.ts";
import { dataPrefix, type PartStore, Pins } from "./part-store.ts";
import {
  droppedFiles,
  isBaseMissing,
  listedDiffs,
  type LocalVolume,
  missingDiffs,
  sameHistory,
  type StoredBase,
} from "./plan.ts";

/** The archive's side of one volume. */
export interface HomeVolume extends LocalVolume {
  readonly name: string;
  /** Reads a diff that the volume has; undefined when a merge or an apply took it away meanwhile. */
  withDiff<Result>(
    diff: MetaDiff,
    work: (source: ByteSource) => Promise<Result>,
  ): Promise<Result | undefined>;
  /** Bytes of the volume. */
  imageBytes(): Promise<number>;
  /** Reads the base image. */
  withBase<Result>(work: (source: ByteSource) => Promise<Result>): Promise<Result>;
  /** The base image's table where the image itself is in the bucket. */
  baseTable?(): Promise<PartTable | undefined>;
  /** Tables of parts that the archive uses whatever the manifest says. */
  ownTables?(): Promise<readonly PartTable[]>;
  /** Everything is in the bucket, and the manifest says so. */
  onInStep?(manifest: Manifest): Promise<void>;
}

export interface HomeOptions {
  writer: string;
  /** Goes on in a place that another archive has written to. */
  takesOver: boolean;
  discard: DiscardRule;
  partBytes: number;
  /** Parts that are sent at the same time. */
  atOnce: number;
  /** Unused files stay for this long. */
  keepUnusedSeconds: number;
  nowSeconds(): number;
  /** Begins to read a base image, which takes long: what ends it, or undefined while another one is read. */
  beginBase(): (() => void) | undefined;
  /** Throws when everything is to stop. */
  throwIfStopped(): void;
}

/** A base image changed while it was read, so it is read again. */
class BaseChanged extends Error {}

export class VolumeHome {
  readonly parts: PartStore;
  readonly #volume: HomeVolume;
  readonly #options: HomeOptions;
  #manifest: Manifest | undefined;
  #tag: ObjectTag | undefined;
  #isLoaded = false;
  #isSwept = false;
  /** In the bucket, but not in the manifest yet. */
  #stored: StoredDiff[] = [];
  #base: StoredBase | undefined;
  #pins: Pins;
  /** Of the files that were in use at the last look, by name. */
  #tables = new Map<string, PartTable>();

  constructor(volume: HomeVolume, parts: PartStore, options: HomeOptions) {
    this.#volume = volume;
    this.parts = parts;
    this.#options = options;
    this.#pins = new Pins(parts);
  }

  get manifest(): Manifest | undefined {
    return this.#manifest;
  }

  get #hasBase(): boolean {
    return this.#volume.base.from.begin !== NO_LSID;
  }

  /** What the archive has and the manifest lacks. */
  behind(): { diffs: MetaDiff[]; isBaseMissing: boolean } {
    if (!this.#hasBase) return { diffs: [], isBaseMissing: false };
    const { base, diffs } = this.#volume;
    const manifest = this.#manifest;
    if (manifest === undefined || !sameHistory(manifest, this.#volume))
      return { diffs: [...diffs], isBaseMissing: true };
    return {
      diffs: missingDiffs(manifest.diffs, diffs),
      isBaseMissing: isBaseMissing(manifest.base, base),
    };
  }

  /** Forgets what is known of the bucket, after a failure: it is asked again. */
  forget(): void {
    this.#isLoaded = false;
    this.#pins.release();
  }

  /** Brings the bucket up to what the archive has. Throws what kept it from doing so; then `forget` and repeat. */
  bringUp(): Promise<void> {
    return this.parts.alone(() => this.#bringUp());
  }

  async #bringUp(): Promise<void> {
    this.#options.throwIfStopped();
    if (!this.#hasBase) return;
    if (!this.#isLoaded) await this.#load();
    if (this.#base !== undefined) await this.#bringDiffs();
    if (isBaseMissing(this.#base?.base, this.#volume.base)) await this.#bringBaseInTurn();
    await this.#commit();
    this.#pins.release();
    if (this.#manifest !== undefined) await this.#volume.onInStep?.(this.#manifest);
    // What is released from here on stays pinned until the end: the list of what is used may be older.
    await this.parts.whileRemoving(async () => {
      await this.#removeUnused();
      await this.#sweep();
    });
  }

  async #load(): Promise<void> {
    const key = manifestKey(this.#volume.name);
    const name = `${this.parts.store.name}/${key}`;
    const found = await this.parts.store.stat(key);
    this.#tag = found?.tag;
    const bytes = found && (await this.parts.store.get(key, MANIFEST_BYTES_MAX));
    this.#manifest = bytes && (await decodeManifest(name, bytes));
    const { writer, takesOver } = this.#options;
    if (this.#manifest !== undefined && this.#manifest.writer !== writer && !takesOver)
      throw new NxError("NX_LOCK_HELD", `${name} is written by the archive "${this.#manifest.writer}"`, {
        hint: `give this archive another prefix, or, when that archive is gone for good, set bucket.takesOver`,
      });
    const isOurs = this.#manifest !== undefined && sameHistory(this.#manifest, this.#volume);
    this.#stored = isOurs ? [...(this.#manifest as Manifest).diffs] : [];
    this.#base = isOurs
      ? { base: (this.#manifest as Manifest).base, table: (this.#manifest as Manifest).baseTable }
      : undefined;
    this.#isLoaded = true;
    this.#isSwept = false;
  }

  /** Uploads new diffs, oldest first, and says so in the manifest after each: that is what can be restored. */
  async #bringDiffs(): Promise<void> {
    for (;;) {
      const [diff] = missingDiffs(this.#stored, this.#volume.diffs);
      if (diff === undefined) return;
      this.#options.throwIfStopped();
      const { partBytes, atOnce } = this.#options;
      const table = await this.#volume.withDiff(diff, async (source) => {
        const options = { partBytes, atOnce, isCompressed: false, pins: this.#pins };
        return (await this.parts.putFile(source, options)).ref;
      });
      if (table === undefined) continue;
      this.#stored.push({ diff, table });
      await this.#commit();
    }
  }

  async #bringBaseInTurn(): Promise<void> {
    const end = this.#options.beginBase();
    if (end === undefined) return;
    try {
      await this.#bringBase();
      await this.#bringDiffs();
    } finally {
      end();
    }
  }

  async #bringBase(): Promise<void> {
    const before = this.#volume.base;
    const demandSame = () => {
      this.#options.throwIfStopped();
      if (this.#volume.base !== before) throw new BaseChanged();
    };
    try {
      const table = await this.#baseTable(demandSame);
      demandSame();
      this.#base = { base: before, table };
    } catch (error) {
      if (!(error instanceof BaseChanged)) throw error;
      throw new NxError(
        "NX_NOT_READY",
        `the base image of ${this.#volume.name} changed while it was uploaded`,
      );
    }
  }

  async #baseTable(demandSame: () => void): Promise<ObjectRef> {
    const own = await this.#volume.baseTable?.();
    if (own !== undefined) return await this.parts.putTable(own, this.#pins);
    const { partBytes, atOnce } = this.#options;
    return await this.#volume.withBase(async (source) => {
      // Diffs that come meanwhile do not wait for the image.
      let diffs = Promise.resolve();
      const onPart = async () => {
        demandSame();
        if (this.#base !== undefined) await (diffs = diffs.then(() => this.#bringDiffs()));
      };
      const options = { partBytes, atOnce, isCompressed: true, pins: this.#pins, onPart };
      return (await this.parts.putFile(source, options)).ref;
    });
  }

  /** Writes the next manifest, if it would say something new; the tables in `gone` are not in the bucket any more. */
  async #commit(gone: ReadonlySet<string> = new Set()): Promise<void> {
    if (this.#base === undefined) return;
    const { writer, discard, nowSeconds } = this.#options;
    const { uuid, archiveUuid, diffs: local } = this.#volume;
    const { base, table: baseTable } = this.#base;
    const before = this.#manifest;
    const diffs = listedDiffs(base, this.#stored, local);
    const dropped = droppedFiles(before, { baseTable, diffs }, nowSeconds());
    const next: Manifest = {
      ...{ number: before?.number ?? 0, writer, discard, uuid, archiveUuid, base, baseTable, diffs },
      imageBytes: before?.imageBytes ?? 0,
      dropped: dropped.filter(({ table }) => !gone.has(table.sha256)),
    };
    // A volume that only grew is told of with its next diff: asking for its size may take a command of the system.
    if (before !== undefined && Buffer.from(encodeManifest(next)).equals(encodeManifest(before))) return;
    await this.#write({ ...next, number: next.number + 1, imageBytes: await this.#volume.imageBytes() });
    this.#stored = [...diffs];
  }

  async #write(next: Manifest): Promise<void> {
    this.#options.throwIfStopped();
    const tag = await this.parts.store.replace(
      manifestKey(this.#volume.name),
      encodeManifest(next),
      this.#tag,
    );
    if (tag === "changed") throw this.#replaced();
    [this.#tag, this.#manifest] = [tag, next];
  }

  #replaced(): NxError {
    const name = `${this.parts.store.name}/${manifestKey(this.#volume.name)}`;
    return new NxError("NX_LOCK_LOST", `${name} was replaced by somebody else`, {
      hint: "only one archive may write a volume below a prefix; it is read again before anything more is written",
    });
  }

  /** Nothing is removed for the sake of a manifest that is not the present one. */
  async #demandOwn(): Promise<void> {
    this.#options.throwIfStopped();
    const found = await this.parts.store.stat(manifestKey(this.#volume.name));
    if (found?.tag !== this.#tag) throw this.#replaced();
  }

  /** Objects that are used: by the manifest, by files that are unused only since a while, by the archive itself. */
  async #used(manifest: Manifest, isKept: (time: number) => boolean): Promise<Set<string>> {
    const files = [
      manifest.baseTable,
      ...manifest.diffs.map(({ table }) => table),
      ...manifest.dropped.filter(({ time }) => isKept(time)).map(({ table }) => table),
    ];
    const used = new Set<string>();
    const add = ({ parts }: PartTable) => {
      for (const part of parts) if (part !== undefined) used.add(part.sha256);
    };
    const tables = new Map<string, PartTable>();
    for (const file of files) {
      used.add(file.sha256);
      const table = this.#tables.get(file.sha256) ?? (await this.parts.getTable(file));
      tables.set(file.sha256, table);
      add(table);
    }
    this.#tables = tables;
    for (const table of (await this.#volume.ownTables?.()) ?? []) add(table);
    return used;
  }

  /** Removes what has been unused for long enough: the parts, then the table, then the line in the manifest. */
  async #removeUnused(): Promise<void> {
    const manifest = this.#manifest;
    if (manifest === undefined) return;
    const oldest = this.#options.nowSeconds() - this.#options.keepUnusedSeconds;
    const isKept = (time: number) => time > oldest;
    const due = manifest.dropped.filter(({ time }) => !isKept(time));
    if (due.length === 0) return;
    const used = await this.#used(manifest, isKept);
    for (const { table: ref } of due) {
      await this.#demandOwn();
      if (used.has(ref.sha256)) continue;
      // Without its table the parts of an earlier try are gone already.
      if ((await this.parts.store.stat(this.parts.keyOf(ref.sha256))) === undefined) continue;
      const { parts } = await this.parts.getTable(ref);
      for (const part of parts)
        if (part !== undefined && !used.has(part.sha256)) await this.parts.remove(part.sha256);
      await this.parts.remove(ref.sha256);
    }
    await this.#commit(new Set(due.map(({ table }) => table.sha256)));
  }

  /** Once after a start: removes what an upload left that never came into a manifest. */
  async #sweep(): Promise<void> {
    const manifest = this.#manifest;
    if (this.#isSwept || manifest === undefined) return;
    const used = await this.#used(manifest, () => true);
    const prefix = dataPrefix(this.#volume.name);
    const stray: string[] = [];
    for await (const { key } of this.parts.store.list(prefix)) {
      const name = key.slice(prefix.length);
      if (!used.has(name)) stray.push(name);
    }
    if (stray.length > 0) await this.#demandOwn();
    for (const name of stray) {
      this.#options.throwIfStopped();
      await this.parts.remove(name);
    }
    this.#isSwept = true;
  }

  close(): void {
    this.#pins.release();
  }
}
