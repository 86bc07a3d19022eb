/**
 * Records that could not be processed: one line of JSON each, in a file, so that somebody can look and send them again.
 *
 *   {"time":"…","source":"Orders","reason":"decode","error":"…","bytes":"<base64>"}
 *
 * Invariant: the file never grows beyond its limit; what comes after is counted only. A line is written behind the record
 * it speaks of, not with a checkpoint: after a crash the last lines may be there twice, or missing.
 */
import { dirname } from "node:path";
import type { World } from "../../core/role.ts";
import type { DiskFile } from "../../core/seams/disk.ts";
import { makeDurableDirectory } from "../../core/seams/durable-files.ts";
import { messageOf } from "../thrown.ts";
import type { BadRecord } from "../runtime/engine.ts";

export class DeadLetters {
  readonly #world: Pick<World, "clock" | "disk">;
  readonly #path: string;
  readonly #bytesMax: number;
  #file: Promise<DiskFile> | undefined;
  #end = 0;
  #work: Promise<void> = Promise.resolve();
  counts: Record<BadRecord, number> = { decode: 0, step: 0 };

  constructor(world: Pick<World, "clock" | "disk">, path: string, bytesMax: number) {
    this.#world = world;
    this.#path = path;
    this.#bytesMax = bytesMax;
  }

  add(reason: BadRecord, source: string, bytes: Uint8Array, error: unknown): void {
    this.counts[reason] += 1;
    const letter = {
      time: new Date(this.#world.clock.nowMs()).toISOString(),
      source,
      reason,
      error: messageOf(error),
      bytes: Buffer.from(bytes).toString("base64"),
    };
    const line = Buffer.from(`${JSON.stringify(letter)}\n`);
    // A file that cannot be written must not stop the stream: the counts still tell.
    this.#work = this.#work.then(() => this.#write(line)).catch(() => undefined);
  }

  /** Resolves when every letter so far is in the file, as far as it can be written. */
  get written(): Promise<void> {
    return this.#work;
  }

  async #write(line: Uint8Array): Promise<void> {
    this.#file ??= this.#open();
    const file = await this.#file;
    if (this.#end + line.byteLength > this.#bytesMax) return;
    await file.write(line, this.#end);
    this.#end += line.byteLength;
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
