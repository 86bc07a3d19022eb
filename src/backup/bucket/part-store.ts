/**
 * The objects of one volume: put once under the name of their content, read with every checksum compared.
 *
 *   VOL/data/SHA256     a part of a file, or a table of parts
 *
 * Invariant: `put` resolves when the object is in the store, and pins it: nothing removes it before its user lets it go,
 * which he does when a manifest names it. Bytes that are handed out have both checksums. What was put before a crash is found
 * again by its name, so an upload that is repeated sends only what is missing.
 */
import { NxError } from "../../core/errors.ts";
import type { ObjectStore } from "../../core/seams/object-store.ts";
import { Codec, isZero } from "../../native/blocks.ts";
import { crc32c } from "../../native/crc32c.ts";
import type { ByteSource } from "../formats/bytes.ts";
import { snappy } from "../formats/compression.ts";
import { manifestKey } from "./manifest.ts";
import {
  decodePartTable,
  encodePartTable,
  type ObjectRef,
  partLength,
  type PartRef,
  partsOf,
  type PartTable,
} from "./part-table.ts";

/** What was sent and fetched since the start. */
export interface PartFigures {
  objectsPut: number;
  bytesPut: number;
  /** Objects that were there already. */
  objectsFound: number;
  objectsRemoved: number;
  bytesRead: number;
}

export function sha256Of(bytes: Uint8Array): string {
  return new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
}

export const dataPrefix = (volume: string): string => `${volume}/data/`;

/** Objects that are in use while no manifest names them yet. */
export class Pins {
  readonly #names = new Set<string>();
  readonly #store: PartStore;

  constructor(store: PartStore) {
    this.#store = store;
  }

