/**
 * Files of JSON lines that are only appended to, each line synced before anybody relies on it: what of them
 * counts after a crash.
 */

export const NEWLINE = 0x0a;

/**
 * Lines, and where the last one ends. One at the end that is not JSON is what power loss left of an append:
 * its parts may have reached the disk in any order, the line end before the rest.
 */
export function linesOf(bytes: Uint8Array): { lines: string[]; endsAt: number } {
  const end = bytes.lastIndexOf(NEWLINE) + 1;
  const lines = new TextDecoder().decode(bytes.subarray(0, end)).split("\n").slice(0, -1);
  const last = lines.at(-1);
  if (last === undefined || isJson(last)) return { lines, endsAt: end };
  const before = end < 2 ? 0 : bytes.lastIndexOf(NEWLINE, end - 2) + 1;
  return { lines: lines.slice(0, -1), endsAt: before };
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
