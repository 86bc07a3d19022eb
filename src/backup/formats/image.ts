/**
 * Writing stretches of a volume into its image, and what happens to discards there.
 *
 * Invariant: stretches that are written at the same time do not overlap. Nothing is durable before the image is synced, which
 * `ImageWriter.finish` does and `writeRuns` leaves to its caller.
 */
import { NxError } from "../../core/errors.ts";
import type { Disk, DiskFile } from "../../core/seams/disk.ts";
import { type FilePair, openPair, stretchesOf } from "../../core/seams/file-pair.ts";
import { OwnedBuffer } from "../../native/blocks.ts";
import { StretchSource } from "../../native/stretches.ts";
import type { Runs } from "./diff-merge.ts";
import { EarlySync } from "./early-sync.ts";
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
/** The disk begins with what was written when it is so much. */
const SYNC_BYTES = 16 << 20;

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

function demandRunsInside(runs: Runs["runs"], blocks: number): void {
  const beyond = runs.find((run) => run.address + run.blocks > blocks);
  if (beyond !== undefined) throw beyondEnd(beyond.address, beyond.blocks, blocks);
}

/** Throws NX_DATA_CORRUPT when a stretch of a list ends behind the image. */
export function demandStretchesInside(list: Uint8Array, blocks: number): void {
  const beyond = stretchesOf(list).find(({ to, length }) => to + length > blocks * BLOCK_BYTES);
  if (beyond !== undefined) throw beyondEnd(beyond.to / BLOCK_BYTES, beyond.length / BLOCK_BYTES, blocks);
}

/** Runs as a list of stretches that are written from their data; what the rule ignores is left out. */
function stretchesFor(runs: Runs["runs"], rule: DiscardRule): Uint8Array {
  const written = runs.filter(({ kind }) => kind !== "discard" || rule !== "ignore");
  const words = new BigUint64Array(written.length * 4);
  written.forEach(({ address, blocks, kind, data }, index) => {
    words[4 * index] = BigInt(kind === "normal" ? StretchSource.log : StretchSource.zero);
    words[4 * index + 1] = BigInt(data);
    words[4 * index + 2] = BigInt(blocks * BLOCK_BYTES);
    words[4 * index + 3] = BigInt(address * BLOCK_BYTES);
  });
  return new Uint8Array(words.buffer);
}

/**
 * Writes parts one after the other, each while the next is made: what is handed over is copied. Zeros become holes where
 * the file system has them.
 */
export class ImageWriter {
  readonly #target: ImageTarget;
  readonly #rule: DiscardRule;
  readonly #pair: FilePair;
  readonly #memory = new OwnedBuffer();
  readonly #early: EarlySync | undefined;
  #writing: Promise<void> = Promise.resolve();
  #sinceSync = 0;

  /** `isKept`: what is written must survive; a file that goes with the process need not be synced. */
  constructor(disk: Disk, target: ImageTarget, rule: DiscardRule, { isKept = true } = {}) {
    this.#target = target;
    this.#rule = rule;
    this.#pair = openPair(disk, target.file, target.file);
    this.#early = isKept ? new EarlySync(target.file) : undefined;
  }

  /** Throws NX_DATA_CORRUPT for a run beyond the end, or what the part before ended with. */
  async write({ runs, data }: Runs): Promise<void> {
    demandRunsInside(runs, this.#target.blocks);
    await this.#writing;
    this.#sinceSync += data.byteLength;
    if (this.#sinceSync >= SYNC_BYTES) {
      this.#sinceSync = 0;
      this.#early?.begin();
    }
    this.#memory.resize(data.byteLength);
    this.#memory.view().set(data);
    this.#writing = this.#pair.write(this.#memory, stretchesFor(runs, this.#rule));
    // Its failure is heard with the next part, or by `finish`.
    this.#writing.catch(() => undefined);
  }

  /** All is written and synced. */
  async finish(): Promise<void> {
    await this.#writing;
    await this.#early?.finish();
  }

  /** However it ends, no write is under way any more. */
  async close(): Promise<void> {
    await this.#writing.catch(() => undefined);
    await this.#early?.settled();
    this.#pair.close();
    this.#memory.free();
  }
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
  demandRunsInside(runs, blocks);
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
