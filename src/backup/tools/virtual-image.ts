/**
 * An image as it is after a chain of diffs, without writing it: the base is read from front to back, and what the diffs
 * say is laid over it. Discards read as zeros.
 *
 * Invariant: memory is one chunk of the image and what the merge holds.
 */
import { type ByteSource, CHUNK_BYTES } from "../formats/bytes.ts";
import { type Diff, type MergeResult, mergedRuns, type Runs } from "../formats/diff-merge.ts";
import { BLOCK_BYTES } from "../formats/units.ts";

export interface VirtualOptions {
  chunkBytes?: number;
  /** From here on, in bytes; a multiple of the chunk is quickest. */
  from?: number;
  onResult?(result: MergeResult): void;
}

/** The chunks of the image, each valid until the next. */
export async function* virtualImage(
  base: ByteSource,
  diffs: readonly Diff[],
  options: VirtualOptions = {},
): AsyncGenerator<Uint8Array> {
  const chunk = new Uint8Array(options.chunkBytes ?? CHUNK_BYTES);
  const overlay = new Overlay(diffs, options);
  try {
    for (let offset = options.from ?? 0; offset < base.bytes; offset += chunk.byteLength) {
      const part = chunk.subarray(0, Math.min(chunk.byteLength, base.bytes - offset));
      const count = await base.read(part, offset);
      part.fill(0, count);
      await overlay.lay(part, offset);
      yield part;
    }
    await overlay.finish();
  } finally {
    await overlay.close();
  }
}

class Overlay {
  readonly #merge: AsyncGenerator<Runs>;
  #part: Runs | undefined;
  #index = 0;
  #isEnded = false;

  constructor(diffs: readonly Diff[], { onResult }: VirtualOptions) {
    this.#merge = mergedRuns(diffs, onResult === undefined ? {} : { onResult });
  }

  async #next(): Promise<void> {
    const next = await this.#merge.next();
    this.#part = next.done === true ? undefined : next.value;
    this.#isEnded = next.done === true;
    this.#index = 0;
  }

  /** Writes into `part`, which begins at `offset` of the image, what the diffs say of it. */
  async lay(part: Uint8Array, offset: number): Promise<void> {
    const end = offset + part.byteLength;
    for (;;) {
      while (!this.#isEnded && (this.#part === undefined || this.#index >= this.#part.runs.length))
        await this.#next();
      if (this.#part === undefined || this.#isEnded) return;
      const { runs, data } = this.#part;
      for (; this.#index < runs.length; this.#index++) {
        const run = runs[this.#index] as Runs["runs"][number];
        const start = run.address * BLOCK_BYTES;
        const stop = start + run.blocks * BLOCK_BYTES;
        if (start >= end) return;
        const [from, to] = [Math.max(start, offset), Math.min(stop, end)];
        if (from < to && run.kind === "normal")
          part.set(data.subarray(run.data + from - start, run.data + to - start), from - offset);
        else if (from < to) part.fill(0, from - offset, to - offset);
        if (stop > end) return;
      }
    }
  }

  /** Reads the merge to its end, so that damage behind the image is found, too. */
  async finish(): Promise<void> {
    while (!this.#isEnded) await this.#next();
  }

  async close(): Promise<void> {
    await this.#merge.return(undefined);
  }
}
