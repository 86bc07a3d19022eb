/**
 * A whole image becomes a diff, one record for each stretch of a fixed size; a stretch of zeros an all-zero record.
 *
 * Invariant: applied to any image of that size, the diff makes this image. Memory: 40 bytes for each stretch.
 */
import { NxError } from "../../core/errors.ts";
import { WDIFF_HEADER_BYTES, writeWdiffHeader } from "../../native/blocks.ts";
import { LogReader } from "../../native/log-reader.ts";
import { type ByteSink, Spool } from "./bytes.ts";
import { openDiff, writeMerged } from "./diff-merge.ts";
import type { SortedOptions } from "./log-to-diff.ts";
import { BLOCK_BYTES } from "./units.ts";

export interface ImageToDiffOptions extends Omit<SortedOptions, "blocksMax"> {
  ioBytes: number;
  isIndexed: boolean;
}

const NO_UUID = new Uint8Array(16);

/** Chunks of any length as chunks of a multiple of `unit` bytes, but for the last. */
export async function* inUnits(chunks: AsyncIterable<Uint8Array>, unit: number): AsyncGenerator<Uint8Array> {
  let rest: Uint8Array = new Uint8Array(0);
  for await (const chunk of chunks) {
    const bytes = rest.byteLength === 0 ? chunk : Buffer.concat([rest, chunk]);
    const whole = bytes.byteLength - (bytes.byteLength % unit);
    if (whole > 0) yield bytes.subarray(0, whole);
    rest = bytes.slice(whole);
  }
  if (rest.byteLength > 0) yield rest;
}

/** Returns the blocks of the image. */
export async function imageToDiff(
  name: string,
  image: AsyncIterable<Uint8Array>,
  sink: ByteSink,
  options: ImageToDiffOptions,
): Promise<number> {
  const { compression, ioBytes, isIndexed, disk, random, spoolDirectory } = options;
  const reader = new LogReader({
    codec: compression.id,
    level: compression.level,
    outOffset: WDIFF_HEADER_BYTES,
  });
  const spool = isIndexed ? undefined : new Spool(disk, random, spoolDirectory);
  const target = spool ?? sink;
  let address = 0;
  try {
    await target.append(writeWdiffHeader("indexed", NO_UUID));
    for await (const chunk of inUnits(image, ioBytes)) {
      if (chunk.byteLength % BLOCK_BYTES !== 0) {
        throw new NxError("NX_INPUT_INVALID", `${name} does not end at a block of ${BLOCK_BYTES} bytes`, {
          hint: "an image of a volume is whole blocks; was it cut?",
        });
      }
      reader.addImage(address, chunk, ioBytes / BLOCK_BYTES);
      address += chunk.byteLength / BLOCK_BYTES;
      await target.append(reader.out.view());
      reader.taken();
    }
    reader.index(isIndexed ? 2048 : 0);
    await target.append(reader.out.view());
    if (spool === undefined) return address;
    const diff = await openDiff(spool.source(name));
    await writeMerged([diff], NO_UUID, sink, { compression, blocksMax: 0 });
    return address;
  } finally {
    reader.free();
    await spool?.close();
  }
}
