/**
 * Where tools read from and write to: files by position, pipes in order, and a spool for what must be read again.
 *
 * Invariant: nothing here holds more than one chunk, but for the spool's first part.
 */
import { join } from "node:path";
import { NxError } from "../../core/errors.ts";
import type { Disk, DiskFile } from "../../core/seams/disk.ts";
import type { Random } from "../../core/seams/random.ts";

/** Bytes by position. A pipe has no end that is known before: its `bytes` is the largest number. */
export interface ByteSource {
  /** For messages. */
  name: string;
  bytes: number;
  /** Fills `target` from `offset` on; fewer only at the end. */
  read(target: Uint8Array, offset: number): Promise<number>;
  /** The file that it is, where it is one. */
  file?: DiskFile;
}

/** Takes bytes in order; they are only valid during the call. */
export interface ByteSink {
  append(bytes: Uint8Array): Promise<void>;
}

export const CHUNK_BYTES = 1 << 20;

export function fileSource(name: string, file: DiskFile, bytes: number): ByteSource {
  return { name, bytes, file, read: (target, offset) => file.read(target, offset) };
}

/** A pipe as a source that is read from front to back; what is skipped is gone. */
export function pipeSource(name: string, pipe: AsyncIterable<Uint8Array>): ByteSource {
  const iterator = pipe[Symbol.asyncIterator]();
  let chunk: Uint8Array = new Uint8Array(0);
  let position = 0;
  return {
    name,
    bytes: Number.MAX_SAFE_INTEGER,
    async read(target, offset) {
      if (offset < position) {
        throw new NxError("NX_USAGE", `${name} must be read in another order than it comes`, {
          hint: "give a file instead of a pipe: an indexed diff ends with what must be read first",
        });
      }
      let done = 0;
      while (done < target.byteLength) {
        if (chunk.byteLength === 0) {
          const next = await iterator.next();
          if (next.done === true) break;
          chunk = next.value;
          continue;
        }
        if (position < offset) {
          const skipped = Math.min(offset - position, chunk.byteLength);
          chunk = chunk.subarray(skipped);
          position += skipped;
          continue;
        }
        const part = chunk.subarray(0, target.byteLength - done);
        target.set(part, done);
        chunk = chunk.subarray(part.byteLength);
        done += part.byteLength;
        position += part.byteLength;
      }
      return done;
    },
  };
}

/**
 * The chunks of a source from `from` on. Each is only valid until the next; while it is worked on, the next is read. After
 * the last step, however it comes, nothing is being read any more.
 */
export async function* chunksOf(source: ByteSource, from = 0, to = source.bytes): AsyncGenerator<Uint8Array> {
  const length = Math.max(1, Math.min(CHUNK_BYTES, to - from));
  const buffers = [new Uint8Array(length), new Uint8Array(length)] as const;
  let offset = from;
  let turn = 0;
  const readNext = async () => {
    const target = (buffers[turn++ % 2] as Uint8Array).subarray(0, Math.min(length, to - offset));
    const count = target.byteLength === 0 ? 0 : await source.read(target, offset);
    offset += count;
    return target.subarray(0, count);
  };
  let next = readNext();
  try {
    for (;;) {
      const chunk = await next;
      if (chunk.byteLength === 0) return;
      next = readNext();
      // Its failure is heard when its turn comes.
      next.catch(() => undefined);
      yield chunk;
    }
  } finally {
    await next.catch(() => undefined);
  }
}

/** A file that is written from front to back. */
export class FileSink implements ByteSink {
  readonly #file: DiskFile;
  written: number;

  constructor(file: DiskFile, from = 0) {
    this.#file = file;
    this.written = from;
  }

  async append(bytes: Uint8Array): Promise<void> {
    await this.#file.write(bytes, this.written);
    this.written += bytes.byteLength;
  }
}

/** In memory up to this, then in a file. */
const SPOOL_MEMORY_BYTES = 32 << 20;

/** Bytes that are written once and then read by position: in memory while they are few, then in a nameless file. */
export class Spool implements ByteSink {
  readonly #disk: Disk;
  readonly #path: string;
  #parts: Uint8Array[] = [];
  #file: DiskFile | undefined;
  #bytes = 0;

  constructor(disk: Disk, random: Random, directory: string) {
    this.#disk = disk;
    this.#path = join(directory, `tmp${Buffer.from(random.bytes(6)).toString("hex")}`);
  }

  async append(bytes: Uint8Array): Promise<void> {
    if (this.#file === undefined && this.#bytes + bytes.byteLength > SPOOL_MEMORY_BYTES)
      await this.#moveToFile();
    if (this.#file === undefined) this.#parts.push(bytes.slice());
    else await this.#file.write(bytes, this.#bytes);
    this.#bytes += bytes.byteLength;
  }

  async #moveToFile(): Promise<void> {
    this.#file = await this.#disk.open(this.#path, "exclusive");
    // Without a name it goes with the process, however that ends.
    await this.#disk.remove(this.#path);
    let offset = 0;
    for (const part of this.#parts.splice(0)) {
      await this.#file.write(part, offset);
      offset += part.byteLength;
    }
  }

  source(name: string): ByteSource {
    if (this.#file !== undefined) return fileSource(name, this.#file, this.#bytes);
    return partsSource(name, this.#parts, this.#bytes);
  }

  async close(): Promise<void> {
    this.#parts = [];
    await this.#file?.close();
  }
}

/** Parts that follow each other, as one source, without a copy of all of them. */
function partsSource(name: string, parts: readonly Uint8Array[], bytes: number): ByteSource {
  const starts: number[] = [];
  let start = 0;
  for (const part of parts) {
    starts.push(start);
    start += part.byteLength;
  }
  /** The last part that begins at `offset` or before. */
  const indexOf = (offset: number) => {
    let [low, high] = [0, starts.length];
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      if ((starts[middle] as number) <= offset) low = middle;
      else high = middle;
    }
    return low;
  };
  return {
    name,
    bytes,
    async read(target, offset) {
      let done = 0;
      for (let index = indexOf(offset); done < target.byteLength && index < parts.length; index++) {
        const within = offset + done - (starts[index] as number);
        const part = (parts[index] as Uint8Array).subarray(within, within + target.byteLength - done);
        target.set(part, done);
        done += part.byteLength;
      }
      return done;
    },
  };
}

export function memorySource(name: string, content: Uint8Array): ByteSource {
  return {
    name,
    bytes: content.byteLength,
    async read(target, offset) {
      const part = content.subarray(Math.min(offset, content.byteLength), offset + target.byteLength);
      target.set(part);
      return part.byteLength;
    },
  };
}
