/** A log made of chance, for tests and measurements: writes, discards, zeros and padding in packs of any length. */
import type { Random } from "../../core/seams/random.ts";
import { writeLogFileHeader } from "../../native/blocks.ts";
import type { ByteSink } from "../formats/bytes.ts";
import { buildPack, endMark } from "../formats/log-packs.ts";
import { BLOCK_BYTES, NO_LSID } from "../formats/units.ts";

export interface LogGenOptions {
  deviceBytes: number;
  /** Of one write and one discard, in bytes. */
  ioBytes: [min: number, max: number];
  discardBytes: [min: number, max: number];
  physicalBytes: 512 | 4096;
  packBytesMax: number;
  logBytes: number;
  firstLsid: bigint;
  hasPadding: boolean;
  hasDiscards: boolean;
  hasZeros: boolean;
  /** Random bytes instead of nearly zero ones. */
  isRandom: boolean;
}

export async function generateLog(random: Random, options: LogGenOptions, sink: ByteSink): Promise<bigint> {
  const { physicalBytes, firstLsid, logBytes } = options;
  const salt = random.integer(2 ** 32);
  const uuid = random.bytes(16);
  await sink.append(writeLogFileHeader({ salt, physicalBytes, uuid, firstLsid, endLsid: NO_LSID }));
  let lsid = firstLsid;
  for (let done = 0; done < logBytes;) {
    const pack = buildPack(lsid, physicalBytes, salt, recordsOf(random, options));
    await sink.append(pack);
    done += pack.byteLength;
    lsid += BigInt(pack.byteLength / physicalBytes);
  }
  await sink.append(endMark(physicalBytes, salt));
  return lsid;
}

type NewRecord = Parameters<typeof buildPack>[3][number];

function recordsOf(random: Random, options: LogGenOptions): NewRecord[] {
  const { physicalBytes, deviceBytes, packBytesMax } = options;
  const deviceBlocks = Math.max(1, Math.floor(deviceBytes / BLOCK_BYTES));
  const blocksOf = ([min, max]: [number, number]) => {
    const least = Math.max(1, Math.ceil(min / BLOCK_BYTES));
    const most = Math.max(least, Math.floor(max / BLOCK_BYTES));
    return Math.min(deviceBlocks, least + random.integer(most - least + 1));
  };
  const wished = 1 + random.integer(Math.floor((physicalBytes - 24) / 32));
  const paddingAt = options.hasPadding && random.integer(10) === 0 ? random.integer(wished) : -1;
  const records: NewRecord[] = [];
  let bytes = 0;
  for (let index = 0; index < wished && (index === 0 || bytes < packBytesMax); index++) {
    if (index === paddingAt) {
      const blocks = (1 + random.integer(8)) * (physicalBytes / BLOCK_BYTES);
      records.push({ address: 0, blocks, isDiscard: false, isPadding: true });
      bytes += blocks * BLOCK_BYTES;
      continue;
    }
    const isDiscard = options.hasDiscards && random.integer(5) === 0;
    const blocks = isDiscard ? blocksOf(options.discardBytes) : Math.min(65535, blocksOf(options.ioBytes));
    const address = random.integer(deviceBlocks - blocks + 1);
    if (isDiscard) {
      records.push({ address, blocks, isDiscard, isPadding: false });
      continue;
    }
    records.push({ address, blocks, isDiscard, isPadding: false, data: contentOf(random, options, blocks) });
    bytes += blocks * BLOCK_BYTES;
    if (bytes / physicalBytes > 32_768) break;
  }
  return records;
}

function contentOf(random: Random, { isRandom, hasZeros }: LogGenOptions, blocks: number): Uint8Array {
  if (hasZeros && random.integer(10) === 0) return new Uint8Array(blocks * BLOCK_BYTES);
  if (isRandom) return random.bytes(blocks * BLOCK_BYTES);
  const content = new Uint8Array(blocks * BLOCK_BYTES);
  // Each block differs from the others, and none is all zero.
  const view = new DataView(content.buffer);
  for (let at = 0; at < content.byteLength; at += BLOCK_BYTES)
    view.setUint32(at, 1 + random.integer(2 ** 32 - 1), true);
  return content;
}
