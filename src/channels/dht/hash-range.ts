/**
 * The part of the hash space that this node owns: from the configuration, until a redistribution changes it.
 *
 * `<dataDir>/hash-range.json` holds the range that a redistribution gave, and the configured range that it replaced.
 * Invariant: it counts only while the configuration still names that configured range; whoever edits the
 * configuration has the last word. The file is replaced as a whole: after a crash it holds the old range or the new one.
 */
import { join } from "node:path";
import { z } from "zod";
import { NxError } from "../../core/errors.ts";
import type { Log } from "../../core/logging/log.ts";
import type { RoleContext } from "../../core/role.ts";
import { writeFileAtomically } from "../../core/seams/durable-files.ts";
import type { Disk } from "../../core/seams/disk.ts";
import type { HashRange } from "../../native/legacy.ts";
import { rewriteHashRange } from "./ini.ts";

/** As the configuration writes it: 16 lower-case hex digits each. */
export interface HashRangeText {
  min: string;
  max: string;
}

const digits = z.string().regex(/^[0-9a-f]{16}$/);
const rangeText = z.strictObject({ min: digits, max: digits });
const savedRange = z.strictObject({ configured: rangeText, range: rangeText, settled: rangeText.optional() });

/** What a node owns, and which part of it has all its records: the rest may still arrive from other nodes. */
export interface OwnedRange {
  range: HashRange;
  /** Undefined: all of it. */
  settled?: HashRange | undefined;
}

/** Longer than this is no file of ours. */
const FILE_BYTES_MAX = 4096;

export const toRange = ({ min, max }: HashRangeText): HashRange => ({
  min: BigInt(`0x${min}`),
  max: BigInt(`0x${max}`),
});

export const toText = ({ min, max }: HashRange): HashRangeText => ({
  min: min.toString(16).padStart(16, "0"),
  max: max.toString(16).padStart(16, "0"),
});

const isSame = (a: HashRangeText, b: HashRangeText) => a.min === b.min && a.max === b.max;

const pathOf = (dataDir: string) => join(dataDir, "hash-range.json");

/** The range that holds at the start. Throws NX_DATA_CORRUPT. */
export async function loadHashRange(
  disk: Disk,
  dataDir: string,
  configured: HashRangeText,
  log: Log,
): Promise<OwnedRange> {
  const path = pathOf(dataDir);
  if (!(await disk.exists(path))) return { range: toRange(configured) };
  const saved = await read(disk, path);
  const settled = saved.settled === undefined ? undefined : toRange(saved.settled);
  if (isSame(saved.range, configured)) return { range: toRange(configured), settled };
  if (!isSame(saved.configured, configured)) {
    log.warn("the configured hash range has changed: the one from the last redistribution no longer counts", {
      path,
    });
    return { range: toRange(configured) };
  }
  log.info("the hash range is that of the last redistribution", { path, ...saved.range });
  return { range: toRange(saved.range), settled };
}

async function read(disk: Disk, path: string): Promise<z.output<typeof savedRange>> {
  const file = await disk.open(path, "read");
  try {
    const bytes = new Uint8Array(FILE_BYTES_MAX);
    const length = await file.read(bytes, 0);
    return savedRange.parse(JSON.parse(new TextDecoder().decode(bytes.subarray(0, length))));
  } catch (error) {
    throw new NxError("NX_DATA_CORRUPT", `${path}: not a saved hash range: ${(error as Error).message}`, {
      hint: "compare the ranges of all nodes, then set hashRange in the configuration and remove the file",
      cause: error,
    });
  } finally {
    await file.close();
  }
}

/** Resolves when the range would survive power loss. */
export function saveHashRange(
  disk: Disk,
  dataDir: string,
  configured: HashRangeText,
  { range, settled }: OwnedRange,
): Promise<void> {
  const content = {
    configured,
    range: toText(range),
    ...(settled !== undefined && { settled: toText(settled) }),
  };
  return writeFileAtomically(disk, pathOf(dataDir), `${JSON.stringify(content, null, 2)}\n`);
}

/**
 * Saves the range; where the configured one came from an INI file, that file gets the new digits, as the originals did.
 * `configured` then names the new range too, so that a reload sees no difference. A file that cannot be written
 * is a warning: what was saved holds until somebody edits it.
 */
export async function keepHashRange(
  { disk, dataDir, log, iniFileOf }: Pick<RoleContext<unknown>, "disk" | "dataDir" | "log" | "iniFileOf">,
  configured: HashRangeText,
  owned: OwnedRange,
): Promise<void> {
  const { range } = owned;
  await saveHashRange(disk, dataDir, configured, owned);
  const file = iniFileOf?.("hashRange.min");
  if (file === undefined) return;
  try {
    await rewriteHashRange(disk, file, toText(range));
    Object.assign(configured, toText(range));
  } catch (error) {
    log.warn(`the hash range is saved in the data directory only: ${(error as Error).message}`, { file });
  }
}
