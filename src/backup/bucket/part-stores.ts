/** The objects of each volume of an archive: one store of parts for each, so that all who use it see each other's pins. */
import type { ObjectStore } from "../../core/seams/object-store.ts";
import { PartStore } from "./part-store.ts";

export class PartStores {
  readonly objects: ObjectStore;
  readonly #stores = new Map<string, PartStore>();

  constructor(objects: ObjectStore) {
    this.objects = objects;
  }

  of(volume: string): PartStore {
    let store = this.#stores.get(volume);
    if (store === undefined) this.#stores.set(volume, (store = new PartStore(this.objects, volume)));
    return store;
  }

  all(): Iterable<PartStore> {
    return this.#stores.values();
  }

  close(): void {
    for (const store of this.#stores.values()) store.close();
    this.#stores.clear();
  }
}
