/**
 * The state of one stateful step: a value for each key, and what of it the last checkpoint holds.
 *
 * Each key has its live value, which steps change, and its image, the encoded value of the newest checkpoint. A value is
 * decoded when it is first asked for, so a restart with a million keys decodes none of them.
 *
 * Invariant: between `prepare` and `commit` the images before that checkpoint are kept too, so that `rollBack` finds
 * either of the two. A key's image is never changed in place, so whoever holds one holds what the checkpoint had.
 * A crash takes all of it; checkpoint/state-log.ts brings the images back.
 */
import { NxError } from "../../core/errors.ts";
import type { Codec } from "../api/contract.ts";
import type { FrameCursor } from "../runtime/frame-cursor.ts";
import { RecordWriter } from "../runtime/record-writer.ts";
import { messageOf } from "../thrown.ts";
import { copyOf } from "../wire/bytes.ts";

export type Image = Uint8Array;

const KEY_LENGTH_SHOWN = 100;

export interface Entry<Value = unknown> {
  readonly key: string;
  value: Value | undefined;
  /** Whether `value` is there: not yet decoded is not the same as none. */
  isLive: boolean;
  isDirty: boolean;
  /** Its state is gone, and the newest checkpoint does not say so yet. */
  isRemoved: boolean;
  /** Undefined: the newest checkpoint does not have the key. */
  image: Image | undefined;
}

export interface StoreOptions {
  init(key: string): unknown;
  codec: Codec<unknown>;
}

/** Told of what a checkpoint changes. */
export interface ImageSink {
  put(key: string, image: Image): void;
  remove(key: string): void;
}

export class StateStore {
  readonly name: string;
  readonly #options: StoreOptions;
  readonly #frame: FrameCursor;
  readonly #writer = new RecordWriter(4096);
  readonly #entries = new Map<string, Entry>();
  #dirty: Entry[] = [];
  #removed = 0;
  /** Images as they were before the checkpoint that is prepared and not committed. */
  #before: [entry: Entry, image: Image | undefined][] = [];

  constructor(name: string, options: StoreOptions, frame: FrameCursor) {
    this.name = name;
    this.#options = options;
    this.#frame = frame;
  }

  get size(): number {
    return this.#entries.size - this.#removed;
  }

  get dirtyKeys(): number {
    return this.#dirty.length;
  }

  *keys(): Generator<string, void> {
    for (const entry of this.#entries.values()) if (!entry.isRemoved) yield entry.key;
  }

  /** The value of a key, made when it has none; counts as changed. */
  value(key: string): unknown {
    const entry = this.#entries.get(key);
    if (entry === undefined) return this.#create(key);
    if (!entry.isDirty) this.#touch(entry);
    if (entry.isRemoved) this.#renew(entry);
    return entry.value;
  }

  /** The value of a key without counting as a change; undefined when it has none. */
  peek(key: string): unknown {
    const entry = this.#entries.get(key);
    if (entry === undefined || entry.isRemoved) return undefined;
    this.#decode(entry);
    return entry.value;
  }

  /** The key is done: its state goes with the next checkpoint. */
  remove(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined || entry.isRemoved) return;
    if (!entry.isDirty) this.#touch(entry);
    entry.value = undefined;
    entry.isRemoved = true;
    this.#removed += 1;
  }

  #create(key: string): unknown {
    const value = this.#options.init(key);
    const entry: Entry = { key, value, isLive: true, isDirty: true, isRemoved: false, image: undefined };
    this.#entries.set(key, entry);
    this.#dirty.push(entry);
    return value;
  }

  #renew(entry: Entry): void {
    entry.value = this.#options.init(entry.key);
    entry.isRemoved = false;
    this.#removed -= 1;
  }

  #touch(entry: Entry): void {
    this.#decode(entry);
    entry.isDirty = true;
    this.#dirty.push(entry);
  }

  #decode(entry: Entry): void {
    if (entry.isLive) return;
    const image = entry.image as Image;
    entry.value = this.#options.codec.decode(this.#frame.set(image, 0, image.byteLength));
    entry.isLive = true;
  }

  /** Encodes what changed since the last checkpoint. The one before must be committed. */
  prepare(sink: ImageSink): void {
    for (const entry of this.#dirty) {
      entry.isDirty = false;
      this.#before.push([entry, entry.image]);
      if (entry.isRemoved) {
        this.#entries.delete(entry.key);
        if (entry.image !== undefined) sink.remove(entry.key);
        entry.image = undefined;
      } else {
        entry.image = this.#encode(entry);
        sink.put(entry.key, entry.image);
      }
    }
    this.#removed = 0;
    this.#dirty = [];
  }

  #encode({ key, value }: Entry): Image {
    this.#writer.clear();
    try {
      this.#options.codec.encode(value, this.#writer);
    } catch (error) {
      throw new NxError(
        "NX_STREAM_APP_FAILED",
        `the state "${this.name}" of the key ${JSON.stringify(key.slice(0, KEY_LENGTH_SHOWN))} cannot be encoded: ${messageOf(error)}`,
        { hint: "give the state a codec that can hold it", cause: error },
      );
    }
    return copyOf(this.#writer.done());
  }

  commit(): void {
    this.#before = [];
  }

  /** Forgets every change since the newest checkpoint; with `isAborting` since the one before that. */
  rollBack(isAborting: boolean): void {
    for (const entry of this.#dirty) this.#restore(entry, entry.image);
    this.#dirty = [];
    this.#removed = 0;
    if (!isAborting) return;
    // Backwards: a key that was removed and made anew has two entries, the older one first.
    for (const [entry, image] of this.#before.toReversed()) this.#restore(entry, image);
    this.#before = [];
  }

  #restore(entry: Entry, image: Image | undefined): void {
    entry.isDirty = entry.isLive = entry.isRemoved = false;
    entry.value = undefined;
    entry.image = image;
    if (image !== undefined) this.#entries.set(entry.key, entry);
    else if (this.#entries.get(entry.key) === entry) this.#entries.delete(entry.key);
  }

  // --- loading and moving ------------------------------------------------------------------------------------------

  /** An image of a checkpoint that is prepared: counts as `prepare` does. */
  loadPrepared(key: string, image: Image | undefined): void {
    let entry = this.#entries.get(key);
    if (entry === undefined) {
      entry = { key, value: undefined, isLive: false, isDirty: false, isRemoved: false, image: undefined };
    }
    this.#before.push([entry, entry.image]);
    this.#restore(entry, image);
  }

  /** A key that moved here from another worker, as a change since the last checkpoint. */
  adopt(key: string, image: Image): void {
    this.value(key);
    const entry = this.#entries.get(key) as Entry;
    entry.value = this.#options.codec.decode(this.#frame.set(image, 0, image.byteLength));
  }

  /** What the newest checkpoint holds; with `isBefore` what the one before that held. */
  images(isBefore = false): Map<string, Image> {
    const images = new Map<string, Image>();
    for (const entry of this.#entries.values())
      if (entry.image !== undefined) images.set(entry.key, entry.image);
    if (!isBefore) return images;
    for (const [entry, image] of this.#before.toReversed()) {
      if (image === undefined) images.delete(entry.key);
      else images.set(entry.key, image);
    }
    return images;
  }

  clear(): void {
    this.#entries.clear();
    this.#dirty = [];
    this.#removed = 0;
    this.#before = [];
  }
}
