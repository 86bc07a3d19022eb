/**
 * The durable log of one replica: records in core's append log, which brings group commit, checksums, torn tails,
 * snapshots and full disks.
 *
 * What that log does not have, and what is here: records within its groups, because a replica cuts its log off and
 * replaces the end (`install`), and the order in which a snapshot and the entries behind it are found again. What does
 * not fit there at all are a replica's promises; see superblock.ts.
 *
 * Invariant: records are replayed in order, each whole or not at all. A snapshot holds the service's state at one op and
 * all entries behind it. A crash loses records that were not reported durable, from the last one backwards, never one out
 * of the middle.
 *
 * A record, integers little-endian:
 *
 *   offset  size
 *        0     1  kind
 *        1     4  length of what follows
 *        5     n  1 append: entries (codec.ts)
 *                 2 install: u64 logView, u64 keep, entries
 *                 3 snapshot: u64 logView, u64 op; parts and one `append` with the entries behind it follow
 *                 4 part of the snapshot (service.ts)
 */
import { LogFile, type LogState, type LogStats } from "../../core/append-log/log-file.ts";
import type { Crc32c } from "../../core/crc32c.ts";
import { NxError } from "../../core/errors.ts";
import type { World } from "../../core/role.ts";
import type { Disk } from "../../core/seams/disk.ts";
import { ByteReader, ByteWriter, putU32, WireError } from "../wire/bytes.ts";
import { readEntries, writeEntries } from "./codec.ts";
import type { Service, ServiceRestorer } from "./service.ts";
import type { Entry, JournalRecord } from "./types.ts";

/** Version of the records. */
const PAYLOAD_FORMAT = 1;
const Kind = { append: 1, install: 2, snapshot: 3, part: 4 } as const;
const RECORD_HEADER_BYTES = 5;

export interface JournalOptions {
  world: Pick<World, "clock" | "random" | "disk">;
  crc32c: Crc32c;
  directory: string;
  service: Service;
  onState(state: LogState, error: NxError | undefined): void;
  onGroup?(durationMs: number): void;
  /** The first segment's size; the log's own default when absent. */
  segmentBytesMin?: number;
  readChunkBytes?: number;
}

/** The log as it is in memory: what a snapshot has to hold beside the service's state. */
export interface DurableLog {
  logView: number;
  snapshotOp: number;
  entries: Entry[];
}

interface AwaitedRecord {
  position: number;
  then: () => void;
}

export class Journal {
  readonly #log: LogFile;
  #awaited: AwaitedRecord[] = [];
  #compaction: Promise<void> | undefined;

  private constructor(log: LogFile) {
    this.#log = log;
  }

  /** Replays what is there into `service` (the snapshot only) and returns the log behind it. */
  static async open(options: JournalOptions): Promise<{ journal: Journal; found: DurableLog }> {
    const { world, crc32c, directory, service, onState, onGroup, segmentBytesMin, readChunkBytes } = options;
    const replay = new Replay(service);
    let journal: Journal | undefined;
    const take = (payload: Uint8Array, source: { path: string; offset: number }) =>
      replay.take(payload, source);
    const log = await LogFile.open(
      {
        disk: world.disk,
        clock: world.clock,
        random: world.random,
        crc32c,
        directory,
        payloadFormat: PAYLOAD_FORMAT,
        ...(segmentBytesMin !== undefined && { segmentBytesMin }),
        ...(readChunkBytes !== undefined && { readChunkBytes }),
        listener: {
          onDurable: (position) => journal?.onDurable(position),
          onState,
          onGroup: (_bytes, durationMs) => onGroup?.(durationMs),
        },
      },
      { onSnapshot: take, onFrame: take },
    );
    journal = new Journal(log);
    return { journal, found: replay.finish() };
  }

  get stats(): LogStats {
    return this.#log.stats;
  }

  get isOpen(): boolean {
    return this.#log.state === "open";
  }

  /** `then` is called when the record would survive power loss. */
  write(record: JournalRecord, then: () => void): void {
    const writer = beginRecord();
    if (record.kind === "install") writer.u64(record.logView).u64(record.keep);
    writeEntries(writer, record.entries);
    const position = this.#log.append(endRecord(writer, Kind[record.kind]));
    this.#awaited.push({ position, then });
  }

