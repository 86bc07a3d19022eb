/**
 * What a start finds in the log of a volume: the packs behind what the data file has, up to the first one that is not
 * whole.
 *
 * Invariant: a pack of which a record is damaged is cut before that record, on disk too. What lies behind the end and looks like
 * a continuation (packs that reached the disk while one before them did not) is destroyed before anything is written:
 * otherwise a later crash could bring writes back that were lost in this one.
 */
import { checkLogPack } from "../../native/blocks.ts";
import type { VolumeLog } from "../../native/volume.ts";
import type { LogDevice } from "../formats/log-device.ts";
import { isWhole, packOf } from "../formats/log-packs.ts";
import { shrunk } from "../tools/log-device-copy.ts";

const WINDOW_BYTES = 1 << 20;

export interface Recovered {
  end: bigint;
  packs: number;
  /** Packs of which a part, or all, was not whole. */
  cut: number;
  /** Headers behind the end that were destroyed. */
  destroyed: number;
}

/** Reads the log from the written lsid on into `log`. `staleBlocks`: so far behind the end unsynced packs can lie. */
export async function recover(device: LogDevice, log: VolumeLog, staleBlocks: number): Promise<Recovered> {
  const { physicalBytes, salt, ringBlocks, writtenLsid } = device.superBlock;
  const result: Recovered = { end: writtenLsid, packs: 0, cut: 0, destroyed: 0 };
  const windowBlocks = Math.min(WINDOW_BYTES / physicalBytes, Number(ringBlocks));
  let isAtEnd = false;
  while (!isAtEnd && result.end - writtenLsid < ringBlocks) {
    let window = await device.read(result.end, windowBlocks);
    let at = 0;
    for (;;) {
      const header = window.subarray(at, at + physicalBytes);
      if (header.byteLength < physicalBytes) break;
      isAtEnd = checkLogPack(header, physicalBytes, salt, result.end) <= 0;
      if (isAtEnd) break;
      const blocks = 1 + new DataView(header.buffer, header.byteOffset).getUint16(6, true);
      if (at > 0 && at + blocks * physicalBytes > window.byteLength) break;
      if (blocks > windowBlocks) window = await device.read(result.end, blocks);
      const pack = packOf(window.subarray(at, at + blocks * physicalBytes), physicalBytes);
      const damaged = pack.records.findIndex((record) => !isWhole(pack, record, physicalBytes, salt));
      if (damaged >= 0) {
        result.cut += 1;
        isAtEnd = true;
        if (damaged === 0) break;
      }
      const kept = damaged < 0 ? pack.bytes : shrunk(pack, damaged, physicalBytes, salt);
      if (damaged >= 0) await device.write(result.end, kept.subarray(0, physicalBytes));
      log.found(kept.subarray(0, physicalBytes));
      result.packs += 1;
      result.end += BigInt(kept.byteLength / physicalBytes);
      at += kept.byteLength;
      if (isAtEnd) break;
    }
  }
  result.destroyed = await destroyStale(device, result.end, Math.min(staleBlocks, Number(ringBlocks)));
  // What was found in memory may not be on disk: a killed process leaves it to the kernel.
  await device.sync();
  return result;
}

async function destroyStale(device: LogDevice, end: bigint, blocks: number): Promise<number> {
  const { physicalBytes, salt } = device.superBlock;
  const windowBlocks = WINDOW_BYTES / physicalBytes;
  const zeros = new Uint8Array(physicalBytes);
  let destroyed = 0;
  for (let done = 0; done < blocks; done += windowBlocks) {
    const window = await device.read(end + BigInt(done), Math.min(windowBlocks, blocks - done));
    const view = new DataView(window.buffer);
    for (let at = 0; at < window.byteLength; at += physicalBytes) {
      const lsid = end + BigInt(done + at / physicalBytes);
      if (view.getUint16(at + 4, true) !== 3 || view.getBigUint64(at + 8, true) !== lsid) continue;
      if (checkLogPack(window.subarray(at, at + physicalBytes), physicalBytes, salt, lsid) <= 0) continue;
      await device.write(lsid, zeros);
      destroyed += 1;
    }
  }
  return destroyed;
}
