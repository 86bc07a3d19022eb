/**
 * Records that could not be processed: one line of JSON each, in a file, so that somebody can look and send them again.
 *
 *   {"time":"…","source":"Orders","reason":"decode","error":"…","bytes":"<base64>"}
 *
 * Invariant: the file never grows beyond its limit, nor what waits for the disk beyond a few megabytes; what comes after is
 * counted only. A line is written behind the record
 * it speaks of, not with a checkpoint: after a crash the last lines may be there twice, or missing.
 */
import { dirname } from "node:path";
import type { World } from "../../core/role.ts";
import type { DiskFile } from "../../core/seams/disk.ts";
import { makeDurableDirectory } from "../../core/seams/durable-files.ts";
import { messageOf } from "../thrown.ts";
import type { BadRecord } from "../runtime/engine.ts";

const WAITING_BYTES_MAX = 4 << 20;

export class DeadLetters {
  readonly #world: Pick<World, "clock" | "disk">;
  readonly #path: string;
  readonly #bytesMax: number;
  #file: Promise<DiskFile> | undefined;
  #end = 0;
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #work: Promise<void> = Promise.resolve();
  counts: Record<BadRecord, number> = { decode: 0, step: 0 };

  constructor(world: Pick<World, "clock" | "disk">, path: string, bytesMax: number) {
    this.#world = world;
    this.#path = path;
    this.#bytesMax = bytesMax;
  }

  add(reason: BadRecord, source: string, bytes: Uint8Array, error: unknown): void {
    this.counts[reason] += 1;
    if (this.#waitingBytes > WAITING_BYTES_MAX) return;
    const letter = {
      time: new Date(this.#world.clock.nowMs()).toISOString(),
      source,
      reason,
      error: messageOf(error),
      bytes: Buffer.from(bytes).toString("base64"),
    };
    const line = Buffer.from(`${JSON.stringify(letter)}\n`);
    this.#waitingBytes += line.byteLength;
    if (this.#waiting.push(line) > 1) return;
    // A file that cannot be written must not stop the stream: the counts still tell.
    this.#work = this.#work.then(() => this.#write()).catch(() => undefined);
  }

  /** Resolves when every letter so far is in the file, as far as it can be written. */
  get written(): Promise<void> {
    return this.#work;
  }

  async #write(): Promise<void> {
    this.#file ??= this.#open();
    const file = await this.#file.catch((error: unknown) => {
      this.#file = undefined;
      this.#take();
      throw error;
    });
    const lines = this.#take();
    let bytes = 0;
    const fits = lines.filter(({ byteLength }) => {
      const isRoom = this.#end + bytes + byteLength <= this.#bytesMax;
      if (isRoom) bytes += byteLength;
      return isRoom;
    });
    await file.write(Buffer.concat(fits), this.#end);
    this.#end += bytes;
  }

  #take(): Uint8Array[] {
    const lines = this.#waiting;
    this.#waiting = [];
    this.#waitingBytes = 0;
    return lines;
  }

  async #open(): Promise<DiskFile> {
    await makeDurableDirectory(this.#world.disk, dirname(this.#path));
    const file = await this.#world.disk.open(this.#path, "create");
    this.#end = await file.size();
    return file;
  }

  async close(): Promise<void> {
    await this.#work;
    await (await this.#file)?.close();
  }
}
