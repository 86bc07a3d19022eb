/**
 * A file that gets every record exactly once.
 *
 * `<path>.committed` says how many of the file's bytes are committed: readers take those and no more. At a barrier the
 * file is synced and its length becomes part of the checkpoint; with the commit it is written down.
 *
 * Invariant: the committed part of the file is the output of the committed checkpoint, byte for byte: what was written
 * since is cut off when the cluster goes back, and written again by the records that come again.
 */
import type { World } from "../../core/role.ts";
import type { DiskFile } from "../../core/seams/disk.ts";
import { makeDurableDirectory, writeFileAtomically } from "../../core/seams/durable-files.ts";
import { dirname } from "node:path";
import { RecordWriter } from "../runtime/record-writer.ts";
import { copyOf } from "../wire/bytes.ts";
import type { Sink, SinkEvents } from "./sink.ts";

const HIGH_BYTES = 4 << 20;

export class FileSink implements Sink {
  readonly name: string;
  readonly path: string;
  readonly writer = new RecordWriter(1 << 16);
  readonly #world: Pick<World, "disk">;
  readonly #events: SinkEvents;
  #file: DiskFile | undefined;
  /** Where the next run goes. */
  #end = 0;
  #waitingBytes = 0;
  #isCongested = false;
  /** Positions by checkpoint that is prepared and not committed. */
  readonly #prepared = new Map<number, number>();
  /** Everything that was asked of the disk, in order. */
  #work: Promise<void> = Promise.resolve();
  #committedBytes = 0;

  constructor(name: string, path: string, events: SinkEvents, world: Pick<World, "disk">) {
    this.name = name;
    this.path = path;
    this.#events = events;
    this.#world = world;
  }

  async open(): Promise<void> {
    const { disk } = this.#world;
    await makeDurableDirectory(disk, dirname(this.path));
    this.#file = await disk.open(this.path, "create");
    await disk.syncDirectory(dirname(this.path));
    this.#end = await this.#file.size();
    this.#committedBytes = await this.#notedBytes();
  }

  /** What an earlier life of the worker has committed; 0 when there is none. */
  async #notedBytes(): Promise<number> {
    const path = `${this.path}.committed`;
    if (!(await this.#world.disk.exists(path))) return 0;
    const file = await this.#world.disk.open(path, "read");
    const text = new Uint8Array(32);
    const length = await file.read(text, 0);
    await file.close();
    return Number(Buffer.from(text.subarray(0, length)).toString()) || 0;
  }

  get isCongested(): boolean {
    return this.#isCongested;
  }

  flush(): void {
    if (this.writer.length === 0) return;
    const bytes = copyOf(this.writer.done());
    this.writer.clear();
    const at = this.#end;
    this.#end += bytes.byteLength;
    this.#waitingBytes += bytes.byteLength;
    this.#judge();
    this.#do(async () => {
      await (this.#file as DiskFile).write(bytes, at);
      this.#waitingBytes -= bytes.byteLength;
      this.#judge();
    });
  }

  #judge(): void {
    const isCongested = this.#waitingBytes > (this.#isCongested ? HIGH_BYTES / 2 : HIGH_BYTES);
    if (isCongested === this.#isCongested) return;
    this.#isCongested = isCongested;
    this.#events.onPressure();
  }

  #do(task: () => Promise<void>): Promise<void> {
    const done = this.#work.then(task);
    this.#work = done.catch((error: unknown) => this.#events.onFatal(error as Error));
    return this.#work;
  }

  prepare(checkpoint: number) {
    this.flush();
    const position = this.#end;
    this.#prepared.set(checkpoint, position);
    const safe = this.#do(() => (this.#file as DiskFile).sync()).then(() => true);
    return { position, outputs: [], safe };
  }

  commit(checkpoint: number): void {
    const position = this.#prepared.get(checkpoint);
    this.#prepared.clear();
    if (position !== undefined) void this.#do(() => this.#noteCommitted(position));
  }

  async #noteCommitted(position: number): Promise<void> {
    this.#committedBytes = position;
    await writeFileAtomically(this.#world.disk, `${this.path}.committed`, `${position}\n`);
  }

  async rollBack(_checkpoint: number, position: unknown): Promise<void> {
    this.writer.clear();
    this.#prepared.clear();
    // A worker that begins anew goes on behind what it committed in an earlier life.
    const bytes = (position as number | undefined) ?? this.#committedBytes;
    await this.#do(async () => {
      const file = this.#file as DiskFile;
      await file.truncate(bytes);
      await file.sync();
      await this.#noteCommitted(bytes);
    });
    this.#end = bytes;
  }

  stats() {
    return {
      kind: "file",
      bytes: this.#end,
      committedBytes: this.#committedBytes,
      waitingBytes: this.#waitingBytes,
    };
  }

  async close(): Promise<void> {
    this.flush();
    await this.#work;
    await this.#file?.close();
  }
}
