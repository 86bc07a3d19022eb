/**
 * The zstd addon (zstd-napi's compiled half), loaded the same sealed way as the C library.
 *
 * build.ts replaces zstd-napi's `binding.js`, which asks for its addon by a computed path and so dies in a compiled
 * executable, by a call of this function.
 */
import digests from "../../dist/native/digests.json" with { type: "json" };
import addonFile from "../../dist/native/zstd.bin" with { type: "file" };
import { loadSealed } from "./sealed.ts";

/** The addon's exports. Throws NX_NATIVE_DAMAGED or NX_NATIVE_UNLOADABLE. */
export function loadZstdAddon(): unknown {
  return loadSealed("zstd", addonFile, digests.zstd, (path) => {
    const module = { exports: {} };
    process.dlopen(module, path);
    return module.exports;
  });
}
