/**
 * The packs of a merge on their way to another server, compressed as that wants them. Quick compressions are done by the
 * merge itself; slow ones by threads, as many as `TYPE:LEVEL:THREADS` says, so that nobody else on the event loop waits.
 *
 * Invariant: packs keep their order; what is under way is bounded in bytes, whatever the number of threads.
 */
import { NxError } from "../../core/errors.ts";
import { ThreadCalls } from "../../core/threads/thread-calls.ts";
import { recompressPack } from "../../native/recompress.ts";
import { type Compression, compressionName, uncompressed } from "./compression.ts";
import { type Diff, mergedPacks } from "./diff-merge.ts";
import type { RecompressRequest } from "./recompress.thread.ts";

const slow = ["gzip", "lzma", "zstd"];
/** Smaller packs are not worth a thread. */
const INLINE_BYTES = 128 << 10;
const UNDER_WAY_BYTES_MAX = 64 << 20;

function sound(pack: Uint8Array | undefined): Uint8Array {
  if (pack === undefined) throw new NxError("NX_INTERNAL", "a pack of a merge is not sound");
  return pack;
}

class Threads {
  readonly #calls: ThreadCalls<RecompressRequest, Uint8Array | undefined>[] = [];
  readonly #compression: Compression;

  constructor(compression: Compression) {
    this.#compression = compression;
  }

  async compress(pack: Uint8Array): Promise<Uint8Array> {
    const { id: codec, level, threads } = this.#compression;
    if (pack.byteLength < INLINE_BYTES) return sound(recompressPack(pack, codec, level));
    const copy = pack.slice();
    return sound(await this.#thread(threads).call({ pack: copy, codec, level }, [copy.buffer]));
  }

  /** The one with the least to do; further ones are started while all have something. */
  #thread(most: number) {
    const [idlest] = [...this.#calls].sort((a, b) => a.load - b.load);
    if (idlest !== undefined && (idlest.load === 0 || this.#calls.length >= most)) return idlest;
    const started = new ThreadCalls<RecompressRequest, Uint8Array | undefined>(
      "backup/formats/recompress.thread.ts",
    );
    this.#calls.push(started);
    return started;
  }

  close(): void {
    for (const calls of this.#calls) calls.close();
  }
}

async function* recompressed(
  packs: AsyncIterable<Uint8Array>,
  compression: Compression,
): AsyncGenerator<Uint8Array> {
  const threads = new Threads(compression);
  const underWay: { bytes: number; pack: Promise<Uint8Array> }[] = [];
  let bytes = 0;
  const next = async () => {
    const first = underWay.shift() as (typeof underWay)[number];
    bytes -= first.bytes;
    return await first.pack;
  };
  try {
    for await (const pack of packs) {
      const compressing = threads.compress(pack);
      // Its failure is heard when its turn comes.
      compressing.catch(() => undefined);
      underWay.push({ bytes: pack.byteLength, pack: compressing });
      bytes += pack.byteLength;
      while (underWay.length > 2 * compression.threads + 1 || bytes > UNDER_WAY_BYTES_MAX) yield await next();
    }
    while (underWay.length > 0) yield await next();
  } finally {
    threads.close();
  }
}

/** The packs of the merge, each by itself and valid until the next. */
export function compressedPacks(diffs: readonly Diff[], compression: Compression): AsyncIterable<Uint8Array> {
  const options = { blocksMax: 0, isEachPack: true };
  if (!slow.includes(compressionName(compression.id) ?? ""))
    return mergedPacks(diffs, { ...options, compression });
  return recompressed(mergedPacks(diffs, { ...options, compression: uncompressed }), compression);
}
