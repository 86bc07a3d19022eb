/**
 * Small files that a reader must never see half written.
 *
 * Invariant: after any crash the path holds the old content or the new one, whole, because the new content is synced
 * under another name before it takes the path.
 */
import { dirname } from "node:path";
import type { Disk } from "./disk.ts";

/** Replaces (or creates) `path`. Resolves when the new content would survive power loss. */
export async function writeFileAtomically(disk: Disk, path: string, content: string | Uint8Array): Promise<void> {
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
  const temporary = `${path}.tmp`;
  if (await disk.exists(temporary)) await disk.remove(temporary);
  const file = await disk.open(temporary, "exclusive");
  try {
    await file.write(bytes, 0);
    await file.sync();
  } finally {
    await file.close();
  }
  await disk.rename(temporary, path);
  await disk.syncDirectory(dirname(path));
}
