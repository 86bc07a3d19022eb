/** An object store in memory, for tests: every call can be watched, failed, or undone by a crash. */
import { NxError } from "../../../src/core/errors.ts";
import type { ObjectEntry, ObjectStore, ObjectTag } from "../../../src/core/seams/object-store.ts";

export type StoreCall = "put" | "replace" | "get" | "stat" | "list" | "remove";

export class MemoryObjects implements ObjectStore {
  readonly name = "s3://memory/archive0";
  objects: Map<string, Uint8Array>;
  /** Calls by kind. */
  readonly calls: Record<StoreCall, number> = { put: 0, replace: 0, get: 0, stat: 0, list: 0, remove: 0 };
  /** Before a call has an effect; throws to fail it. */
  before: (call: StoreCall, key: string) => void | Promise<void> = () => undefined;
  /** After it had one; throws so that the caller does not hear of it. */
  after: (call: StoreCall, key: string) => void = () => undefined;

  constructor(objects = new Map<string, Uint8Array>()) {
    this.objects = objects;
  }

  async #call<Value>(call: StoreCall, key: string, work: () => Value): Promise<Value> {
    this.calls[call] += 1;
    await this.before(call, key);
    const value = work();
    this.after(call, key);
    return value;
  }

  #tagOf(key: string): ObjectTag | undefined {
    const bytes = this.objects.get(key);
    return bytes && `"${Bun.hash(bytes).toString(16)}"`;
  }

  put(key: string, bytes: Uint8Array): Promise<void> {
    const copy = bytes.slice();
    return this.#call("put", key, () => void this.objects.set(key, copy));
  }

  replace(key: string, bytes: Uint8Array, tag: ObjectTag | undefined): Promise<ObjectTag | "changed"> {
    const copy = bytes.slice();
    return this.#call("replace", key, () => {
      if (this.#tagOf(key) !== tag) return "changed";
      this.objects.set(key, copy);
      return this.#tagOf(key) as ObjectTag;
    });
  }

  get(key: string, bytesMax: number): Promise<Uint8Array | undefined> {
    return this.#call("get", key, () => {
      const bytes = this.objects.get(key)?.slice();
      if (bytes !== undefined && bytes.byteLength > bytesMax)
        throw new NxError("NX_DATA_CORRUPT", `${this.name}/${key} is longer than expected`);
      return bytes;
    });
  }

  stat(key: string): Promise<{ bytes: number; tag: ObjectTag } | undefined> {
    return this.#call("stat", key, () => {
      const bytes = this.objects.get(key);
      return bytes && { bytes: bytes.byteLength, tag: this.#tagOf(key) as ObjectTag };
    });
  }

  async *list(prefix: string): AsyncGenerator<ObjectEntry> {
    const keys = await this.#call("list", prefix, () => [...this.objects.keys()].sort());
    for (const key of keys)
      if (key.startsWith(prefix)) yield { key, bytes: this.objects.get(key)?.byteLength ?? 0 };
  }

  remove(key: string): Promise<void> {
    return this.#call("remove", key, () => void this.objects.delete(key));
  }

  close(): void {}

  /** Flips one bit of an object. */
  flip(key: string, at = 0): void {
    const bytes = this.objects.get(key)?.slice() as Uint8Array;
    bytes[at] = (bytes[at] as number) ^ 1;
    this.objects.set(key, bytes);
  }
}
