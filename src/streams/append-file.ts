/**
 * A file that only grows at its end, or is cut: what receivers and replicas write.
 *
 * Invariant: bytes reach the file in the order of `append`; `sync` resolves when all that was appended before would
 * survive power loss. After a failed write or sync nobody knows what is there: every later call fails.
 */
import { dirname } from "node:path";
import type { Disk, DiskFile } from "../core/seams/disk.ts";
import { copyOf } from "./wire/bytes.ts";

export class AppendFile {
  readonly #file: DiskFile;
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #writtenBytes: number;
  /** Calls run one behind the other. */
  #last: Promise<void> = Promise.resolve();

  static async open(disk: Disk, path: string): Promise<AppendFile> {
    const file = await disk.open(path, "create");
    await disk.syncDirectory(dirname(path));
    return new AppendFile(file, await file.size());
  }

  private constructor(file: DiskFile, bytes: number) {
    this.#file = file;
    this.#writtenBytes = bytes;
  }

  /** Bytes of the file, those that wait to be written included. */
  get bytes(): number {
    return this.#writtenBytes + this.#waitingBytes;
  }

  /** Bytes that wait to be written: the producer should pause when they are many. */
  get waitingBytes(): number {
    return this.#waitingBytes;
  }

  /** Copies `bytes`; `flush` writes them. */
  append(bytes: Uint8Array): void {
    this.#waiting.push(copyOf(bytes));
    this.#waitingBytes += bytes.byteLength;
  }

  #then(step: () => Promise<void>): Promise<void> {
    const result = this.#last.then(step);
    this.#last = result;
    result.catch(() => undefined);
    return result;
  }

  /** Resolves when all that was appended is written. */
  flush(): Promise<void> {
    return this.#then(async () => {
      if (this.#waiting.length === 0) return;
      const bytes =
        this.#waiting.length === 1 ? (this.#waiting[0] as Uint8Array) : Buffer.concat(this.#waiting);
      this.#waiting = [];
      await this.#file.write(bytes, this.#writtenBytes);
      this.#writtenBytes += bytes.byteLength;
      this.#waitingBytes -= bytes.byteLength;
    });
  }

  /** Writes and syncs all that was appended. */
  async sync(): Promise<void> {
    await this.flush();
    await this.#then(() => this.#file.sync());
  }

  /** Cuts the file to `bytes`, synced. */
  async truncate(bytes: number): Promise<void> {
    await this.flush();
    await this.#then(async () => {
      await this.#file.truncate(bytes);
      await this.#file.sync();
      this.#writtenBytes = bytes;
    });
  }

  /** Bytes of the file from `start` to `end`, which must be written. */
  async read(start: number, end: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(end - start);
    const read = await this.#file.read(bytes, start);
    return bytes.subarray(0, read);
  }

  async close(): Promise<void> {
    try {
      await this.flush();
    } finally {
      await this.#file.close();
    }
  }
}
