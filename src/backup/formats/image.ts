/**
 * Writing stretches of a volume into its image, and what happens to discards there.
 *
 * Invariant: stretches that are written at the same time do not overlap. Nothing is durable before the image is synced.
 */
import { NxError } from "../../core/errors.ts";
import type { DiskFile } from "../../core/seams/disk.ts";
import type { Runs } from "./diff-merge.ts";
import { BLOCK_BYTES } from "./units.ts";

/** `ignore` leaves what was there, `zero` makes it zeros, `passdown` gives the space back (it then reads as zeros). */
export type DiscardRule = "ignore" | "zero" | "passdown";

export interface ImageTarget {
  file: DiskFile;
  blocks: number;
}

/** Writes under way at once. */
const WRITES_MAX = 32;
const ZEROS = new Uint8Array(1 << 20);

/** Gives the space back where that can be; zeros are read either way. */
async function passDown(file: DiskFile, offset: number, bytes: number): Promise<void> {
  if ((await file.punch?.(offset, bytes)) !== true) await writeZeros(file, offset, bytes);
}

async function writeZeros(file: DiskFile, offset: number, bytes: number): Promise<void> {
  for (let done = 0; done < bytes; done += ZEROS.byteLength)
    await file.write(ZEROS.subarray(0, Math.min(ZEROS.byteLength, bytes - done)), offset + done);
}

/** A record ends behind the image. */
export function beyondEnd(address: number, blocks: number, imageBlocks: number): NxError {
  return new NxError(
    "NX_DATA_CORRUPT",
    `a record at block ${address} with ${blocks} blocks ends beyond the image of ${imageBlocks} blocks`,
    { hint: "is this the image of that volume, and was the volume grown since?" },
  );
}

/**
 * Writes all runs; resolves when each was taken by the file. Throws NX_DATA_CORRUPT for one beyond the end, before anything is
 * written. However it ends, no write is under way any more: the file may be closed, and its descriptor be another's.
 */
export async function writeRuns(
  { file, blocks }: ImageTarget,
  { runs, data }: Runs,
  rule: DiscardRule,
): Promise<void> {
  const beyond = runs.find((run) => run.address + run.blocks > blocks);
  if (beyond !== undefined) throw beyondEnd(beyond.address, beyond.blocks, blocks);
  let pending: Promise<void>[] = [];
  const settle = async () => {
    const results = await Promise.allSettled(pending);
    pending = [];
    const failed = results.find(({ status }) => status === "rejected");
    if (failed?.status === "rejected") throw failed.reason;
  };
  for (const run of runs) {
    if (run.kind === "discard" && rule === "ignore") continue;
    const [offset, bytes] = [run.address * BLOCK_BYTES, run.blocks * BLOCK_BYTES];
    pending.push(
      run.kind === "normal"
        ? file.write(data.subarray(run.data, run.data + bytes), offset)
        : run.kind === "discard" && rule === "passdown"
          ? passDown(file, offset, bytes)
          : writeZeros(file, offset, bytes),
    );
    if (pending.length >= WRITES_MAX) await settle();
  }
  await settle();
}
