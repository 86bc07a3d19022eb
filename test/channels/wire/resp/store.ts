/** The C store, opened for one test. */
import type { Pointer } from "bun:ffi";
import { link } from "../../../../src/native/library.ts";

export interface TestStore {
  pointer: Pointer;
  close(): void;
}

export function openStore(memoryBytesMax = 0): TestStore {
  const native = link({
    nx_store_new: { args: ["u64"], returns: "ptr" },
    nx_store_free: { args: ["ptr"], returns: "void" },
  });
  const pointer = native.nx_store_new(memoryBytesMax) as Pointer;
  return { pointer, close: () => native.nx_store_free(pointer) };
}
