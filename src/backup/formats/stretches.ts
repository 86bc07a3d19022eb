/**
 * Many stretches of a source at a time, for what reads a log again in the order of addresses.
 *
 * Invariant: one call for each batch where the source is a file whose pages are in memory; what is not there is read
 * without blocking anybody.
 */
import { type FilePair, openPair, stretchesOf } from "../../core/seams/file-pair.ts";
import type { Disk } from "../../core/seams/disk.ts";
import { OwnedBuffer } from "../../native/blocks.ts";
import type { NativeBuffer } from "../../native/buffer.ts";
import { StretchSource } from "../../native/stretches.ts";
import type { ByteSource } from "./bytes.ts";
import { damaged } from "./diff-merge.ts";

export class StretchReader {
  readonly #source: ByteSource;
  readonly #pair: FilePair | undefined;
  readonly #content = new OwnedBuffer();

  constructor(disk: Disk, source: ByteSource) {
    this.#source = source;
    this.#pair = source.file === undefined ? undefined : openPair(disk, source.file, source.file);
  }

  /** The stretches of a list one behind the other; `bytes` long, good until the next call. */
  async read(stretches: NativeBuffer, bytes: number): Promise<Uint8Array> {
    this.#content.resize(bytes);
    const isComplete = this.#pair?.readNow(stretches, this.#content) === 0;
    const content = this.#content.view();
    if (isComplete) return content;
    for (const { source, from, length, to } of stretchesOf(stretches.view())) {
      if (this.#pair !== undefined && (source & StretchSource.late) === 0) continue;
      const count = await this.#source.read(content.subarray(to, to + length), from);
      if (count < length) throw damaged(this.#source.name, from + count, "the file has become shorter");
    }
    return content;
  }

  close(): void {
    this.#pair?.close();
    this.#content.free();
  }
}
