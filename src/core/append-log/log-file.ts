/**
 * The append log with group commit that every durable role stands on.
 *
 * Invariant: `durablePosition` never passes a byte that power loss could take. Appends are gathered into a
 * group; a group is one checksummed frame, written and synced before the next one is written. So at most the
 * last frame can be torn by a crash, and it holds nothing that was acknowledged.
 *
 * What a crash does: the log holds every acknowledged append, in order and once, possibly followed by whole
 * groups that were on their way. What damage does: a flipped bit is reported with file and byte, nothing
 * behind it is served. One case cannot be told from a crash: damage of the very last frame looks like a torn
 * tail. It is closed by the next group, and, when none follows within `sealDelayMs`, by a seal, an empty
 * frame. Damage that hits the last acknowledged group within that time AND is followed by a crash before the
 * next frame is cut as if torn, and its size is reported as `tornBytes`. A seal that is damaged itself is cut
 * and costs nothing. Not detected either: an operator who removes the newest segment file.
 *
 * A full disk: the log turns "full", keeps everything that was appended in memory, acknowledges none of it,
 * refuses more, tries again by itself, and goes on where it stopped. A failed write or sync: the log turns
 * "failed" for good, because after a failed sync nobody knows what is on disk; its owner must stop.
 *
 * Fault model: a torn sector holds, byte by byte, its old or its new content. Frames share sectors, so a
 * medium that turns a sector it was rewriting into garbage can take the end of the frame before it along; that
 * is outside this model.
 */
import type { Timer } from "../seams/clock.ts";
import { assert, NxError } from "../errors.ts";
import { oncePerTurn } from "../seams/clock.ts";
import { Cohort } from "./cohort.ts";
import { FileKind, frameBytes, FrameKind, newBuffer, PAYLOAD_BYTES_MAX } from "./frame.ts";
import { Group } from "./group.ts";
import { LogBase } from "./log-base.ts";
import { defaults, type LogOptions, type LogState, type Settings } from "./options.ts";
import { CommitQueue, Cut, type QueueItem } from "./queue.ts";
import { recover, type Recovered, type Replay } from "./recover.ts";
import { isDiskFull, Segment } from "./segment.ts";
import { Pace } from "./pace.ts";
import { removeOlder, writeSnapshot, type Chunks } from "./snapshot.ts";
import { SpareKeeper } from "./spare.ts";

export type { LogListener, LogOptions, LogState, LogStats } from "./options.ts";

export class LogFile extends LogBase {
  readonly #options: Settings;
  readonly #spares: SpareKeeper;
  readonly #recovered: Recovered;
  #isClosing = false;
  #segment: Segment | undefined;
  #nextFrame: number;
  #nextSequence: number;
  readonly #cohort: Cohort;
  #pumping: Promise<void> | undefined;
  readonly #pumpAtEndOfTurn: () => void;
  /** Whether something valid stands behind the last group, so that its damage would be noticed. */
  #isSealed = true;
  #isSealDue = false;
  /** A group is durable, and nobody was told yet. */
  #isUntold = false;
  #isDrainUntold = false;
  #sealTimer: Timer | undefined;
  #retryTimer: Timer | undefined;

