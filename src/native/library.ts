/**
 * The C library: found, checked, loaded once, then linked by each handle module with its own symbols.
 *
 * Invariant: no symbol is callable before the library's digest and ABI number were checked. The file comes
 * from `dist/native/` (made by build.ts) and is embedded in the executable; both ways take this one path.
 */
import { dlopen, type FFIFunction } from "bun:ffi";
import digests from "../../dist/native/digests.json" with { type: "json" };
import libraryFile from "../../dist/native/libnodex.bin" with { type: "file" };
import { NxError } from "../core/errors.ts";
import { loadSealed } from "./sealed.ts";

/** Must equal NX_ABI in native/nx.h. */
export const NATIVE_ABI = 1;

let loadedPath: string | undefined;

function libraryPath(): string {
  loadedPath ??= loadSealed("libnodex", libraryFile, digests.libnodex, (path) => {
    const abi = dlopen(path, { nx_abi: { args: [], returns: "u32" } }).symbols.nx_abi();
    if (abi !== NATIVE_ABI) {
      throw new NxError(
        "NX_NATIVE_UNLOADABLE",
        `the C library has ABI ${abi}, this program needs ${NATIVE_ABI}`,
        {
          hint: "rebuild both with `bun run build`",
        },
      );
    }
    return path;
  });
  return loadedPath;
}

type Names = Record<string, FFIFunction>;

/** C functions by name, as they are called. */
export type Linked<Symbols extends Names> = ReturnType<typeof dlopen<Symbols>>["symbols"];

/** The C functions of these names: linked once, when they are first asked for. */
export function linked<Symbols extends Names>(symbols: Symbols): () => Linked<Symbols> {
  let functions: Linked<Symbols> | undefined;
  return () => (functions ??= dlopen(libraryPath(), symbols).symbols);
}
