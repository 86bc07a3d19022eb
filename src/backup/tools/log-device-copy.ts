/**
 * A log device read into a log file, and a log file written into a log device.
 *
 * Invariant: what is read ends at the first block that is not the expected header, or at the first record whose data is
 * damaged; the records before it are kept, in a header made anew. What is written never has data across the ring's end:
 * a padding pack fills the rest of the ring first, as the driver does.
 */
import { NxError } from "../../core/errors.ts";
import { checkLogPack, saltedChecksum, writeLogFileHeader } from "../../native/blocks.ts";
import type { ByteSink } from "../formats/bytes.ts";
import { LogDevice } from "../formats/log-device.ts";
import { buildPack, dataOf, endMark, isWhole, type LogPack, packOf, readLog } from "../formats/log-packs.ts";
import { BLOCK_BYTES, NO_LSID } from "../formats/units.ts";

export interface ReadRange {
  begin: bigint;
  end: bigint;
  /** Keep a pack with damaged data as it is. */
  keepsDamaged: boolean;
  ignoresOldest: boolean;
}

/** A pack with only its first `count` records. */
export function shrunk(pack: LogPack, count: number, physicalBytes: number, salt: number): Uint8Array {
  const kept = pack.records.slice(0, count);
  const total = kept.reduce((sum, { physicalBlocks }) => sum + physicalBlocks, 0);
  const bytes = pack.bytes.slice(0, (1 + total) * physicalBytes);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0, true);
  view.setUint16(6, total, true);
  view.setUint16(16, count, true);
  view.setUint16(18, kept.filter(({ isPadding }) => isPadding).length, true);
  bytes.fill(0, 24 + 32 * count, physicalBytes);
  view.setUint32(0, saltedChecksum(bytes.subarray(0, physicalBytes), salt), true);
  return bytes;
}

/** The packs of a device, each whole, in the order of their lsids. */
export async function* packsOfDevice(device: LogDevice, range: ReadRange): AsyncGenerator<LogPack> {
  const { physicalBytes, salt, oldestLsid, ringBlocks } = device.superBlock;
  const start = range.ignoresOldest || range.begin > oldestLsid ? range.begin : oldestLsid;
  for (let lsid = start; lsid < range.end && lsid - start < ringBlocks;) {
    const header = await device.read(lsid, 1);
    if (checkLogPack(header, physicalBytes, salt, lsid) <= 0) return;
    const total = new DataView(header.buffer).getUint16(6, true);
    const pack = packOf(await device.read(lsid, 1 + total), physicalBytes);
    const damaged = pack.records.findIndex((record) => !isWhole(pack, record, physicalBytes, salt));
    if (damaged >= 0 && !range.keepsDamaged) {
      if (damaged > 0) yield packOf(shrunk(pack, damaged, physicalBytes, salt), physicalBytes);
      return;
    }
    yield pack;
    lsid += 1n + BigInt(total);
  }
}

/** Writes the log of a device as a log file; returns where it ended. */
export async function readDevice(device: LogDevice, range: ReadRange, sink: ByteSink): Promise<bigint> {
  const { physicalBytes, salt, uuid, oldestLsid } = device.superBlock;
  const firstLsid = range.ignoresOldest || range.begin > oldestLsid ? range.begin : oldestLsid;
  await sink.append(writeLogFileHeader({ salt, physicalBytes, uuid, firstLsid, endLsid: range.end }));
  let lsid = firstLsid;
  for await (const pack of packsOfDevice(device, range)) {
    await sink.append(pack.bytes);
    lsid = pack.lsid + 1n + BigInt(pack.total);
  }
  await sink.append(endMark(physicalBytes, salt));
  return lsid;
}

export interface RestoreOptions {
  begin: bigint;
  end: bigint;
  /** Added to every lsid. */
  lsidDiff: bigint;
  /** This pack header is destroyed afterwards. */
  invalidLsid: bigint | undefined;
  /** What lies beyond this end is left out; undefined takes all. In blocks of 512 bytes. */
  deviceBlocks: number | undefined;
  isVerified: boolean;
}

export interface Restored {
  wlog: [first: bigint, end: bigint];
  ring: [first: bigint, end: bigint];
  /** Of the last pack: padding moves what follows it. */
  endDiff: bigint;
}

