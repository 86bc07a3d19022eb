/**
 * What raw senders sent since the last committed checkpoint, kept so that it can be fed again.
 *
 *   each append to the log: u32 record bytes, record     (payload format 1; the log's frames carry checksums)
 *
 * Invariant: records behind the committed position are in memory and, as far as the disk has come, in the log; records
 * before it are dropped from both. After a crash what the log has behind the checkpoint's position is fed first. Records
 * of the last moment, which were read and not yet written, are as lost as what was still in the socket. While the disk is
 * full records wait in memory and are written when it has room, all of them: the log counts them from its first one. When
 * many wait the log is congested, and sources rest. A worker that came to another host without its log begins one there,
 * whose first record has the number that the checkpoint waits for.
 */
import { LogFile } from "../../core/append-log/log-file.ts";
import type { Log } from "../../core/logging/log.ts";
import type { World } from "../../core/role.ts";
import { crc32c } from "../../native/crc32c.ts";
import { ByteReader, ByteWriter, copyOf } from "../wire/bytes.ts";

const FORMAT = 1;
/** The log is begun anew when this much of it is of no use any more. */
const TRIM_BYTES = 64 << 20;
/** More than this may not wait for a full disk. */
const HIGH_BYTES = 4 << 20;

export interface InputLogEvents {
  /** `isCongested` changed. */
  onPressure(): void;
  onFatal(error: Error): void;
  log: Log;
}

export class InputLog {
  readonly #file: LogFile;
  readonly #writer = new ByteWriter(4096);
  /** Records from `#first` on, by their number. */
  #kept: Uint8Array[];
  /** Number of the first record that is kept. */
  #first: number;
  /** Number of the next record to be fed. */
  #fed: number;
  /** How many of `#kept`, the last ones, the log does not have, and their bytes. */
  #unwritten = 0;
  #unwrittenBytes = 0;
  #isCongested = false;
  /** For those who wait for room on the disk. */
  #room: PromiseWithResolvers<void> | undefined;
  #trimming: Promise<void> | undefined;
  readonly #events: InputLogEvents;
  readonly #trouble: () => string | undefined;

  private constructor(
    file: LogFile,
    first: number,
    kept: Uint8Array[],
    events: InputLogEvents,
    trouble: () => string | undefined,
  ) {
    this.#trouble = trouble;
    this.#file = file;
    this.#events = events;
    this.#first = first;
    this.#kept = kept;
    this.#fed = first;
  }

  static async open(world: World, directory: string, events: InputLogEvents): Promise<InputLog> {
    let log: InputLog | undefined;
    let trouble: string | undefined;
    const kept: Uint8Array[] = [];
    let first = 0;
    let isNumbered = false;
    const read = (payload: Uint8Array) => {
      const reader = new ByteReader(payload);
      while (reader.remaining > 0) {
        const record = reader.bytes();
        kept.push(copyOf(record));
      }
    };
    const file = await LogFile.open(
      {
        ...world,
        crc32c,
        directory,
        payloadFormat: FORMAT,
        listener: {
          onDurable: () => {},
          onState: (state, error) => {
            trouble = state === "full" ? error?.message : undefined;
            if (state === "failed" && error !== undefined) events.onFatal(error);
            else if (state === "full")
              events.log.error(`checkpoints wait: ${trouble}`, { code: error?.code });
            else if (state === "open" && log !== undefined) log.#catchUp();
          },
        },
      },
      {
        // A snapshot begins with the number of its first record.
        onSnapshot: (payload) => {
          const reader = new ByteReader(payload);
          if (!isNumbered) first = reader.u64();
          isNumbered = true;
          read(reader.rest());
        },
        onFrame: read,
      },
    );
    log = new InputLog(file, first, kept, events, () => trouble);
    return log;
  }

  /** A record that is being fed. */
  append(bytes: Uint8Array, start: number, end: number): void {
    this.keep(bytes.subarray(start, end));
    this.#fed += 1;
  }

  /** A record that came while its source rested: `replay` feeds it. */
  keep(bytes: Uint8Array): void {
    const record = copyOf(bytes);
    this.#kept.push(record);
    if (this.#file.state === "open") return this.#write(record);
    this.#unwritten += 1;
    this.#unwrittenBytes += record.byteLength;
    this.#judge();
  }

  #write(record: Uint8Array): void {
    this.#writer.clear();
    this.#file.append(this.#writer.bytes(record).done());
  }

  /** The disk has room again. */
  #catchUp(): void {
    const waiting = this.#unwritten === 0 ? [] : this.#kept.slice(-this.#unwritten);
    [this.#unwritten, this.#unwrittenBytes] = [0, 0];
    for (const record of waiting) this.#write(record);
    this.#room?.resolve();
    this.#room = undefined;
    this.#judge();
  }

  /** Why records wait for the disk, while they do. */
  get trouble(): string | undefined {
    return this.#trouble();
  }

  get isCongested(): boolean {
    return this.#isCongested;
  }

  #judge(): void {
    const isCongested = this.#unwrittenBytes > HIGH_BYTES;
    if (isCongested === this.#isCongested) return;
    this.#isCongested = isCongested;
    this.#events.onPressure();
  }

  /** Something was kept and not fed: since the roll-back, or while the source rested. `replay` comes before `append` then. */
  get isBehind(): boolean {
    return this.#fed < this.#first + this.#kept.length;
  }

  /** Feeds the next records that were kept and not fed, until there are `bytesMax` bytes of them. Returns how many. */
  replay(feed: (record: Uint8Array) => void, bytesMax: number): number {
    const from = this.#fed;
    for (let bytes = 0; this.isBehind && bytes < bytesMax; this.#fed += 1) {
      const record = this.#kept[this.#fed - this.#first] as Uint8Array;
      bytes += record.byteLength;
      feed(record);
    }
    return this.#fed - from;
  }

  /** How many records were fed, ever. */
  position(): number {
    return this.#fed;
  }

  committed(position: number): void {
    // What the log does not have yet keeps its place.
    const count = Math.min(position - this.#first, this.#kept.length - this.#unwritten);
    if (count <= 0) return;
    this.#kept.splice(0, count);
    this.#first += count;
    if (this.#trimming !== undefined || !this.#file.isCompactionDue(TRIM_BYTES, 1)) return;
    this.#trim().catch(() => undefined);
  }

  /** Begins the log anew with what is kept. Rejects when the disk does not take it: the log stays as it was then. */
  #trim(): Promise<void> {
    const [first, kept] = [this.#first, [...this.#kept]];
    this.#trimming = this.#file
      .compact(() => {
        const writer = new ByteWriter(1 << 16).u64(first);
        for (const record of kept) writer.bytes(record);
        return [writer.done()];
      })
      .finally(() => {
        this.#trimming = undefined;
      });
    return this.#trimming;
  }

  /** Goes back to a checkpoint's position; resolves when the log can keep what comes behind it. */
  async rollBack(position: number): Promise<void> {
    this.#fed = Math.max(position, this.#first);
    if (position <= this.#first + this.#kept.length) return;
    // The checkpoint counts records that this log never had.
    [this.#first, this.#kept, this.#unwritten, this.#unwrittenBytes] = [position, [], 0, 0];
    await this.#trimming?.catch(() => undefined);
    await this.#trim();
  }

  /** Resolves when everything appended so far is on disk. Waits while it is full. */
  async flush(): Promise<void> {
    while (this.#unwritten > 0) await (this.#room ??= Promise.withResolvers<void>()).promise;
    await this.#file.flush();
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}
