/**
 * Has a file synced while it is still being written, so that the disk works meanwhile and little is left for the sync at
 * the end. A peer that waits for that sync, on a slow disk, would otherwise take us for dead.
 *
 * Invariant: at most one sync is under way; with `wrote`, no more than WAITING_BYTES_MAX wait for one. `finish` resolves when everything that was written before it is durable; a sync
 * that failed is told by it, whenever that was.
 */
import type { DiskFile } from "../../core/seams/disk.ts";

/** The disk is told to begin with so much. */
const STEP_BYTES = 16 << 20;
const WAITING_BYTES_MAX = 64 << 20;

export class EarlySync {
  readonly #file: DiskFile;
  /** Written, and not covered by a sync that has ended. */
  #waiting = 0;
  /** Written since a sync began. */
  #since = 0;
  #running: Promise<void> | undefined;
  #failure: Error | undefined;

  constructor(file: DiskFile) {
    this.#file = file;
  }

  /** Some of it was written. */
  begin(): void {
    if (this.#running !== undefined) return;
    const covered = this.#waiting;
    this.#since = 0;
    this.#running = this.#file.sync().then(
      () => {
        this.#running = undefined;
        this.#waiting -= covered;
      },
      (error: Error) => void (this.#failure = error),
    );
  }

  /** So much was written. Resolves when the next part may be, which is at once while the disk keeps up. */
  async wrote(bytes: number): Promise<void> {
    this.#waiting += bytes;
    this.#since += bytes;
    if (this.#since >= STEP_BYTES) this.begin();
    while (this.#waiting > WAITING_BYTES_MAX) {
      if (this.#failure !== undefined) throw this.#failure;
      this.begin();
      await this.#running;
    }
  }

  /** Nothing is under way afterwards; to be awaited before the file is closed. */
  async settled(): Promise<void> {
    await this.#running;
  }

  async finish(): Promise<void> {
    await this.#running;
    if (this.#failure !== undefined) throw this.#failure;
    await this.#file.sync();
    this.#waiting = this.#since = 0;
  }
}