/** The same pack with another lsid. */
function movedTo(pack: LogPack, lsid: bigint, physicalBytes: number, salt: number): Uint8Array {
  const bytes = pack.bytes.slice();
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0, true);
  view.setBigUint64(8, lsid, true);
  pack.records.forEach(({ position }, index) =>
    view.setBigUint64(24 + 32 * index + 24, lsid + BigInt(position), true),
  );
  view.setUint32(0, saltedChecksum(bytes.subarray(0, physicalBytes), salt), true);
  return bytes;
}

/** The pack without what lies beyond the data device; itself where nothing does. */
function clipped(
  pack: LogPack,
  deviceBlocks: number | undefined,
  physicalBytes: number,
  salt: number,
): LogPack {
  const end = deviceBlocks ?? Number.POSITIVE_INFINITY;
  if (pack.records.every(({ isPadding, address, blocks }) => isPadding || address + blocks <= end))
    return pack;
  const inside = pack.records
    .filter(({ isPadding, address }) => isPadding || address < end)
    .map((record) => {
      // It gets a checksum of its own, which must not make damage look sound.
      if (!isWhole(pack, record, physicalBytes, salt))
        throw new NxError("NX_DATA_CORRUPT", `the data of the pack at lsid ${pack.lsid} is damaged`);
      const blocks = record.isPadding ? record.blocks : Math.min(record.blocks, end - record.address);
      const data = dataOf(pack, record, physicalBytes).subarray(0, blocks * BLOCK_BYTES);
      return { ...record, blocks, data };
    });
  return packOf(buildPack(pack.lsid, physicalBytes, salt, inside), physicalBytes);
}

/** Writes a log file into a device whose super block is sound, which then has the log's salt and uuid. */
export async function restoreDevice(
  name: string,
  log: AsyncIterable<Uint8Array>,
  device: LogDevice,
  options: RestoreOptions,
): Promise<Restored> {
  const { header, packs } = await readLog(name, log);
  const { physicalBytes, salt, uuid } = header;
  if (physicalBytes !== device.physicalBytes) {
    throw new NxError(
      "NX_INPUT_INVALID",
      `${name} has blocks of ${physicalBytes}, the device of ${device.physicalBytes}`,
    );
  }
  const { ringBlocks } = device.superBlock;
  let next: bigint | undefined;
  let first: bigint | undefined;
  let wlogEnd = header.firstLsid;
  const write = async (bytes: Uint8Array, lsid: bigint) => {
    await device.write(lsid, bytes);
    if (!options.isVerified) return;
    const again = await device.read(lsid, bytes.byteLength / physicalBytes);
    if (!Buffer.from(again).equals(bytes))
      throw new NxError("NX_DISK_FAILED", `lsid ${lsid} reads back other than it was written`);
  };
  for await (const whole of packs) {
    if (whole.lsid < options.begin) continue;
    if (whole.lsid >= options.end) break;
    const pack = clipped(whole, options.deviceBlocks, physicalBytes, salt);
    wlogEnd = whole.lsid + 1n + BigInt(whole.total);
    if (pack.records.length === 0) continue;
    next ??= pack.lsid + options.lsidDiff;
    first ??= next;
    const length = 1n + BigInt(pack.total);
    if (length > ringBlocks || next + length - first > ringBlocks) {
      throw new NxError("NX_INPUT_INVALID", `the log does not fit into the ring of ${ringBlocks} blocks`, {
        hint: "restore a part of it with -b and -e, or take a larger log device",
      });
    }
    const left = ringBlocks - (next % ringBlocks);
    if (left < length) {
      const blocks = (Number(left) - 1) * (physicalBytes / BLOCK_BYTES);
      const filler = { address: 0, blocks, isDiscard: false, isPadding: true };
      await write(buildPack(next, physicalBytes, salt, [filler]), next);
      next += left;
    }
    await write(movedTo(pack, next, physicalBytes, salt), next);
    next += length;
  }
  first ??= header.firstLsid + options.lsidDiff;
  next ??= first;
  if (options.invalidLsid !== undefined)
    await device.write(options.invalidLsid, new Uint8Array(physicalBytes));
  // The block behind the log must not look like its continuation.
  else if (next - first < ringBlocks) await device.write(next, new Uint8Array(physicalBytes));
  await device.writeSuperBlock({ ...device.superBlock, salt, uuid, oldestLsid: first, writtenLsid: first });
  await device.sync();
  return { wlog: [header.firstLsid, wlogEnd], ring: [first, next], endDiff: next - wlogEnd };
}

export const anyLsid = NO_LSID;
