/**
 * Images of a volume as streams of chunks: the base alone, or any point in time as base and diffs together.
 *
 * Invariant: what is read stays readable while an apply or a merge beside us removes diffs: their files are held open.
 */
import { NxError } from "../../core/errors.ts";
import { murmur3 } from "../../native/blocks.ts";
import { chainFrom, chainTo, type MetaDiff, type Snapshot } from "../algebra/snapshot.ts";
import { type ByteSource, fileSource } from "../formats/bytes.ts";
import type { Diff } from "../formats/diff-merge.ts";
import { BLOCK_BYTES } from "../formats/units.ts";
import { virtualImage } from "../tools/virtual-image.ts";
import type { ArchiveVolume } from "./volume.ts";

async function* readingBase(
  volume: ArchiveVolume,
  read: (base: ByteSource) => AsyncGenerator<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const base = await volume.world.images.openBase(volume.name, "read");
  try {
    yield* read(fileSource(base.path, base.file, base.bytes));
  } finally {
    await base.file.close();
  }
}

/**
 * The diffs that lead to a point, from the base or from an image at `from`. Throws when the point is not there: the newest one
 * before it would be taken for it. To be asked when no diff can change any more before all are open.
 */
export function chainToPoint(volume: ArchiveVolume, gid: bigint, from?: Snapshot): MetaDiff[] {
  const { base, diffs, name } = volume;
  const isBetween = base.isApplying && gid < base.to.begin;
  const chain = isBetween ? undefined : chainTo(from ?? base.from, diffs.all, gid);
  if (chain !== undefined) return chain;
  throw new NxError("NX_NOT_READY", `${name} has no point ${gid}`, {
    hint: "it was merged away, applied, or has not come yet; `get restorable VOL all` lists those that there are",
  });
}

/**
 * The chunks of the image at `gid`, or of the newest one; discards read as zeros, whatever the option says. Throws when an
 * apply beside it goes beyond that point.
 */
export function imageAt(
  volume: ArchiveVolume,
  gid: bigint | undefined,
  chunkBytes: number,
): AsyncGenerator<Uint8Array> {
  return readingBase(volume, async function* (base) {
    const chain = () =>
      gid === undefined ? chainFrom(volume.base.from, volume.diffs.all) : chainToPoint(volume, gid);
    const opened = openChain(volume, chain);
    try {
      for await (const chunk of virtualImage(base, await opened.open, { chunkBytes })) {
        if (gid !== undefined && volume.base.to.begin > gid)
          throw new NxError("NX_NOT_READY", `${volume.name}: the base has been applied to beyond ${gid}`, {
            hint: "read a later point",
          });
        yield chunk;
      }
    } finally {
      opened.close();
      await opened.closed;
    }
  });
}

/** Bulks of the base image alone. */
export function baseBulks(
  volume: ArchiveVolume,
  bulkBlocks: number,
  fromBlock = 0,
): AsyncGenerator<Uint8Array> {
  const options = { chunkBytes: bulkBlocks * BLOCK_BYTES, from: fromBlock * BLOCK_BYTES };
  return readingBase(volume, (base) => virtualImage(base, [], options));
}

/** The first `blocks` of an image: a base may be larger than the volume. */
export async function* firstBlocks(
  chunks: AsyncIterable<Uint8Array>,
  blocks: number,
): AsyncGenerator<Uint8Array> {
  let left = blocks * BLOCK_BYTES;
  for await (const chunk of chunks) {
    if (left <= 0) return;
    yield chunk.subarray(0, left);
    left -= chunk.byteLength;
  }
}

/** Diffs that stay open until `close` is called. */
function openChain(volume: ArchiveVolume, chain: () => readonly MetaDiff[]) {
  const done = Promise.withResolvers<void>();
  const ready = Promise.withResolvers<Diff[]>();
  const closed = volume.diffs
    .withOpen(chain, async (open) => {
      ready.resolve(open);
      await done.promise;
    })
    .catch((error: unknown) => ready.reject(error));
  return { open: ready.promise, close: () => done.resolve(), closed };
}

/** XOR of the hashes of all chunks, each seeded with its number. */
export async function hashOf(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const hash = new Uint8Array(16);
  let index = 0;
  for await (const chunk of chunks) {
    const part = murmur3(chunk, index++);
    for (let at = 0; at < 16; at++) hash[at] = (hash[at] as number) ^ (part[at] as number);
  }
  return hash;
}