  private constructor(options: Settings, recovered: Recovered) {
    super(options.listener, new CommitQueue(recovered.position, options.groupBytesMax), recovered);
    this.#options = options;
    this.#spares = new SpareKeeper(options, (error) => this.#interrupt(error));
    this.#recovered = recovered;
    this.#cohort = new Cohort(options.clock);
    this.#nextFrame = recovered.nextFrame;
    this.#nextSequence = recovered.nextSequence;
    this.#pumpAtEndOfTurn = oncePerTurn(options.clock, () => {
      if (this.state === "open") void this.pump();
    });
  }

  /**
   * Replays what `directory` holds, then opens it for appending. On a full disk the log opens in state
   * "full". Throws NX_DATA_CORRUPT or NX_DATA_VERSION (nothing was changed then), or NX_DISK_FAILED.
   */
  static async open(options: LogOptions, replay: Replay): Promise<LogFile> {
    const settings: Settings = { ...defaults, ...options };
    const log = new LogFile(settings, await recover(settings, replay));
    await log.pump();
    if (log.state === "failed") {
      await log.#release();
      throw log.error as NxError;
    }
    return log;
  }

  protected get placeStats() {
    return {
      segment: this.#segment?.sequence ?? 0,
      isSpaceShort: this.#spares.isSpaceShort,
      tornBytes: this.#recovered.tornBytes,
      tornPath: this.#recovered.tornPath,
    };
  }

  /** Throws the reason (NX_DISK_FULL, NX_DISK_FAILED) unless `append` is allowed. */
  override assertOpen(): void {
    this.#assertRunning();
    super.assertOpen();
  }

  override append(bytes: Uint8Array): number {
    assert(bytes.byteLength <= PAYLOAD_BYTES_MAX, "an append fits into one frame");
    return super.append(bytes);
  }

  /**
   * Resolves when everything appended so far is durable; rejects when the log fails. Waits while it is full.
   */
  flush(): Promise<void> {
    if (this.queue.durablePosition >= this.queue.position) return Promise.resolve();
    if (this.state === "failed") return Promise.reject(this.error);
    const durable = this.queue.wait();
    void this.pump();
    return durable;
  }

  /**
   * Makes everything durable and stops. Throws NX_DISK_FULL when that is not possible now; call it again
   * then.
   */
  async close(): Promise<void> {
    if (this.state === "closed") return;
    this.#isClosing = true;
    while (this.state !== "failed" && (this.queue.first !== undefined || !this.#isSealed)) {
      this.#isSealDue = true;
      await this.pump();
      if (this.state === "full") throw this.error as NxError;
    }
    await this.compactionEnd();
    if (this.state === "failed") {
      await this.#release();
      throw this.error as NxError;
    }
    this.setState("closed", undefined);
    await this.#segment?.finish();
    await this.#release();
  }

  // --- group commit ----------------------------------------------------------------------------------------------

  protected writeAtEndOfTurn(): void {
    if (this.#pumping === undefined) this.#pumpAtEndOfTurn();
  }

  /** Works the queue off, one item at a time; resolves when it is empty or cannot go on. */
  protected pump(): Promise<void> {
    this.#pumping ??= this.#work().then(() => {
      this.#pumping = undefined;
      this.#scheduleNext();
    });
    return this.#pumping;
  }

  async #work(): Promise<void> {
    this.#sealTimer?.cancel();
    this.#retryTimer?.cancel();
    while (this.state === "open" || this.state === "full") {
      const item = this.queue.first;
      if (item === undefined && this.#segment !== undefined && !this.#isSealDue) break;
      try {
        const step = this.#begin(item);
        // The disk works on this group while those who wait for the one before are told.
        this.#tell();
        await step;
      } catch (error) {
        this.#interrupt(error);
        break;
      }
      // Something else, the spare for one, may have failed meanwhile: then nothing is acknowledged any more.
      if ((this.state as LogState) === "failed") break;
      if ((this.state as LogState) === "full") this.setState("open", undefined);
      if (item !== undefined) this.#complete(item);
      if (item instanceof Group) await this.#gatherCohort(item.appends);
    }
    this.#tell();
  }

  /** Lets those who are told of `told` appends come back and join the next group, where that pays. */
  async #gatherCohort(told: number): Promise<void> {
    const queue = this.queue;
    const mustHurry = () => this.#isClosing || this.state !== "open" || queue.isUrgent;
    if (!this.#options.servesClients || mustHurry()) return;
    if (!this.#cohort.isExpected(told, queue.first?.appends ?? 0)) return;
    this.#tell();
    await this.#cohort.gather(told, () => queue.appends, mustHurry);
  }

  /** Hands an item to the disk; for a group that fits the segment, before this returns. */
  #begin(item: QueueItem | undefined): Promise<void> {
    if (item instanceof Group) return this.#commit(item);
    if (item instanceof Cut || this.#segment === undefined) return this.#rotate();
    return this.#seal(this.#segment);
  }

  #scheduleNext(): void {
    const { clock, retryDelayMs, sealDelayMs } = this.#options;
    if (this.state === "full") {
      this.#retryTimer = clock.after(retryDelayMs, () => void this.pump());
    } else if (this.state === "open" && this.queue.first !== undefined) {
      this.writeAtEndOfTurn();
    } else if (this.state === "open" && !this.#isSealed) {
      this.#sealTimer = clock.after(sealDelayMs, () => {
        this.#isSealDue = true;
        void this.pump();
      });
    }
  }

  async #commit(group: Group): Promise<void> {
    const startMs = this.#options.clock.monotonicMs();
    group.isClosed = true;
    this.#isSealDue = false;
    if (this.#segment?.fits(group.payloadBytes) !== true) await this.#rotate();
    await this.#writeFrame(this.#segment as Segment, group.frame(), FrameKind.data, group.payloadBytes);
    this.groups += 1;
    this.#isSealed = false;
    const durationMs = this.#options.clock.monotonicMs() - startMs;
    this.#cohort.synced(durationMs);
    this.listener.onGroup?.(group.payloadBytes, durationMs);
  }

  async #seal(segment: Segment): Promise<void> {
    await this.#writeFrame(segment, newBuffer(frameBytes(0)), FrameKind.seal, 0);
    this.#isSealed = true;
    this.#isSealDue = false;
  }

  async #writeFrame(
    segment: Segment,
    frame: Uint8Array,
    kind: FrameKind,
    payloadBytes: number,
  ): Promise<void> {
    await segment.write(frame, kind, this.#nextFrame, payloadBytes);
    segment.advance(frame.byteLength);
    this.#nextFrame += 1;
    this.logBytes += frame.byteLength;
  }

  #complete(item: QueueItem): void {
    if (item instanceof Cut) {
      item.logBytes = this.logBytes;
      this.queue.completeCut(item, (this.#segment as Segment).sequence);
      return;
    }
    if (this.queue.complete(item)) this.#isDrainUntold = true;
    this.#isUntold = true;
  }

  /** Tells the owner and those who wait for a flush how far the log is durable, once per group. */
  #tell(): void {
    if (!this.#isUntold) return;
    this.#isUntold = false;
    const { listener } = this;
    listener.onDurable(this.queue.durablePosition);
    this.queue.releaseWaiters();
    if (!this.#isDrainUntold) return;
    this.#isDrainUntold = false;
    listener.onDrain?.();
  }

  /** Begins the next segment; every frame of the present one is synced when this is called. */
  async #rotate(): Promise<void> {
    const { disk, directory, crc32c, random, payloadFormat } = this.#options;
    const spare = await this.#spares.get();
    // Half a frame, from a write that met a full disk, must not stand before a segment: it would pass for
    // damage.
    if (this.#segment?.hasResidue === true) await this.#segment.finish();
    const segment = await Segment.begin(disk, directory, crc32c, spare, {
      kind: FileKind.segment,
      sequence: this.#nextSequence,
      id: random.bytes(16),
      position: this.queue.durablePosition,
      firstFrame: this.#nextFrame,
      payloadFormat,
    });
    this.#spares.taken();
    const previous = this.#segment;
    this.#segment = segment;
    this.#nextSequence += 1;
    this.#isSealed = true;
    this.#isSealDue = false;
    await previous?.close();
  }

  protected async replaceBySnapshot(cut: Cut, chunks: Chunks): Promise<void> {
    const { disk, directory, crc32c, random, payloadFormat } = this.#options;
    const sequence = await cut.done.promise;
    const header = {
      kind: FileKind.snapshot,
      sequence,
      id: random.bytes(16),
      position: cut.position,
      firstFrame: 0,
    };
    const pace = new Pace(this.#options.clock);
    const target = { disk, pace, directory, crc32c, header: { ...header, payloadFormat } };
    const settle = () => this.#settle();
    this.snapshotBytes = await writeSnapshot(target, chunks, () => this.#assertRunning(), settle);
    this.logBytes -= cut.logBytes;
    await removeOlder(disk, directory, pace);
  }

  /**
   * Waits until everything appended so far is durable. A snapshot of a state that moved on may hold half of
   * an append that came meanwhile: only the replay of that append makes it whole, so it must not be lost once
   * the snapshot counts. On a full disk the snapshot is given up, because it takes the space that the appends
   * need.
   */
  async #settle(): Promise<void> {
    const { position } = this.queue;
    while (this.queue.durablePosition < position) {
      this.#assertRunning();
      if (this.state === "full") throw this.error as NxError;
      await this.pump();
    }
  }

  /** A snapshot goes on while the disk is full: it may be what frees space. */
  #assertRunning(): void {
    if (this.#isClosing || this.state === "failed") {
      throw this.error ?? new NxError("NX_DISK_FAILED", `the log in ${this.#options.directory} is closed`);
    }
  }

  // --- trouble ---------------------------------------------------------------------------------------------------

  #interrupt(error: unknown): void {
    if (this.state === "failed" || this.state === "closed") return;
    if (isDiskFull(error)) {
      this.setState("full", error);
      return;
    }
    this.fail(error);
  }

  async #release(): Promise<void> {
    this.#sealTimer?.cancel();
    this.#retryTimer?.cancel();
    await this.#pumping;
    await this.#spares.close();
    await this.#segment?.close().catch(() => undefined);
    this.#segment = undefined;
  }
}
