/**
 * A volume that runs: its log file, its data file and what moves between them.
 *
 *   clients --> batches of packs --> log file (acknowledged) --sync--> durable --copy--> data file --sync--> checkpoint
 *
 * Invariant: a write is acknowledged when the log file has it, a flush when the log file was synced after that. Only what
 * is durable in the log is copied into the data file, and the log is only overwritten behind the last checkpoint: the
 * super block's written lsid, set when the data file was synced. So a start finds every flushed write in the log or in
 * the data file, and none by half (recovery.ts).
 *
 * A failed write or sync ends the volume: its clients get I/O errors until it is opened again.
 */
import { NxError } from "../../core/errors.ts";
import type { Log } from "../../core/logging/log.ts";
import { type Clock, sleep, type Timer } from "../../core/seams/clock.ts";
import type { Disk, DiskFile } from "../../core/seams/disk.ts";
import { type FilePair, openPair, stretchesOf } from "../../core/seams/file-pair.ts";
import type { Random } from "../../core/seams/random.ts";
import { StretchSource } from "../../native/stretches.ts";
import { VolumeLog } from "../../native/volume.ts";
import { LogDevice, ringStart } from "../formats/log-device.ts";
import { BLOCK_BYTES } from "../formats/units.ts";
import { ApplyPace } from "./apply-pace.ts";
import { CheckpointPace } from "./checkpoint-pace.ts";
import { deviceOf, volumeFiles } from "./directory.ts";
import { LogWriter } from "./log-writer.ts";
import { recover, type Recovered } from "./recovery.ts";

/** No more of the log than this is ever not durable: a start looks so far for what must not come back. */
export const UNDURABLE_BYTES_MAX = 256 << 20;
/** So often it is asked what of the log is old enough to be copied. */
const APPLY_MS = 500;
/** How long a full disk is waited for before the next try. */
const FULL_DISK_MS = 1000;

export interface VolumeWorld {
  disk: Disk;
  clock: Clock;
  random: Random;
  log: Log;
}

/** Told of what happens to a volume. */
export interface VolumeEvents {
  /** Connections with these ids have answers to send. */
  onReady(ids: Uint32Array): void;
  /** There is room in the log again, or it came to an end. */
  onRoom?(): void;
  /** The log was made longer, or more of it became durable. */
  onLog?(): void;
}

export class VolumeEngine {
  readonly name: string;
  /** The path of the block device that is its image, if it is one. */
  readonly blockDevice: string | undefined;
  readonly #world: VolumeWorld;
  readonly #device: LogDevice;
  readonly #writer: LogWriter;
  readonly #logFile: DiskFile;
  readonly #data: DiskFile;
  readonly pair: FilePair;
  readonly log: VolumeLog;
  readonly recovered: Recovered;
  events: VolumeEvents = { onReady: () => undefined };
  bytes: number;
  readonly #pace: ApplyPace;
  readonly #checkpoints: CheckpointPace;
  #applying: Promise<void> | undefined;
  /** Everything before it is durable in the data file. */
  #checkpoint: bigint;
  #timers: Partial<Record<"apply" | "checkpoint", Timer>> = {};
  /** Log that somebody still needs begins here; undefined: nobody needs any. */
  #keepFrom: bigint | undefined;
  readonly #pins = new Map<object, bigint>();
  /** What reads the files at present: until it has ended they stay open. */
  readonly #underway = new Set<Promise<unknown>>();
  /** A checkpoint makes room for who waits. */
  #isRingBound = false;
  #isFrozen = false;
  #isClosed = false;
  failure: Error | undefined;
  /** Why nothing moves at present, if it is so. */
  stalled: string | undefined;

