/**
 * The registrations of the epochs to come, on disk before they are acknowledged.
 *
 * One append log for all epochs; memory holds the same records by epoch, in the order of arrival. Invariant: what
 * `append` resolved for is there after power loss, and an epoch that `begin` resolved for is never gone back behind. A
 * crash may leave records that were not acknowledged; they are whole registrations.
 *
 * Entries of the log, integers big-endian:
 *
 *   offset  size
 *        0     4  epoch
 *        4     4  n, length of the records
 *        8     n  records `id ‖ sealed status`; without any, the entry says that this epoch has begun
 */
import { LogFile } from "../../core/append-log/log-file.ts";
import type { LogState, LogStats } from "../../core/append-log/options.ts";
import { NxError } from "../../core/errors.ts";
import type { World } from "../../core/role.ts";
import { crc32c } from "../../native/crc32c.ts";
import { concat, viewOf } from "../protocol/bytes.ts";

const HEAD_BYTES = 8;
/** Records of an epoch are kept in pieces of this length, over shared memory so that a thread can read them. */
const CHUNK_BYTES = 1 << 20;
/** Records of one entry of a snapshot. */
const SNAPSHOT_ENTRY_BYTES = 64 << 10;

/** What arrived for one epoch. */
class Arrivals {
  #full: Uint8Array[] = [];
  #last = new Uint8Array(new SharedArrayBuffer(CHUNK_BYTES));
  #used = 0;

  get bytes(): number {
    return this.#full.length * CHUNK_BYTES + this.#used;
  }