  private onDurable(position: number): void {
    while (this.#awaited[0] !== undefined && this.#awaited[0].position <= position) {
      this.#awaited.shift()?.then();
    }
  }

  isCompactionDue(bytesMin: number): boolean {
    return this.#log.isCompactionDue(bytesMin, 2);
  }

  /** Replaces everything so far by the service's present state and `log`, whose `snapshotOp` is the service's op. */
  async compact(log: DurableLog, service: Service): Promise<void> {
    const stream = service.snapshot();
    const records = async function* () {
      yield endRecord(beginRecord().u64(log.logView).u64(log.snapshotOp), Kind.snapshot);
      for await (const part of stream.chunks) yield endRecord(beginRecord().raw(part), Kind.part);
      const entries = beginRecord();
      writeEntries(entries, log.entries);
      yield endRecord(entries, Kind.append);
    };
    this.#compaction = this.#log.compact(records).finally(() => {
      this.#compaction = undefined;
      stream.close();
    });
    await this.#compaction;
  }

  /** Resolves when no compaction is under way. */
  async settled(): Promise<void> {
    await this.#compaction?.catch(() => undefined);
  }

  close(): Promise<void> {
    return this.#log.close();
  }
}

/** Removes what a replica without promises has in its journal: an unfinished recovery, or what is left of a lost one. */
export async function eraseJournal(disk: Disk, directory: string): Promise<void> {
  if (!(await disk.exists(directory))) return;
  for (const { name, kind } of await disk.list(directory)) {
    if (kind === "file") await disk.remove(`${directory}/${name}`);
  }
  await disk.syncDirectory(directory);
}

const beginRecord = () => new ByteWriter(256, RECORD_HEADER_BYTES);

function endRecord(writer: ByteWriter, kind: number): Uint8Array {
  const record = writer.done();
  record[0] = kind;
  putU32(record, 1, record.byteLength - RECORD_HEADER_BYTES);
  return record;
}

/** Builds the log again, record by record. */
class Replay {
  readonly #service: Service;
  #restorer: ServiceRestorer | undefined;
  #log: DurableLog = { logView: 0, snapshotOp: 0, entries: [] };

  constructor(service: Service) {
    this.#service = service;
  }

  take(payload: Uint8Array, { path, offset }: { path: string; offset: number }): void {
    try {
      const reader = new ByteReader(payload);
      while (reader.remaining > 0) this.#record(reader.u8(), new ByteReader(reader.bytes()));
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      throw new NxError(
        "NX_DATA_CORRUPT",
        `${path}: the frame at byte ${offset} passes its checksum but holds no valid records: ${error.message}`,
        { hint: "the file was written by a defective program; keep a copy and report it", cause: error },
      );
    }
  }

  #record(kind: number, reader: ByteReader): void {
    if (kind === Kind.part) {
      if (this.#restorer === undefined) throw new WireError("a part stands before its snapshot");
      this.#restorer.add(reader.raw(reader.remaining));
      return;
    }
    this.#finishSnapshot();
    const log = this.#log;
    if (kind === Kind.snapshot) {
      this.#log = { logView: reader.u64(), snapshotOp: reader.u64(), entries: [] };
      this.#restorer = this.#service.restore();
    } else if (kind === Kind.append) this.#append(readEntries(reader));
    else if (kind === Kind.install) {
      log.logView = reader.u64();
      const keep = reader.u64();
      if (keep < log.snapshotOp) throw new WireError(`entries before the snapshot are cut off: ${keep}`);
      log.entries.length = Math.min(log.entries.length, keep - log.snapshotOp);
      this.#append(readEntries(reader));
    } else throw new WireError(`there is no record of kind ${kind}`);
    reader.end();
  }

  #append(entries: Entry[]): void {
    const { entries: known, snapshotOp } = this.#log;
    for (const entry of entries) {
      if (entry.op !== snapshotOp + known.length + 1)
        throw new WireError(`entry ${entry.op} is out of its place`);
      known.push(entry);
    }
  }

  #finishSnapshot(): void {
    this.#restorer?.finish(this.#log.snapshotOp);
    this.#restorer = undefined;
  }

  finish(): DurableLog {
    this.#finishSnapshot();
    return this.#log;
  }
}
