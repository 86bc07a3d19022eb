/**
 * Rewrites digits of an INI file in place: the hash range that Redistribute changes must survive a restart.
 *
 * Invariant: nothing but the digits changes, and only inside the section: same length, same comments, same line ends. One
 * write of the span from the first digit to the last is synced before this resolves; the file keeps its owner, mode and
 * links. Power loss during that write can leave one value old and one new where they lie in two sectors.
 */
import { NxError } from "../../errors.ts";
import type { Disk } from "../../seams/disk.ts";
import { parseIni } from "./parse.ts";

/** Replaces the hex digits of `values` (key → digits) in `section`. Throws NX_CONFIG_INVALID, with nothing changed. */
export function rewriteDigits(
  bytes: Uint8Array,
  file: string,
  section: string,
  values: Record<string, string>,
): Uint8Array {
  return withSpans(bytes, file, section, values).bytes;
}

/** The same in the file itself. `path` is absolute; a symbolic link is followed. */
export async function rewriteDigitsInFile(
  disk: Disk,
  path: string,
  section: string,
  values: Record<string, string>,
): Promise<void> {
  const file = await disk.open(path, "readWrite");
  try {
    const old = new Uint8Array(await file.size());
    await file.read(old, 0);
    const { bytes, start, end } = withSpans(old, path, section, values);
    if (start >= end) return;
    await file.write(bytes.subarray(start, end), start);
    await file.sync();
  } finally {
    await file.close();
  }
}

function withSpans(bytes: Uint8Array, file: string, section: string, values: Record<string, string>) {
  // One character for each byte: offsets in the text are offsets in the file.
  const latin = Buffer.from(bytes)
    .toString("latin1")
    .replace(/^\xef\xbb\xbf/, "   ");
  const ini = parseIni([{ file, bytes: Buffer.from(latin.replace(/[^\x00-\x7f]/g, "?")) }]);
  const changed = bytes.slice();
  let [start, end] = [bytes.byteLength, 0];
  for (const [key, digits] of Object.entries(values)) {
    const entry = ini.get(section, key);
    const old = /^(0x)?([0-9a-fA-F]+)$/.exec(entry?.value ?? "");
    if (entry === undefined || old?.[2]?.length !== digits.length) {
      const where = `${file}: [${section}] ${key}`;
      throw new NxError(
        "NX_CONFIG_INVALID",
        `${where}: wanted ${digits.length} hex digits to replace, got ${entry?.value ?? "nothing"}`,
        {
          hint: "correct the file; nothing was changed in it",
        },
      );
    }
    const at = entry.valueOffset + (old[1]?.length ?? 0);
    changed.set(Buffer.from(digits, "latin1"), at);
    start = Math.min(start, at);
    end = Math.max(end, at + digits.length);
  }
  return { bytes: changed, start, end };
}
