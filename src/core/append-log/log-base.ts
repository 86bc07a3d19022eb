/**
 * What an append log with group commit is wherever its groups go: its state, what waits, its figures, and how a snapshot
 * takes the place of what was appended.
 *
 * Invariant: appends are taken only in the state "open"; each change of the state is told once; one compaction at a time.
 * What a crash leaves is the heir's affair (log-file.ts, nats/stream-log).
 */
import { assert, NxError } from "../errors.ts";
import type { GroupLog } from "./group-log.ts";
import type { LogListener, LogState, LogStats } from "./options.ts";
import type { CommitQueue, Cut } from "./queue.ts";
import type { Chunks } from "./snapshot.ts";

export abstract class LogBase implements GroupLog {
  protected readonly queue: CommitQueue;
  protected readonly listener: LogListener;
  protected groups = 0;
  /** Behind the newest snapshot. */
  protected logBytes: number;
  protected snapshotBytes: number;
  #state: LogState = "open";
  #error: NxError | undefined;
  #compaction: Promise<void> | undefined;

  protected constructor(
    listener: LogListener,
    queue: CommitQueue,
    { logBytes, snapshotBytes }: { logBytes: number; snapshotBytes: number },
  ) {
    this.listener = listener;
    this.queue = queue;
    this.logBytes = logBytes;
    this.snapshotBytes = snapshotBytes;
  }

  // --- what an heir brings ---------------------------------------------------------------------------------------

  /** Something waits: everything that is readable in this turn of the event loop joins it, then it is written. */
  protected abstract writeAtEndOfTurn(): void;
  /** Works the queue off; resolves when it is empty or cannot go on. */
  protected abstract pump(): Promise<void>;
  /** Makes a snapshot of `chunks` the log's beginning, once everything before the cut is durable. */
  protected abstract replaceBySnapshot(cut: Cut, chunks: Chunks): Promise<void>;
  /** Of the place where the groups go. */
  protected abstract get placeStats(): Pick<LogStats, "segment" | "isSpaceShort" | "tornBytes" | "tornPath">;

  // --- what an owner sees ----------------------------------------------------------------------------------------

  get state(): LogState {
    return this.#state;
  }

  get position(): number {
    return this.queue.position;
  }

  get durablePosition(): number {
    return this.queue.durablePosition;
  }

  get isCongested(): boolean {
    return this.queue.isCongested;
  }

  get stats(): LogStats {
    return {
      state: this.#state,
      position: this.queue.position,
      durablePosition: this.queue.durablePosition,
      logBytes: this.logBytes,
      snapshotBytes: this.snapshotBytes,
      groups: this.groups,
      isCompacting: this.#compaction !== undefined,
      ...this.placeStats,
    };
  }

  /** Throws the reason unless `append` is allowed. */
  assertOpen(): void {
    if (this.#state !== "open") throw this.#error as NxError;
  }

  /**
   * Copies `bytes` into the gathering group and returns the position behind them: they are durable once `durablePosition`
   * has reached it. Replay hands a group's appends over as one run of bytes, so an owner that needs their bounds frames
   * them itself. Throws when the state is not "open": check before changing memory.
   */
  append(bytes: Uint8Array): number {
    this.assertOpen();
    if (bytes.byteLength > 0) {
      this.queue.append(bytes);
      this.writeAtEndOfTurn();
    }
    return this.queue.position;
  }

  /** True when the log has outgrown its snapshot: more than `bytesMin` and more than `factor` times its size. */
  isCompactionDue(bytesMin: number, factor: number): boolean {
    const limit = Math.max(bytesMin, factor * this.snapshotBytes);
    return this.#state === "open" && this.#compaction === undefined && this.logBytes > limit;
  }

  /**
   * Replaces the log so far by a snapshot while appends go on. `source` is called at once, before any further append:
   * what it streams must restore, together with a replay of all later appends, the state of the owner. An owner whose
   * appends are idempotent may stream a state that moves on meanwhile. When the snapshot fails the log stays as it was.
   */
  async compact(source: () => Chunks): Promise<void> {
    this.assertOpen();
    assert(this.#compaction === undefined, "one compaction at a time");
    const chunks = source();
    const cut = this.queue.cut();
    this.#compaction = this.replaceBySnapshot(cut, chunks);
    void this.pump();
    try {
      await this.#compaction;
    } finally {
      this.#compaction = undefined;
    }
  }

  abstract close(): Promise<void>;

  // --- state -----------------------------------------------------------------------------------------------------

  /** Why the state is "full" or "failed". */
  protected get error(): NxError | undefined {
    return this.#error;
  }

  protected setState(state: LogState, error: NxError | undefined): void {
    if (state === this.#state) return;
    this.#state = state;
    this.#error = error;
    this.listener.onState?.(state, error);
  }

  /** For good: nothing more becomes durable. Returns the reason as an operator reads it. */
  protected fail(error: unknown): void {
    const reason =
      error instanceof NxError ? error : new NxError("NX_INTERNAL", String(error), { cause: error });
    this.setState("failed", reason);
    this.queue.fail(reason);
  }

  /** Resolves when no compaction goes on, however it ended. */
  protected async compactionEnd(): Promise<void> {
    await this.#compaction?.catch(() => undefined);
  }
}
