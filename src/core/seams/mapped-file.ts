/**
 * A file as memory: pages are read when they are touched and can be dropped by the kernel at any time.
 *
 * Invariant: only files that are never changed in place may be mapped (they are replaced by renames), because a file
 * that becomes shorter kills the process that reads behind its end.
 */
import { statSync } from "node:fs";

/** The bytes of the file; an empty file has none to map. */
export function mapFile(path: string): Uint8Array {
  return statSync(path).size === 0 ? new Uint8Array(0) : Bun.mmap(path, { shared: true });
}
