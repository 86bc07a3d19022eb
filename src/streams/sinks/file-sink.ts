/**
 * A file that gets every record exactly once.
 *
 * `<path>.committed` says how many of the file's bytes are committed: readers take those and no more. At a barrier the
 * file is synced and its length becomes part of the checkpoint; with the commit it is written down.
 *
 * Invariant: the committed part of the file is the output of the committed checkpoint, byte for byte: what was written
 * since is cut off when the cluster goes back, and written again by the records that come again. While the disk is full
 * output waits here, and checkpoints with it.
 */
import { NxError } from "../../core/errors.ts";
import { isDiskFull } from "../../core/append-log/segment.ts";
import type { Log } from "../../core/logging/log.ts";
import type { World } from "../../core/role.ts";
import { sleep } from "../../core/seams/clock.ts";
import type { DiskFile } from "../../core/seams/disk.ts";
import { makeDurableDirectory, writeFileAtomically } from "../../core/seams/durable-files.ts";
import { dirname } from "node:path";
import { RecordWriter } from "../runtime/record-writer.ts";
import { copyOf } from "../wire/bytes.ts";
import type { Sink, SinkEvents } from "./sink.ts";

const HIGH_BYTES = 4 << 20;
const RETRY_MS = 500;

export interface FileSinkOptions {
  world: Pick<World, "clock" | "disk">;
  log: Log;
}

export class FileSink implements Sink {
  readonly name: string;
  readonly path: string;
  readonly writer = new RecordWriter(1 << 16);
  readonly #world: FileSinkOptions["world"];
  readonly #log: Log;
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
  /** What `<path>.committed` says; undefined: there is none. */
  #notedBytes: number | undefined;
  /** Why the disk does not take what waits. */
  #trouble = "";
  /** Counts roll-backs: what was to be written before one is void. */
  #round = 0;
  #isClosed = false;

  constructor(name: string, path: string, events: SinkEvents, { world, log }: FileSinkOptions) {
    this.#log = log;
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
    this.#notedBytes = await this.#readNote();
  }

  /** What an earlier life of the worker has committed. */
  async #readNote(): Promise<number | undefined> {
    const path = `${this.path}.committed`;
    if (!(await this.#world.disk.exists(path))) return undefined;
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
    const round = this.#round;
    this.#do(async () => {
      if (round === this.#round) await (this.#file as DiskFile).write(bytes, at);
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

  /** Work that may be done again from its beginning: it is, while the disk is full. */
  #do(task: () => Promise<void>): Promise<void> {
    const done = this.#work.then(() => this.#insist(task));
    this.#work = done.catch((error: unknown) => this.#events.onFatal(error as Error));
    return this.#work;
  }

  async #insist(task: () => Promise<void>): Promise<void> {
    for (;;) {
      try {
        await task();
        if (this.#trouble !== "") this.#log.info(`the output of ${this.name} is written again`);
        this.#trouble = "";
        return;
      } catch (error) {
        if (!isDiskFull(error) || this.#isClosed) throw error;
        if (this.#trouble === "")
          this.#log.error(`the output of ${this.name} waits: ${error.message}`, { code: error.code });
        this.#trouble = error.message;
        await sleep(this.#world.clock, RETRY_MS);
      }
    }
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
    if (position === this.#notedBytes) return;
    await writeFileAtomically(this.#world.disk, `${this.path}.committed`, `${position}\n`);
    this.#notedBytes = position;
  }

  async rollBack(_checkpoint: number, position: unknown): Promise<void> {
    this.writer.clear();
    this.#prepared.clear();
    this.#round += 1;
    // A worker that begins anew goes on behind what it committed in an earlier life.
    const bytes = (position as number | undefined) ?? this.#notedBytes ?? 0;
    await this.#do(async () => {
      const file = this.#file as DiskFile;
      await this.#assertWhole(bytes);
      await file.truncate(bytes);
      await file.sync();
      await this.#noteCommitted(bytes);
    });
    this.#end = bytes;
  }

  /** A file that lacks what is committed would get zeros in its place. */
  async #assertWhole(committedBytes: number): Promise<void> {
    const bytes = await (this.#file as DiskFile).size();
    if (bytes >= committedBytes) return;
    throw new NxError(
      "NX_STREAM_REFUSED",
      `${this.path}, the output of ${this.name}, has ${bytes} bytes, and ${committedBytes} are committed`,
      {
        hint: `bring it from where the worker was, with its .committed; or begin anew with --fresh, without either`,
      },
    );
  }

  stats() {
    return {
      kind: "file",
      bytes: this.#end,
      committedBytes: this.#notedBytes ?? 0,
      waitingBytes: this.#waitingBytes,
      trouble: this.#trouble,
    };
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.flush();
    await this.#work;
    await this.#file?.close();
  }
}
