/**
 * The way of a volume's log to its file: batches of packs are written, then synced.
 *
 * Invariant: what is written is marked in the order of the log, because a start reads it up to the first gap; what is
 * marked durable was written before the sync of the file began. Several writes may be under way, one sync at a time.
 */
import type { Clock, Timer } from "../../core/seams/clock.ts";
import type { DiskFile } from "../../core/seams/disk.ts";
import type { Batch, VolumeLog } from "../../native/volume.ts";
import type { LogDevice } from "../formats/log-device.ts";

/** Log writes under way at once. */
const WRITES_MAX = 4;
/** While a log write is under way, smaller batches go on gathering. */
const GATHER_BYTES = 256 << 10;
/** Longer batches are not written on the event loop. */
const WRITE_NOW_BYTES = 64 << 10;
/**
 * So long batches are written past the page cache, several together, while others are being written: the disk is what limits
 * then, and neither a copy nor the kernel's writing back costs the processor anything. Two such writes keep the disk busy while
 * the next batches come. Whoever waits for each answer is served faster by the page cache.
 */
const LONG_BYTES = 1 << 20;
const LONG_WRITES_MAX = 2;
const TOGETHER_BYTES = 8 << 20;
/** The log is synced when so much of it is not, or after this time. */
const SYNC_BYTES = 16 << 20;
const SYNC_MS = 100;

export interface LogWriterOptions {
  clock: Clock;
  device: LogDevice;
  file: DiskFile;
  log: VolumeLog;
  /** Writes are acknowledged, and there may be room for more. */
  onWritten(): void;
  onDurable(): void;
  /** The file is not to be trusted any more; nothing is called after this. */
  onFailed(error: Error): void;
}

export class LogWriter {
  readonly #options: LogWriterOptions;
  #writing: { batches: Batch[]; isLong: boolean; isDone: boolean }[] = [];
  #isSyncing = false;
  #isEnded = false;
  #timer: Timer | undefined;
  /** Flushes that clients had asked for when the log was last written to. */
  #flushes = 0;
  /** Batches since then, and before that; behind how many the next flush is expected (0: nobody knows). */
  #batches = 0;
  #batchesBefore = 0;
  #expected = 0;
  /** Calls into the disk that have not returned: until then file and memory stay. */
  readonly #underway = new Set<Promise<unknown>>();

  constructor(options: LogWriterOptions) {
    this.#options = options;
  }

  get isWriting(): boolean {
    return this.#writing.length > 0;
  }

  /** Writes what was put into the log, and has it synced in time. */
  write(): void {
    const { log } = this.#options;
    while (!this.#isEnded && this.#writing.length < WRITES_MAX && log.waitingBytes > 0) {
      if (this.#writing.length > 0 && log.waitingBytes < GATHER_BYTES) break;
      if (this.#writing.filter(({ isLong }) => isLong).length >= LONG_WRITES_MAX) break;
      const batch = log.take();
      if (batch === undefined) break;
      const isLong = batch.bytes.byteLength >= LONG_BYTES && this.#writing.length > 0;
      if (isLong) this.#track(this.#writeLater(this.#together(batch), true));
      else if (!this.#writeNow(batch)) this.#track(this.#writeLater([batch], false));
    }
    this.#needSync();
  }

  /** The batch and those that wait behind it. */
  #together(batch: Batch): Batch[] {
    const batches = [batch];
    let bytes = batch.bytes.byteLength;
    for (let next: Batch | undefined; bytes < TOGETHER_BYTES; bytes += next.bytes.byteLength) {
      next = this.#options.log.take();
      if (next === undefined) break;
      batches.push(next);
    }
    return batches;
  }

  #track(work: Promise<unknown>): void {
    this.#underway.add(work);
    void work.finally(() => this.#underway.delete(work));
  }

  /** Writes a small batch while nothing else is being written: that costs less than the way to a thread and back. */
  #writeNow(batch: Batch): boolean {
    if (this.#writing.length > 0 || batch.bytes.byteLength > WRITE_NOW_BYTES) return false;
    const { device, log, onWritten } = this.#options;
    try {
      if (!device.writeNow(batch.first, batch.bytes)) return false;
    } catch (error) {
      this.#fail(error as Error);
      return true;
    }
    log.markWritten(batch);
    this.#syncAhead();
    onWritten();
    return true;
  }

  async #writeLater(batches: Batch[], isLong: boolean): Promise<void> {
    const { device, log, onWritten } = this.#options;
    const entry = { batches, isLong, isDone: false };
    this.#writing.push(entry);
    const [first] = batches as [Batch];
    try {
      if (isLong)
        await device.writeLong(
          first.first,
          batches.map(({ bytes }) => bytes),
        );
      else await device.write(first.first, first.bytes);
    } catch (error) {
      return this.#fail(error as Error);
    }
    entry.isDone = true;
    if (this.#isEnded) return;
    while (this.#writing[0]?.isDone === true) {
      for (const batch of (this.#writing.shift() as typeof entry).batches) log.markWritten(batch);
    }
    this.#syncAhead();
    onWritten();
    this.write();
  }

  /**
   * Clients that flush flush regularly. When the last two flushes came behind as many batches as were written since, the next
   * one is on its way: it finds the sync under way.
   */
  #syncAhead(): void {
    const { flushes } = this.#options.log;
    if (flushes !== this.#flushes) {
      this.#flushes = flushes;
      this.#expected = this.#batches === this.#batchesBefore ? this.#batches : 0;
      this.#batchesBefore = this.#batches;
      this.#batches = 0;
    }
    this.#batches += 1;
    if (this.#batches === this.#expected) this.sync();
  }

  #needSync(): void {
    const { log, clock, device } = this.#options;
    const bytes = Number(log.written - log.durable) * device.physicalBytes;
    if (bytes === 0 || this.#isEnded) return;
    if (log.hasDurableWaiters || bytes >= SYNC_BYTES) return this.sync();
    this.#timer ??= clock.after(SYNC_MS, () => {
      this.#timer = undefined;
      this.sync();
    });
  }

  /** Makes durable what is written; what is written meanwhile comes with the next sync. */
  sync(): void {
    const { log, file, onDurable } = this.#options;
    const target = log.written;
    if (this.#isSyncing || this.#isEnded || target === log.durable) return;
    this.#isSyncing = true;
    const syncing = file.sync().then(
      () => {
        this.#isSyncing = false;
        if (this.#isEnded) return;
        log.markDurable(target);
        onDurable();
        this.write();
      },
      (error: Error) => this.#fail(error),
    );
    this.#track(syncing);
  }

  #fail(error: Error): void {
    if (this.#isEnded) return;
    this.end();
    this.#options.onFailed(error);
  }

  /** Begins nothing any more. */
  end(): void {
    this.#isEnded = true;
    this.#timer?.cancel();
  }

  /** Resolves when the disk has returned every call. */
  async settled(): Promise<void> {
    await Promise.all(this.#underway);
  }
}
