/**
 * What `node-x tcm` does with files of a node that may be running: print, make, check, back up.
 *
 * Dumps are replaced by renaming, so a file that is open stays one dump, whatever the node does meanwhile. Files that
 * are written here are complete before they have their name. Memory is bounded by the largest record.
 */
import { basename, dirname, join } from "node:path";
import { NxError } from "../../core/errors.ts";
import type { World } from "../../core/role.ts";
import type { Disk } from "../../core/seams/disk.ts";
import { applySideBlock, TcmLineReader, type TcmCounts, type TcmNote } from "../../native/tcm.ts";
import { sideName, temporaryName } from "./names.ts";
import { readTcm } from "./read.ts";
import { SideReader, type TcmIdentity } from "./side-file.ts";

/** Whatever a `.tcm` may hold: tools leave no record out for its length or its hash. */
export const everything = {
  valueBytesMax: 2 ** 30,
  range: { min: 0n, max: 0xffff_ffff_ffff_ffffn },
  outOfRange: "load",
  abortAfterAllOutOfRange: 0,
} as const;

/** Writes one line `<16 hex>:<base64>` per record. */
export async function printDump(
  disk: Disk,
  path: string,
  write: (text: string) => void,
  onNotes: (notes: TcmNote[]) => void,
): Promise<TcmCounts> {
  const { counts } = await readTcm({ ...everything, disk, path, wantsLines: true, onLines: write, onNotes });
  return counts;
}

/** Makes a `.tcm` of lines; the file must not exist. Returns how many records it has. */
export async function makeDump(
  world: World,
  path: string,
  input: AsyncIterable<Uint8Array>,
): Promise<number> {
  const { disk } = world;
  const exists = () =>
    new NxError("NX_FILE_EXISTS", `${path} exists already`, {
      hint: "choose another name, or move that file away",
    });
  if (await disk.exists(path)) throw exists();
  const channel = basename(path).replace(/\.tcm$/, "");
  const temporary = join(dirname(path), temporaryName(channel, "tcm", world.random));
  const file = await disk.open(temporary, "exclusive");
  const reader = new TcmLineReader();
  let written = 0;
  const flush = async () => {
    const bytes = reader.tcm.view();
    await file.write(bytes, written);
    written += bytes.byteLength;
    reader.tcm.clear();
  };
  const take = (text: Uint8Array, isLast: boolean) => {
    const taken = reader.read(text, isLast);
    if (taken >= 0) return taken;
    throw new NxError("NX_INPUT_INVALID", `line ${reader.lines + 1} is no record`, {
      hint: "a line is <16 hex digits>:<base64 of at least one byte>; nothing was written",
    });
  };
  try {
    let rest: Uint8Array = new Uint8Array(0);
    for await (const chunk of input) {
      rest = rest.byteLength === 0 ? chunk : Buffer.concat([rest, chunk]);
      rest = rest.subarray(take(rest, false));
      await flush();
    }
    take(rest, true);
    reader.end(written);
    await flush();
    await file.sync();
    // A link, unlike a rename, replaces nothing that came into being meanwhile.
    await disk.link(temporary, path).catch((error: unknown) => {
      throw (error as { code?: string }).code === "EEXIST" ? exists() : error;
    });
    return reader.lines;
  } finally {
    reader.free();
    await file.close();
    await disk.remove(temporary);
    await disk.syncDirectory(dirname(path));
  }
}

export interface CheckedDump {
  path: string;
  /** "current", or "counted" for the older format. */
  format: "current" | "counted";
  bytes: number;
  counts: TcmCounts;
  /** Of the `.nxs` beside it; undefined when there is none. */
  sideRecords: number | undefined;
  /** What is damaged; undefined when nothing is. */
  damage: string | undefined;
}

/** Reads a `.tcm`, and the `.nxs` beside it, from the first byte to the last. */
export async function checkDump(
  disk: Disk,
  path: string,
  onNotes: (notes: TcmNote[]) => void,
): Promise<CheckedDump> {
  const none = {
    records: 0,
    loaded: 0,
    loadedBytes: 0,
    badKeys: 0,
    emptyValues: 0,
    largeValues: 0,
    outOfRange: 0,
  };
  const checked: CheckedDump = {
    path,
    format: "current",
    bytes: 0,
    counts: none,
    sideRecords: undefined,
    damage: undefined,
  };
  try {
    const { header, identity, counts } = await readTcm({ ...everything, disk, path, onNotes });
    Object.assign(checked, { format: header === 0n ? "current" : "counted", bytes: identity.bytes, counts });
    checked.sideRecords = await checkSide(disk, path, identity);
  } catch (error) {
    if (!(error instanceof NxError) || !["NX_DATA_CORRUPT", "NX_DATA_VERSION"].includes(error.code))
      throw error;
    checked.damage = error.message;
  }
  return checked;
}

async function checkSide(disk: Disk, path: string, tcm: TcmIdentity): Promise<number | undefined> {
  const side = join(dirname(path), sideName(basename(path).replace(/\.tcm$/, "")));
  if (!path.endsWith(".tcm") || !(await disk.exists(side))) return undefined;
  const reader = await SideReader.open(disk, side);
  try {
    await reader.readBlocks((block) => applySideBlock(undefined, block, 0, false));
    if (reader.belongsTo(tcm)) return reader.header.records;
    throw new NxError(
      "NX_DATA_CORRUPT",
      `${side} does not belong to ${path}: one of them was replaced or damaged`,
    );
  } finally {
    await reader.close();
  }
}
