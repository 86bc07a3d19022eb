/** The C store, opened for one test, with a seed that repeats. */
import { Store } from "../../../../src/native/store.ts";

export type TestStore = Store;

export function openStore(memoryBytesMax = 0): TestStore {
  return new Store({ memoryBytesMax, seed: new Uint8Array(16).fill(7) });
}