  private constructor(
    name: string,
    world: VolumeWorld,
    files: Pick<VolumeEngine, "bytes" | "blockDevice"> & {
      device: LogDevice;
      logFile: DiskFile;
      data: DiskFile;
    },
    log: VolumeLog,
    recovered: Recovered,
  ) {
    this.name = name;
    this.#world = world;
    this.#device = files.device;
    this.#logFile = files.logFile;
    this.#data = files.data;
    this.bytes = files.bytes;
    this.blockDevice = files.blockDevice;
    this.log = log;
    this.recovered = recovered;
    this.pair = openPair(world.disk, files.logFile, files.data);
    this.#writer = new LogWriter({
      ...{ clock: world.clock, device: files.device, file: files.logFile, log },
      onWritten: () => {
        this.#pace.note(log.written, world.clock.monotonicMs());
        this.#ready();
        this.events.onLog?.();
      },
      onDurable: () => this.#onDurable(),
      onFailed: (error) => this.#fail(error),
    });
    this.#pace = new ApplyPace(this.ringBlocks, this.physicalBytes);
    this.#pace.note(log.durable, world.clock.monotonicMs());
    this.#checkpoints = new CheckpointPace(Number(this.ringBlocks) * this.physicalBytes);
    this.#checkpoint = files.device.superBlock.writtenLsid;
    // Nobody knows yet who needs the log; whoever does says so before anything is thrown away.
    this.#keepFrom = files.device.superBlock.oldestLsid;
    this.#setLimit();
  }

  /** Opens a volume and finds in its log what its data file lacks. */
  static async open(world: VolumeWorld, directory: string, name: string): Promise<VolumeEngine> {
    const paths = volumeFiles(directory, name);
    const logFile = await world.disk.open(paths.log, "readWrite");
    let data: DiskFile | undefined;
    let log: VolumeLog | undefined;
    try {
      const blockDevice = await deviceOf(world.disk, directory, name);
      data =
        blockDevice === undefined
          ? await world.disk.open(paths.data, "readWrite")
          : await world.disk.open(blockDevice, "claim");
      const device = await LogDevice.open(paths.log, logFile);
      const { physicalBytes, salt, ringBlocks, writtenLsid, deviceBlocks } = device.superBlock;
      const bytes = Number(deviceBlocks) * BLOCK_BYTES;
      const found = await data.size();
      if (found < bytes)
        throw new NxError(
          "NX_DATA_CORRUPT",
          `${blockDevice ?? paths.data} has ${found} bytes, its log says ${bytes}`,
          {
            hint: "restore the volume from its archive",
          },
        );
      const start = ringStart(physicalBytes) * physicalBytes;
      log = new VolumeLog({ physicalBytes, salt, ringBlocks, ringStart: start, lsid: writtenLsid });
      const recovered = await recover(device, log, UNDURABLE_BYTES_MAX / physicalBytes);
      return new VolumeEngine(name, world, { device, logFile, data, bytes, blockDevice }, log, recovered);
    } catch (error) {
      log?.free();
      await data?.close();
      await logFile.close();
      throw error;
    }
  }

  get physicalBytes(): number {
    return this.#device.physicalBytes;
  }

  get uuid(): Uint8Array {
    return this.#device.superBlock.uuid;
  }

  get salt(): number {
    return this.#device.superBlock.salt;
  }

  get ringBlocks(): bigint {
    return this.#device.superBlock.ringBlocks;
  }

  /** Log from here on is in the ring, unless it overflowed. */
  get oldest(): bigint {
    const { applied } = this.log;
    return this.#keepFrom === undefined || this.#keepFrom > applied ? applied : this.#keepFrom;
  }

  /** Physical blocks of log that are kept. */
  get usage(): bigint {
    return this.log.next - this.oldest;
  }

  /** Log that somebody needs was overwritten. */
  get isOverflow(): boolean {
    return this.usage > this.ringBlocks;
  }

  /** Log before this is not needed any more by whoever ships it; undefined: no log is needed. */
  keepLogFrom(lsid: bigint | undefined): void {
    this.#keepFrom = lsid;
  }

  // --- the log ---------------------------------------------------------------------------------------------------

  #setLimit(): void {
    const inBlocks = (bytes: number) => BigInt(Math.floor(bytes / this.physicalBytes));
    let limit = this.log.durable + inBlocks(UNDURABLE_BYTES_MAX);
    let floor = this.#checkpoint;
    for (const pin of this.#pins.values()) if (pin < floor) floor = pin;
    this.#isRingBound = floor + this.ringBlocks < limit;
    if (this.#isRingBound) limit = floor + this.ringBlocks;
    this.log.setLimit(this.#isFrozen ? 0n : limit);
  }

  /** To be called when clients were served: writes what they put into the log. */
  kick(): void {
    if (this.failure !== undefined) return;
    this.#writer.write();
    if (this.log.held === 0) return;
    // Whoever waits for room waits for a checkpoint, however little there is to be copied.
    if (this.log.written > this.log.durable) this.#writer.sync();
    else this.#needApply();
  }

  #onDurable(): void {
    this.#setLimit();
    this.#ready();
    this.#needApply();
    this.kick();
    this.events.onRoom?.();
    this.events.onLog?.();
  }

  #ready(): void {
    const ids = this.log.takeReady();
    if (ids.length > 0) this.events.onReady(ids);
  }

  #after(name: "apply" | "checkpoint", ms: number, run: () => void): void {
    this.#timers[name] ??= this.#world.clock.after(ms, () => {
      this.#timers[name] = undefined;
      run();
    });
  }

  // --- the data file ---------------------------------------------------------------------------------------------

  #needApply(): void {
    const { applied, durable, held } = this.log;
    if (durable === applied && held === 0) return this.#needCheckpoint();
    if (this.#makesRoom() || this.#target() > applied) void this.#apply();
    else if (durable > applied) this.#after("apply", APPLY_MS, () => this.#needApply());
  }

  /** Somebody waits for room that a checkpoint makes. */
  #makesRoom(): boolean {
    return this.log.held > 0 && this.#isRingBound && this.log.applied > this.#checkpoint;
  }

  /** Up to where the log is copied next; `applied` when that is no use. */
  #target(): bigint {
    const { applied, durable, written, held } = this.log;
    if (this.#isFrozen) return durable;
    const due = this.#pace.due(applied, durable, this.#world.clock.monotonicMs(), held > 0);
    // Whoever waits, though all is durable and no checkpoint makes room, needs all of it copied.
    const isStuck = held > 0 && written === durable && due === applied && !this.#makesRoom();
    return isStuck ? durable : due;
  }

  /** Copies what is durable into the data file. */
  #apply(): Promise<void> {
    this.#applying ??= this.#applyOnce().finally(() => {
      this.#applying = undefined;
      if (this.failure === undefined && !this.#isClosed) this.#needApplyAgain();
    });
    return this.#applying;
  }

  #needApplyAgain(): void {
    this.#needCheckpoint();
    if (this.log.durable > this.log.applied) this.#needApply();
  }

  async #applyOnce(): Promise<void> {
    if (this.failure !== undefined) return;
    const target = this.#target();
    try {
      if (target > this.log.applied) {
        await this.#copy(target);
        this.log.markApplied(target);
        this.#pace.applied(target);
      }
      if (this.#makesRoom()) await this.#writeCheckpoint();
      this.#setLimit();
      this.kick();
      this.events.onRoom?.();
    } catch (error) {
      this.#fail(error as Error);
    }
  }

  async #copy(target: bigint): Promise<void> {
    for (;;) {
      try {
        const stretches = this.log.collect(target);
        if (stretches.byteLength > 0) await this.pair.copy(stretches);
        this.stalled = undefined;
        return;
      } catch (error) {
        if ((error as NxError).code !== "NX_DISK_FULL" || this.#isClosed) throw error;
        // The log has everything; it is copied when there is space again.
        if (this.stalled === undefined) this.#world.log.error(`${this.name}: ${(error as Error).message}`);
        this.stalled = "the disk of its data is full";
        await sleep(this.#world.clock, FULL_DISK_MS);
      }
    }
  }

  #needCheckpoint(): void {
    const blocks = this.log.applied - this.#checkpoint;
    if (blocks === 0n) return;
    const copiedBytes = Number(blocks) * this.physicalBytes;
    const waitMs = this.#checkpoints.waitMs(copiedBytes, this.log.written, this.#world.clock.monotonicMs());
    if (waitMs === 0) this.#beginCheckpoint();
    else this.#after("checkpoint", waitMs, () => this.#needCheckpoint());
  }

  /** In turn with copies, so that one place writes the data file and the super block. */
  #beginCheckpoint(): void {
    this.#applying ??= this.#writeCheckpoint()
      .catch((error: Error) => this.#fail(error))
      .finally(() => {
        this.#applying = undefined;
        this.#setLimit();
        this.kick();
        this.events.onRoom?.();
        if (this.failure === undefined && !this.#isClosed) this.#needApplyAgain();
      });
  }

  /** The log is synced before the super block: what a later write replaced was not copied, and that write is durable then. */
  async #writeCheckpoint(): Promise<void> {
    const target = this.log.applied;
    if (target === this.#checkpoint) return;
    await this.#data.sync();
    const oldestLsid = this.#keepFrom === undefined || this.#keepFrom > target ? target : this.#keepFrom;
    await this.#device.replaceSuperBlock({ ...this.#device.superBlock, writtenLsid: target, oldestLsid });
    this.#checkpoint = target;
    this.#checkpoints.done();
    this.#setLimit();
  }

  #fail(error: Error): void {
    if (this.failure !== undefined) return;
    this.failure = error;
    this.#writer.end();
    this.#world.log.error(`the volume ${this.name} has failed: ${error.message}`);
    this.log.fail();
    this.#ready();
    this.events.onRoom?.();
    this.events.onLog?.();
  }

  // --- for those who read, ship, resize --------------------------------------------------------------------------

  /** Keeps the log behind what was applied in place while `work` reads it. */
  async pinned<Value>(work: () => Promise<Value>): Promise<Value> {
    const pin = {};
    this.#pins.set(pin, this.#checkpoint);
    const working = work();
    this.#underway.add(working);
    try {
      return await working;
    } finally {
      this.#underway.delete(working);
      this.#pins.delete(pin);
      if (!this.#isClosed) this.#setLimit();
      if (!this.#isClosed) this.kick();
    }
  }

  /** Fills `target` with what the volume holds there. */
  read(target: Uint8Array, offset: number): Promise<void> {
    return this.pinned(() => this.readStretches(this.log.plan(offset, target.byteLength), target, 0));
  }

  /** Fills stretches of a list; `base` is where `target` begins. The caller has the log pinned. */
  async readStretches(list: Uint8Array, target: Uint8Array, base: number): Promise<void> {
    for (const { source, from, length, to } of stretchesOf(list)) {
      const part = target.subarray(to - base, to - base + length);
      const kind = source & ~StretchSource.late;
      if (kind === StretchSource.zero) part.fill(0);
      else await (kind === StretchSource.log ? this.#logFile : this.#data).read(part, from);
    }
  }

  /** Log from `lsid` on, whole blocks; it must be durable, kept and not overflowed. */
  readLog(lsid: bigint, blocks: number): Promise<Uint8Array> {
    return this.#device.read(lsid, blocks);
  }

  /** Resolves when everything that is acknowledged is durable. */
  async flush(): Promise<void> {
    const target = this.log.written;
    while (this.log.durable < target && this.failure === undefined) {
      this.#writer.sync();
      await sleep(this.#world.clock, 1);
    }
    if (this.failure !== undefined) throw this.failure;
  }

  /** Everything is in the data file, durably, and the super block says so. New writes are held meanwhile. */
  async #drain(): Promise<void> {
    this.#isFrozen = true;
    this.#setLimit();
    while (this.failure === undefined) {
      this.kick();
      await this.flush();
      // What ends may have begun the next: two at once would write the super block twice.
      while (this.#applying !== undefined) await this.#applying;
      const { next, written, durable, applied } = this.log;
      if (next === written && durable === applied && !this.#writer.isWriting) {
        if (applied === this.#checkpoint && written === durable) return;
        this.#beginCheckpoint();
        await this.#applying;
      } else if (durable > applied) await this.#apply();
      else await sleep(this.#world.clock, 1);
    }
    throw this.failure;
  }

  async #frozen<Value>(work: () => Promise<Value>): Promise<Value> {
    try {
      await this.#drain();
      return await work();
    } finally {
      this.#isFrozen = false;
      if (this.failure === undefined) this.#setLimit();
      this.kick();
      this.#ready();
      this.events.onRoom?.();
    }
  }

  /** An empty log: another history, with another salt and uuid, from lsid 0 on. */
  reset(): Promise<void> {
    const { random } = this.#world;
    return this.#frozen(async () => {
      const salt = random.integer(2 ** 32);
      const superBlock = { ...this.#device.superBlock, salt, uuid: random.bytes(16) };
      await this.#device.replaceSuperBlock({ ...superBlock, oldestLsid: 0n, writtenLsid: 0n });
      this.#checkpoint = 0n;
      this.#keepFrom = 0n;
      this.log.reset(salt, 0n);
      this.#pace.reset();
    });
  }

  /** Grows the volume. Never shrinks. */
  async grow(bytes: number): Promise<void> {
    if (bytes < this.bytes || bytes % BLOCK_BYTES !== 0)
      throw new NxError("NX_USAGE", `${this.name} has ${this.bytes} bytes; a volume only grows`);
    if (this.blockDevice !== undefined && (await this.#data.size()) < bytes)
      throw new NxError(
        "NX_USAGE",
        `${this.blockDevice} has no ${bytes} bytes: the device has to grow first`,
      );
    await this.#frozen(async () => {
      if (this.blockDevice === undefined) await this.#data.truncate(bytes);
      await this.#data.sync();
      const deviceBlocks = BigInt(bytes / BLOCK_BYTES);
      await this.#device.replaceSuperBlock({ ...this.#device.superBlock, deviceBlocks });
      this.bytes = bytes;
    });
  }

  figures() {
    const blocks = (count: bigint) => Number(count) * this.physicalBytes;
    return {
      name: this.name,
      bytes: this.bytes,
      ...this.log.figures,
      heldRequests: this.log.held,
      logBytes: blocks(this.ringBlocks),
      logUsedBytes: blocks(this.usage),
      unappliedBytes: blocks(this.log.written - this.log.applied),
      isOverflow: this.isOverflow,
      failure: this.failure?.message,
      stalled: this.stalled,
    };
  }

  /** Everything acknowledged goes into the data file; clients must be gone. */
  async close(): Promise<void> {
    if (this.failure === undefined) await this.#drain().catch(() => undefined);
    this.#isClosed = true;
    for (const timer of Object.values(this.#timers)) timer?.cancel();
    await this.#applying;
    await Promise.allSettled(this.#underway);
    this.#writer.end();
    await this.#writer.settled();
    this.pair.close();
    this.log.free();
    await this.#logFile.close();
    await this.#data.close();
  }
}
