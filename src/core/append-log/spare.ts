/**
 * Keeps one allocated segment in reserve.
 *
 * Invariant: the next segment's space is claimed while the present one still has room, so a disk that runs
 * full is noticed (`isSpaceShort`) before anything has to be refused. At most one `spare.tmp` exists, written
 * by one task.
 */
import type { Clock, Timer } from "../seams/clock.ts";
import type { Disk } from "../seams/disk.ts";
import { SPARE_NAME } from "./directory.ts";
import { Pace } from "./pace.ts";
import { allocateSpare, discard, isDiskFull, type Spare } from "./segment.ts";

export interface SpareOptions {
  disk: Disk;
  clock: Clock;
  directory: string;
  segmentBytesMin: number;
  segmentBytesMax: number;
  retryDelayMs: number;
}

export class SpareKeeper {
  #options: SpareOptions;
  /** Told of a failure in the background that is not a full disk. */
  #onFailure: (error: unknown) => void;
  #spare: Spare | undefined;
  #work: Promise<void> | undefined;
  #retryTimer: Timer | undefined;
  #nextBytes: number;
  readonly #pace: Pace;
  #isSpaceShort = false;
  #isClosed = false;

  constructor(options: SpareOptions, onFailure: (error: unknown) => void) {
    this.#options = options;
    this.#onFailure = onFailure;
    this.#nextBytes = options.segmentBytesMin;
    this.#pace = new Pace(options.clock);
  }

  /** True while there is no space for the next segment. */
  get isSpaceShort(): boolean {
    return this.#isSpaceShort;
  }

  /** The spare, allocated now if there is none. It stays the spare until `taken`. Throws NX_DISK_FULL. */
  async get(): Promise<Spare> {
    this.#pace.isUrgent = true;
    try {
      await this.#work?.catch(() => undefined);
      if (this.#spare === undefined) await this.#allocate();
    } finally {
      this.#pace.isUrgent = false;
    }
    return this.#spare as unknown as Spare;
  }

  /** The spare became a segment: prepares a larger one in the background. */
  taken(): void {
    this.#spare = undefined;
    this.#nextBytes = Math.min(2 * this.#nextBytes, this.#options.segmentBytesMax);
    this.#prepare();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#retryTimer?.cancel();
    await this.#work?.catch(() => undefined);
    const { disk, directory } = this.#options;
    if (this.#spare !== undefined) await discard(disk, `${directory}/${SPARE_NAME}`, this.#spare.file);
    this.#spare = undefined;
  }

  /** One allocation at a time: they share a name. */
  #allocate(): Promise<void> {
    this.#retryTimer?.cancel();
    this.#work ??= this.#allocateNext().finally(() => {
      this.#work = undefined;
    });
    return this.#work;
  }

  async #allocateNext(): Promise<void> {
    const { disk, directory } = this.#options;
    try {
      this.#spare = await allocateSpare(disk, directory, this.#nextBytes, this.#pace);
      this.#isSpaceShort = false;
    } catch (error) {
      this.#isSpaceShort = isDiskFull(error);
      throw error;
    }
  }

  #prepare(): void {
    if (this.#isClosed || this.#spare !== undefined) return;
    this.#allocate().catch((error: unknown) => {
      if (!isDiskFull(error)) this.#onFailure(error);
      else this.#retryTimer = this.#options.clock.after(this.#options.retryDelayMs, () => this.#prepare());
    });
  }
}
