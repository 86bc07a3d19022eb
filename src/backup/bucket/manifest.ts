/**
 * The manifest of one volume in a bucket: what can be restored from there. `VOL/manifest`, in the serializer's format:
 *
 *   8 bytes     "NXBUCKET"
 *   u32         version = 1
 *   u64         its number: one more each time it is written
 *   text        who writes it: the archive's name
 *   text        what discards do to images: ignore, zero or passdown
 *   16, 16      uuid of the log, and of the lineage
 *   State       where the base image stands
 *   Object      the base image's table of parts
 *   u64         bytes of the volume; what the table does not reach reads as zeros
 *   u64         diffs, then for each: Diff, Object (its table of parts)
 *   u64         files that are not used any more, then for each: u64 seconds since 1970, Object (the table of parts)
 *   u32 fixed   CRC-32C of everything before
 *
 *   Object      SHA-256 (32), u32 CRC-32C, u64 bytes
 *
 * Invariant: it is written after everything that it names, and replaced whole, so a reader never sees half an upload. An
 * object leaves the bucket only after the manifest has called its file unused.
 */
import { NxError } from "../../core/errors.ts";
import { crc32c } from "../../native/crc32c.ts";
import type { MetaDiff, MetaState } from "../algebra/snapshot.ts";
import type { DiscardRule } from "../formats/image.ts";
import { MemoryFeed, Reader, Writer } from "../wire/serial.ts";
import { readDiff, readState, writeDiff, writeState } from "../wire/values.ts";
import type { ObjectRef } from "./part-table.ts";

const MAGIC = "NXBUCKET";
const VERSION = 1;
const ENTRIES_MAX = 1 << 20;
const TABLE_BYTES_MAX = 1 << 30;
const TIME_MAX = 253402300799;
export const MANIFEST_BYTES_MAX = 256 << 20;

export interface StoredDiff {
  diff: MetaDiff;
  table: ObjectRef;
}

export interface DroppedFile {
  /** Seconds since 1970. */
  time: number;
  table: ObjectRef;
}

export interface Manifest {
  number: number;
  writer: string;
  discard: DiscardRule;
  uuid: Uint8Array;
  archiveUuid: Uint8Array;
  base: MetaState;
  baseTable: ObjectRef;
  imageBytes: number;
  diffs: readonly StoredDiff[];
  dropped: readonly DroppedFile[];
}

export const manifestKey = (volume: string): string => `${volume}/manifest`;

function writeRef(writer: Writer, { sha256, crc32c: sum, bytes }: ObjectRef): Writer {
  return writer.raw(Buffer.from(sha256, "hex")).u32(sum).u64(bytes);
}

async function readRef(reader: Reader): Promise<ObjectRef> {
  const sha256 = Buffer.from(await reader.raw(32)).toString("hex");
  return {
    sha256,
    crc32c: await reader.u32(),
    bytes: await reader.count(TABLE_BYTES_MAX, "a table's bytes"),
  };
}

export function encodeManifest(manifest: Manifest): Uint8Array {
  const { number, writer: who, discard, uuid, archiveUuid, base, baseTable, diffs, dropped } = manifest;
  const writer = new Writer().raw(Buffer.from(MAGIC)).u32(VERSION).u64(number).text(who).text(discard);
  writeRef(writeState(writer.raw(uuid).raw(archiveUuid), base), baseTable);
  writer.u64(manifest.imageBytes).u64(diffs.length);
  for (const { diff, table } of diffs) writeRef(writeDiff(writer, diff), table);
  writer.u64(dropped.length);
  for (const { time, table } of dropped) writeRef(writer.u64(time), table);
  const sum = new Uint8Array(4);
  new DataView(sum.buffer).setUint32(0, crc32c(writer.bytes), true);
  return writer.raw(sum).bytes.slice();
}

const damaged = (name: string, what: string) =>
  new NxError("NX_DATA_CORRUPT", `${name} is no whole manifest: ${what}`, {
    hint: "an earlier version of the object may be whole, where the bucket keeps versions; else the archive that writes it must begin the volume anew in another prefix",
  });

/** Throws NX_DATA_CORRUPT with `name` for anything but a whole manifest. */
export async function decodeManifest(name: string, content: Uint8Array): Promise<Manifest> {
  if (content.byteLength < MAGIC.length + 4) throw damaged(name, "it is cut short");
  const body = content.subarray(0, -4);
  const view = new DataView(content.buffer, content.byteOffset, content.byteLength);
  if (view.getUint32(body.byteLength, true) !== crc32c(body)) throw damaged(name, "its checksum is wrong");
  const feed = new MemoryFeed(body);
  const reader = new Reader(feed);
  if (Buffer.from(await reader.raw(MAGIC.length)).toString("latin1") !== MAGIC)
    throw damaged(name, "it does not begin as one");
  const version = await reader.u32();
  if (version !== VERSION) throw damaged(name, `its version is ${version}, this program knows ${VERSION}`);
  const head = {
    number: await reader.count(Number.MAX_SAFE_INTEGER, "a manifest's number"),
    writer: await reader.text(255),
    discard: (await reader.text(16)) as DiscardRule,
    uuid: await reader.raw(16),
    archiveUuid: await reader.raw(16),
    base: await readState(reader),
    baseTable: await readRef(reader),
    imageBytes: await reader.count(Number.MAX_SAFE_INTEGER, "the bytes of a volume"),
  };
  if (!["ignore", "zero", "passdown"].includes(head.discard)) throw damaged(name, "an unknown discard rule");
  const diffs: StoredDiff[] = [];
  for (let left = await reader.count(ENTRIES_MAX, "the diffs of a manifest"); left > 0; left--)
    diffs.push({ diff: await readDiff(reader), table: await readRef(reader) });
  const dropped: DroppedFile[] = [];
  for (let left = await reader.count(ENTRIES_MAX, "the unused files of a manifest"); left > 0; left--)
    dropped.push({ time: await reader.count(TIME_MAX, "a time"), table: await readRef(reader) });
  if (feed.left > 0) throw damaged(name, `${feed.left} bytes too many`);
  return { ...head, diffs, dropped };
}