  add(records: Uint8Array): void {
    for (let at = 0; at < records.byteLength;) {
      if (this.#used === CHUNK_BYTES) {
        this.#full.push(this.#last);
        this.#last = new Uint8Array(new SharedArrayBuffer(CHUNK_BYTES));
        this.#used = 0;
      }
      const part = records.subarray(at, at + CHUNK_BYTES - this.#used);
      this.#last.set(part, this.#used);
      this.#used += part.byteLength;
      at += part.byteLength;
    }
  }

  /** The records so far; later ones are not seen. */
  chunks(): Uint8Array[] {
    return [...this.#full, this.#last.subarray(0, this.#used)];
  }
}

export interface RegistrationLogOptions {
  world: Pick<World, "disk" | "clock" | "random">;
  directory: string;
  /** Differs between record formats, so that a log is never read as another one. */
  payloadFormat: number;
  /** The log's first segment; its default when absent. */
  segmentBytesMin?: number;
  onState(state: LogState, error: NxError | undefined): void;
}

export class RegistrationLog {
  readonly #log: LogFile;
  readonly #arrivals: Map<number, Arrivals>;
  /** Refuses each append that is not durable yet. */
  readonly #waiting: Set<(error: NxError) => void>;
  #begun: number | undefined;
  #compacting: Promise<void> | undefined;

  private constructor(log: LogFile, reader: EntryReader, waiting: Set<(error: NxError) => void>) {
    this.#log = log;
    this.#waiting = waiting;
    this.#arrivals = reader.arrivals;
    this.#begun = reader.begun;
  }

  static async open(options: RegistrationLogOptions): Promise<RegistrationLog> {
    const { world, directory, payloadFormat, segmentBytesMin, onState } = options;
    const reader = new EntryReader(directory);
    const waiting = new Set<(error: NxError) => void>();
    const log = await LogFile.open(
      {
        ...{ disk: world.disk, clock: world.clock, random: world.random, crc32c, directory, payloadFormat },
        ...(segmentBytesMin !== undefined && { segmentBytesMin }),
        listener: {
          onDurable: () => {},
          onState(state, error) {
            if (state === "full" && error !== undefined) for (const refuse of waiting) refuse(error);
            onState(state, error);
          },
        },
      },
      { onSnapshot: (payload) => reader.read(payload), onFrame: (payload) => reader.read(payload) },
    );
    return new RegistrationLog(log, reader, waiting);
  }

  /** The latest epoch that has begun, as far as the log tells. */
  get begun(): number | undefined {
    return this.#begun;
  }

  get stats(): LogStats {
    return this.#log.stats;
  }

  bytesOf(epoch: number): number {
    return this.#arrivals.get(epoch)?.bytes ?? 0;
  }

  epochs(): number[] {
    return [...this.#arrivals.keys()];
  }

  /**
   * Resolves when the records are durable. Throws NX_DISK_FULL at once when none can be taken, and rejects with it when the
   * disk fills up meanwhile: they are not acknowledged then, but may become durable when there is space.
   */
  append(epoch: number, records: Uint8Array): Promise<void> {
    this.#log.append(entry(epoch, records));
    arrivalsOf(this.#arrivals, epoch).add(records);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#waiting.add(reject);
    void this.#log
      .flush()
      .then(resolve, reject)
      .finally(() => this.#waiting.delete(reject));
    return promise;
  }

  /** Resolves when it is durable that this epoch has begun. */
  begin(epoch: number): Promise<void> {
    this.#log.append(entry(epoch, new Uint8Array(0)));
    this.#begun = epoch;
    return this.#log.flush();
  }

  /** The records of an epoch so far, in the order of arrival. */
  chunks(epoch: number): Uint8Array[] {
    return this.#arrivals.get(epoch)?.chunks() ?? [];
  }

  /** These epochs are needed no more: takes them out of memory and, by a snapshot, out of the log. */
  async forget(isDone: (epoch: number) => boolean): Promise<void> {
    for (const epoch of this.epochs()) if (isDone(epoch)) this.#arrivals.delete(epoch);
    await this.#compacting?.catch(() => undefined);
    this.#compacting = this.#log.compact(() => this.#snapshot());
    await this.#compacting;
  }

  close(): Promise<void> {
    return this.#log.close();
  }

  /** Bounds are taken now, because appends go on while it is written. */
  #snapshot(): Iterable<Uint8Array> {
    const parts = [...this.#arrivals].map(([epoch, arrivals]) => ({ epoch, chunks: arrivals.chunks() }));
    return snapshotEntries(this.#begun, parts);
  }
}

function* snapshotEntries(
  begun: number | undefined,
  parts: readonly { epoch: number; chunks: Uint8Array[] }[],
): Generator<Uint8Array> {
  if (begun !== undefined) yield entry(begun, new Uint8Array(0));
  for (const { epoch, chunks } of parts)
    for (const chunk of chunks)
      for (let at = 0; at < chunk.byteLength; at += SNAPSHOT_ENTRY_BYTES)
        yield entry(epoch, chunk.subarray(at, at + SNAPSHOT_ENTRY_BYTES));
}

function entry(epoch: number, records: Uint8Array): Uint8Array {
  const head = new Uint8Array(HEAD_BYTES);
  viewOf(head).setUint32(0, epoch);
  viewOf(head).setUint32(4, records.byteLength);
  return concat(head, records);
}

function arrivalsOf(all: Map<number, Arrivals>, epoch: number): Arrivals {
  let arrivals = all.get(epoch);
  if (arrivals === undefined) all.set(epoch, (arrivals = new Arrivals()));
  return arrivals;
}

/** Reads entries back. Frames hold whole entries; whatever else passes the log's checksums is a defect of ours. */
class EntryReader {
  readonly arrivals = new Map<number, Arrivals>();
  begun: number | undefined;
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  read(payload: Uint8Array): void {
    const view = viewOf(payload);
    for (let at = 0; at < payload.byteLength;) {
      const isHeadThere = at + HEAD_BYTES <= payload.byteLength;
      const length = isHeadThere ? view.getUint32(at + 4) : 0;
      const end = at + HEAD_BYTES + length;
      if (!isHeadThere || end > payload.byteLength) {
        throw new NxError("NX_DATA_CORRUPT", `${this.#directory}: a group holds half of a registration`, {
          hint: "the files were written by a defective program; keep a copy and report it",
        });
      }
      const epoch = view.getUint32(at);
      if (length === 0) this.begun = Math.max(this.begun ?? 0, epoch);
      else arrivalsOf(this.arrivals, epoch).add(payload.subarray(at + HEAD_BYTES, end));
      at = end;
    }
  }
}