  add(name: string): void {
    if (this.#names.has(name)) return;
    this.#names.add(name);
    this.#store.pin(name, 1);
  }

  release(): void {
    for (const name of this.#names) this.#store.pin(name, -1);
    this.#names.clear();
  }
}

export class PartStore {
  readonly store: ObjectStore;
  readonly volume: string;
  readonly figures: PartFigures = {
    ...{ objectsPut: 0, bytesPut: 0, objectsFound: 0, objectsRemoved: 0, bytesRead: 0 },
  };
  #changing: Promise<unknown> = Promise.resolve();
  readonly #pinned = new Map<string, number>();
  /** While objects are removed: what was let go of since. */
  #released: string[] | undefined;
  readonly #removing = new Map<string, Promise<void>>();
  readonly #codec = new Codec();

  constructor(store: ObjectStore, volume: string) {
    this.store = store;
    this.volume = volume;
  }

  close(): void {
    this.#codec.close();
  }

  keyOf(sha256: string): string {
    return dataPrefix(this.volume) + sha256;
  }

  /** Whole changes of the volume's place, one after the other: bringing it up, removing it. */
  alone<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.#changing.then(work);
    this.#changing = result.catch(() => undefined);
    return result;
  }

  /** Nothing that is let go of meanwhile is removed by `work`. */
  async whileRemoving(work: () => Promise<void>): Promise<void> {
    this.#released = [];
    try {
      await work();
    } finally {
      const released = this.#released;
      this.#released = undefined;
      for (const name of released) this.pin(name, -1);
    }
  }

  pin(name: string, by: 1 | -1): void {
    if (by < 0 && this.#released !== undefined) return void this.#released.push(name);
    const count = (this.#pinned.get(name) ?? 0) + by;
    if (count === 0) this.#pinned.delete(name);
    else this.#pinned.set(name, count);
  }

  async #sha256Of(bytes: Uint8Array): Promise<string> {
    return (await this.store.sha256?.(bytes)) ?? sha256Of(bytes);
  }

  /** Puts an object unless it is there. The bytes may not change meanwhile. */
  async put(bytes: Uint8Array, pins: Pins): Promise<ObjectRef> {
    const sha256 = await this.#sha256Of(bytes);
    const ref = { sha256, crc32c: crc32c(bytes), bytes: bytes.byteLength };
    pins.add(ref.sha256);
    await this.#removing.get(ref.sha256);
    const key = this.keyOf(ref.sha256);
    const found = await this.store.stat(key);
    if (found?.bytes === ref.bytes) {
      this.figures.objectsFound += 1;
      return ref;
    }
    await this.store.put(key, bytes);
    this.figures.objectsPut += 1;
    this.figures.bytesPut += ref.bytes;
    return ref;
  }

  /** Puts the content of a part; with `isCompressed`, packed where that is shorter. Zeros need no object. */
  async putPart(content: Uint8Array, isCompressed: boolean, pins: Pins): Promise<PartRef | undefined> {
    if (isZero(content)) return undefined;
    const packed = isCompressed ? this.#codec.encode(snappy.id, 0, content) : undefined;
    const ref = await this.put(packed ?? content, pins);
    return { ...ref, codec: packed === undefined ? 0 : snappy.id };
  }

  async putTable(table: PartTable, pins: Pins): Promise<ObjectRef> {
    return await this.put(encodePartTable(table), pins);
  }

  /** Puts a whole file, `atOnce` parts at a time, and its table. `onPart` is called before each part is read. */
  async putFile(
    source: ByteSource,
    options: {
      partBytes: number;
      atOnce: number;
      isCompressed: boolean;
      pins: Pins;
      onPart?(): Promise<void>;
    },
  ): Promise<{ table: PartTable; ref: ObjectRef }> {
    const { partBytes, pins, isCompressed } = options;
    const parts = Array.from({ length: partsOf(source.bytes, partBytes) }, () => undefined) as (
      PartRef | undefined
    )[];
    const table: PartTable = { partBytes, bytes: source.bytes, parts };
    let next = 0;
    const work = async () => {
      while (next < parts.length) {
        const index = next++;
        try {
          await options.onPart?.();
          const content = new Uint8Array(partLength(table, index));
          const count = await source.read(content, index * partBytes);
          if (count < content.byteLength)
            throw new NxError("NX_DATA_CORRUPT", `${source.name} is shorter than it was`);
          parts[index] = await this.putPart(content, isCompressed, pins);
        } catch (error) {
          // The others need not begin another part.
          next = parts.length;
          throw error;
        }
      }
    };
    const ended = await Promise.allSettled(Array.from({ length: options.atOnce }, work));
    const failed = ended.find(({ status }) => status === "rejected");
    if (failed?.status === "rejected") throw failed.reason;
    return { table, ref: await this.putTable(table, pins) };
  }

  #damaged(ref: ObjectRef, what: string): NxError {
    return new NxError("NX_DATA_CORRUPT", `${this.store.name}/${this.keyOf(ref.sha256)} ${what}`, {
      hint: "if an archive writes to this bucket it may have replaced the manifest meanwhile: run this again. Else take the object from a copy of the bucket, or the volume from another archive",
    });
  }

  /** The bytes of an object, compared with its checksums. Throws NX_DATA_CORRUPT with its name. */
  async get(ref: ObjectRef): Promise<Uint8Array> {
    const bytes = await this.store.get(this.keyOf(ref.sha256), ref.bytes);
    if (bytes === undefined) throw this.#damaged(ref, "is missing");
    if (bytes.byteLength !== ref.bytes)
      throw this.#damaged(ref, `has ${bytes.byteLength} bytes instead of ${ref.bytes}`);
    if (crc32c(bytes) !== ref.crc32c || (await this.#sha256Of(bytes)) !== ref.sha256)
      throw this.#damaged(ref, "is damaged: it does not have its checksum");
    this.figures.bytesRead += bytes.byteLength;
    return bytes;
  }

  async getTable(ref: ObjectRef): Promise<PartTable> {
    return decodePartTable(`${this.store.name}/${this.keyOf(ref.sha256)}`, await this.get(ref));
  }

  /** The content of a part. */
  async getPart(table: PartTable, index: number): Promise<Uint8Array> {
    const length = partLength(table, index);
    const ref = table.parts[index];
    if (ref === undefined) return new Uint8Array(length);
    const stored = await this.get(ref);
    if (ref.codec === 0 && stored.byteLength === length) return stored;
    const content = new Uint8Array(length);
    if (ref.codec === 0 || !this.#codec.decode(ref.codec, stored, content))
      throw this.#damaged(ref, `does not hold the ${length} bytes of its part`);
    return content;
  }

  /** Removes the volume from the bucket: the manifest first, so that nobody relies on what goes then. */
  async removeVolume(): Promise<void> {
    await this.store.remove(manifestKey(this.volume));
    for await (const { key } of this.store.list(dataPrefix(this.volume))) await this.store.remove(key);
  }

  /** Removes an object unless somebody uses it. */
  async remove(sha256: string): Promise<void> {
    if (this.#pinned.has(sha256)) return;
    const removing = this.store.remove(this.keyOf(sha256));
    this.#removing.set(
      sha256,
      removing.catch(() => undefined),
    );
    try {
      await removing;
      this.figures.objectsRemoved += 1;
    } finally {
      this.#removing.delete(sha256);
    }
  }
}
