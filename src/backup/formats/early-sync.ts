/**
 * Has a file synced while it is still being written, so that the disk works meanwhile and little is left for the sync at
 * the end.
 *
 * Invariant: at most one sync is under way. `finish` resolves when everything that was written before it is durable; a sync
 * that failed is told by it, whenever that was.
 */
import type { DiskFile } from "../../core/seams/disk.ts";

export class EarlySync {
  readonly #file: DiskFile;
  #running: Promise<void> | undefined;
  #failure: Error | undefined;

  constructor(file: DiskFile) {
    this.#file = file;
  }

  /** Some of it was written. */
  begin(): void {
    this.#running ??= this.#file.sync().then(
      () => (this.#running = undefined),
      (error: Error) => void (this.#failure = error),
    );
  }

  /** Nothing is under way afterwards; to be awaited before the file is closed. */
  async settled(): Promise<void> {
    await this.#running;
  }

  async finish(): Promise<void> {
    await this.#running;
    if (this.#failure !== undefined) throw this.#failure;
    await this.#file.sync();
  }
}
