/**
 * The checksums of an image while diffs are written into it: CRC-32C of each 256 KiB, as formats/side-file.ts keeps them.
 *
 * Invariant: a chunk is compared with its checksum before what is written is laid over it, so damage is not given a new
 * one. Memory: one chunk, and 5 bytes for each chunk of the image (20 MiB for 1 TiB).
 */
import { NxError } from "../../core/errors.ts";
import type { Disk } from "../../core/seams/disk.ts";
import { crc32c } from "../../native/crc32c.ts";
import type { Runs } from "../formats/diff-merge.ts";
import type { DiscardRule } from "../formats/image.ts";
import { decodeSide, encodeSide, readSide } from "../formats/side-file.ts";
import { BLOCK_BYTES } from "../formats/units.ts";
import type { OpenImage } from "./images/back-end.ts";

export const CHUNK_BYTES = 256 << 10;

/** One for each chunk of an image; of those that are not known, `known` is 0. */
export interface KnownSums {
  sums: Uint32Array;
  known: Uint8Array;
}

export function unknownSums({ bytes }: OpenImage): KnownSums {
  const chunks = Math.ceil(bytes / CHUNK_BYTES);
  return { sums: new Uint32Array(chunks), known: new Uint8Array(chunks) };
}

/** Of an image that may have grown: the chunk in which it ended, and those behind it, are not known. */
export async function sumsOf(disk: Disk, path: string, image: OpenImage): Promise<KnownSums> {
  const bytes = await readSide(disk, path);
  const side = bytes && decodeSide(bytes);
  if (side === undefined || side.chunkBytes !== CHUNK_BYTES)
    throw new NxError("NX_DATA_CORRUPT", `${path} is damaged: it is not what was written`, {
      hint: "`node-x walb verify` tells whether anything else is; removed, it is made anew with the next apply",
    });
  const whole = side.fileBytes === image.bytes ? side.sums.length : Math.floor(side.fileBytes / CHUNK_BYTES);
  const result = unknownSums(image);
  const count = Math.min(whole, result.sums.length);
  result.sums.set(side.sums.subarray(0, count));
  result.known.fill(1, 0, count);
  return result;
}

export class ImageSums {
  readonly #image: OpenImage;
  readonly #sums: Uint32Array;
  readonly #known: Uint8Array;
  /** What an interrupted change wrote is not what its checksum says. */
  readonly #isInDoubt: boolean;
  readonly #chunk = new Uint8Array(CHUNK_BYTES);
  #index = -1;

  constructor(image: OpenImage, { sums, known }: KnownSums, isInDoubt = false) {
    this.#image = image;
    this.#sums = sums;
    this.#known = known;
    this.#isInDoubt = isInDoubt;
  }

  get #chunks(): number {
    return this.#sums.length;
  }

  #bytesOf(index: number): number {
    return Math.min(CHUNK_BYTES, this.#image.bytes - index * CHUNK_BYTES);
  }

  /** Takes the chunk as it is in the image, and throws NX_DATA_CORRUPT when it is not what was written. */
  async #open(index: number): Promise<void> {
    if (index === this.#index) return;
    this.#close();
    const part = this.#chunk.subarray(0, this.#bytesOf(index));
    await this.#image.file.read(part, index * CHUNK_BYTES);
    const isCompared = !this.#isInDoubt && this.#known[index] === 1;
    if (isCompared && crc32c(part) !== this.#sums[index])
      throw new NxError(
        "NX_DATA_CORRUPT",
        `${this.#image.path} is damaged at byte ${index * CHUNK_BYTES} or in the 256 KiB behind it`,
        { hint: "replicate the volume anew from another archive, or take a full backup" },
      );
    this.#index = index;
  }

  #close(): void {
    if (this.#index < 0) return;
    this.#sums[this.#index] = crc32c(this.#chunk.subarray(0, this.#bytesOf(this.#index)));
    this.#known[this.#index] = 1;
    this.#index = -1;
  }

  /** What is going to be written, in rising order; to be awaited before it is. */
  async overlay({ runs, data }: Runs, rule: DiscardRule): Promise<void> {
    for (const { address, blocks, kind, data: from } of runs) {
      if (kind === "discard" && rule === "ignore") continue;
      const [start, end] = [address * BLOCK_BYTES, (address + blocks) * BLOCK_BYTES];
      for (let at = start; at < end;) {
        const index = Math.floor(at / CHUNK_BYTES);
        const within = at - index * CHUNK_BYTES;
        const length = Math.min(end - at, CHUNK_BYTES - within);
        if (index >= this.#chunks) return; // beyond the image: whoever writes refuses it
        await this.#open(index);
        if (kind === "normal")
          this.#chunk.set(data.subarray(from + at - start, from + at - start + length), within);
        else this.#chunk.fill(0, within, within + length);
        at += length;
      }
    }
  }

  /** All runs of a pass were written: what comes next may begin in front again. */
  endPass(): void {
    this.#close();
  }

  /** The side file of the image, which is synced; what is not known is read. */
  async encode(): Promise<Uint8Array> {
    this.#close();
    for (let index = 0; index < this.#chunks; index++) {
      if (this.#known[index] === 1) continue;
      const part = this.#chunk.subarray(0, this.#bytesOf(index));
      await this.#image.file.read(part, index * CHUNK_BYTES);
      this.#sums[index] = crc32c(part);
      this.#known[index] = 1;
    }
    return encodeSide(this.#image.bytes, CHUNK_BYTES, this.#sums);
  }
}
