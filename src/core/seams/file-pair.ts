/**
 * Two files of which stretches are read together, or copied from the first into the second: a log and the data that it
 * is about. Both take lists of `nx_stretch` (native/stretches.h), many at a time.
 *
 * Invariant: nothing here waits for a disk on the event loop. A copy is in doubt until the second file is synced, and
 * may be half done when it fails; whoever copies can copy again.
 */
import type { NativeBuffer } from "../../native/buffer.ts";
import { STRETCH_BYTES, StretchSource } from "../../native/stretches.ts";
import type { Disk, DiskFile } from "./disk.ts";

export interface FilePair {
  /** Fills `out` with what can be had at once; the other stretches are marked late. Returns how many those are. */
  readNow(stretches: NativeBuffer, out: NativeBuffer): number;
  /** Copies into the second file; zeros where a stretch says so. */
  copy(stretches: Uint8Array): Promise<void>;
  /**
   * Writes stretches of memory (their `from` is a place in it) into the second file; zeros where a stretch says so. Nothing
   * may be appended to the memory before this resolves.
   */
  write(memory: NativeBuffer, stretches: Uint8Array): Promise<void>;
  /** Whether the second file has a hole at `offset`, and where that or the data ends; undefined: nobody knows. */
  extent(offset: number, size: number): { isHole: boolean; end: number } | undefined;
  close(): void;
}

const ZERO_BYTES = 1 << 20;

/** A pair over the two files alone: one call for each stretch. What every disk can do. */
class PlainPair implements FilePair {
  readonly #first: DiskFile;
  readonly #second: DiskFile;

  constructor(first: DiskFile, second: DiskFile) {
    this.#first = first;
    this.#second = second;
  }

  readNow(stretches: NativeBuffer): number {
    const words = wordsOf(stretches.view());
    for (let at = 0; at < words.length; at += 4)
      words[at] = (words[at] as bigint) | BigInt(StretchSource.late);
    return words.length / 4;
  }

  async copy(stretches: Uint8Array): Promise<void> {
    for (const { source, from, length, to } of stretchesOf(stretches)) {
      for (let done = 0; done < length; done += ZERO_BYTES) {
        const bytes = new Uint8Array(Math.min(ZERO_BYTES, length - done));
        if (source !== StretchSource.zero) await this.#first.read(bytes, from + done);
        await this.#second.write(bytes, to + done);
      }
    }
  }

  async write(memory: NativeBuffer, stretches: Uint8Array): Promise<void> {
    const bytes = memory.view();
    for (const { source, from, length, to } of stretchesOf(stretches)) {
      if (source !== StretchSource.zero) await this.#second.write(bytes.subarray(from, from + length), to);
      for (let done = 0; source === StretchSource.zero && done < length; done += ZERO_BYTES)
        await this.#second.write(new Uint8Array(Math.min(ZERO_BYTES, length - done)), to + done);
    }
  }

  extent(): undefined {
    return undefined;
  }

  close(): void {}
}

const wordsOf = (bytes: Uint8Array) =>
  new BigUint64Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 8);

export interface Stretch {
  /** One of StretchSource, with `late` added where it was not filled, and `soon` to copies that are synced soon. */
  source: number;
  from: number;
  length: number;
  to: number;
}

/** The structs of a list, as objects. */
export function stretchesOf(bytes: Uint8Array): Stretch[] {
  const words = wordsOf(bytes);
  return Array.from({ length: bytes.byteLength / STRETCH_BYTES }, (_, index) => ({
    source: Number(words[4 * index]),
    from: Number(words[4 * index + 1]),
    length: Number(words[4 * index + 2]),
    to: Number(words[4 * index + 3]),
  }));
}

/** A list in parts of about so many bytes, each a list of its own memory. */
export function* stretchParts(list: Uint8Array, bytes: number): Generator<Uint8Array> {
  const words = wordsOf(list);
  let [start, sum] = [0, 0];
  for (let at = 0; at < words.length; at += 4) {
    sum += Number(words[at + 2]);
    if (sum < bytes && at + 4 < words.length) continue;
    yield list.slice(start * 8, (at + 4) * 8);
    [start, sum] = [at + 4, 0];
  }
}

/** A list of one stretch that is copied to where it was, into a file that is synced soon. */
export function oneStretch(offset: number, length: number): Uint8Array {
  const source = StretchSource.log | StretchSource.soon;
  const words = BigUint64Array.of(BigInt(source), BigInt(offset), BigInt(length), BigInt(offset));
  return new Uint8Array(words.buffer);
}

export function openPair(disk: Disk, first: DiskFile, second: DiskFile): FilePair {
  return disk.pair?.(first, second) ?? new PlainPair(first, second);
}
