/**
 * Bytes that arrive in chunks, taken in pieces of a wanted length.
 *
 * Invariant: bytes are handed out in order, each once; the source is paused while much waits, so whoever takes slowly
 * does not gather memory.
 */

/** What can be told to send less. */
interface Pausable {
  pause(): void;
  resume(): void;
}

const HIGH_BYTES = 1024 * 1024;

export class ByteReader {
  /** Paused while more than a mebibyte waits and nobody wants it. */
  source: Pausable | undefined;
  #chunks: Buffer[] = [];
  /** Bytes of the first chunk that were taken. */
  #offset = 0;
  #length = 0;
  #isPaused = false;
  #error: Error | undefined;
  #wanted: { length: number; resolve(bytes: Buffer): void; reject(error: Error): void } | undefined;

  /** `chunk` may be reused afterwards. */
  push(chunk: Uint8Array): void {
    this.#chunks.push(Buffer.from(chunk));
    this.#length += chunk.byteLength;
    this.#serve();
    if (this.#length > HIGH_BYTES && this.#wanted === undefined && !this.#isPaused) {
      this.#isPaused = true;
      this.source?.pause();
    }
  }

  get hasFailed(): boolean {
    return this.#error !== undefined;
  }

  /** No more bytes come; what is here may still be taken. */
  fail(error: Error): void {
    this.#error ??= error;
    this.#wanted?.reject(this.#error);
    this.#wanted = undefined;
  }

  /** One caller at a time. Rejects when the source ended before `length` bytes came. */
  take(length: number): Promise<Buffer> {
    if (this.#length >= length) return Promise.resolve(this.#remove(length));
    if (this.#error !== undefined) return Promise.reject(this.#error);
    const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
    this.#wanted = { length, resolve, reject };
    this.#resume();
    return promise;
  }

  #serve(): void {
    const wanted = this.#wanted;
    if (wanted === undefined || this.#length < wanted.length) return;
    this.#wanted = undefined;
    wanted.resolve(this.#remove(wanted.length));
  }

  #remove(length: number): Buffer {
    const parts: Buffer[] = [];
    let missing = length;
    while (missing > 0) {
      const chunk = this.#chunks[0] as Buffer;
      const part = chunk.subarray(this.#offset, this.#offset + missing);
      parts.push(part);
      missing -= part.byteLength;
      this.#offset += part.byteLength;
      if (this.#offset < chunk.byteLength) continue;
      this.#chunks.shift();
      this.#offset = 0;
    }
    this.#length -= length;
    if (this.#length < HIGH_BYTES / 2) this.#resume();
    return parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts);
  }

  #resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.source?.resume();
  }
}
