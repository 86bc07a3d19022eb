/**
 * What a base image has gained by growing, written with zeros where the back end does not give zeros.
 *
 * A crash in between leaves a base that has grown, with whatever was on the disk before in its new part.
 */
import { BLOCK_BYTES } from "../formats/units.ts";
import type { ArchiveVolume } from "./volume.ts";

const ZEROS = new Uint8Array(1 << 20);

/** Writes zeros from this block on. */
export async function clearTail(volume: ArchiveVolume, fromBlock: number): Promise<void> {
  if (volume.world.images.newBaseIsZero) return;
  const { file, bytes } = await volume.world.images.openBase(volume.name, "readWrite");
  try {
    for (let offset = fromBlock * BLOCK_BYTES; offset < bytes; offset += ZEROS.byteLength) {
      volume.throwIfForced();
      await file.write(ZEROS.subarray(0, Math.min(ZEROS.byteLength, bytes - offset)), offset);
    }
    await file.sync();
  } finally {
    await file.close();
  }
}
