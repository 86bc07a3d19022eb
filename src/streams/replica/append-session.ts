/**
 * One append under way: bytes come in, statuses go out.
 *
 * Checked (`A`): each status is sent as soon as the pieces before it are synced; pieces that come meanwhile are synced
 * together. Raw (`a`, the original's): a status at most each `statusMs`, and one at the end.
 *
 * Invariant: a status never says more than what was synced; a piece that fails its checksum is not written and ends the
 * append.
 */
import type { Clock, Timer } from "../../core/seams/clock.ts";
import type { AppendFile } from "../append-file.ts";
import { FrameReader } from "../wire/frame.ts";
import { PIECE_BODY_BYTES_MAX, readPiece, statusFrame } from "../wire/replica.ts";

export interface AppendSessionOptions {
  clock: Clock;
  file: AppendFile;
  isChecked: boolean;
  statusMs: number;
  unwrittenBytesMax: number;
  send(frame: Uint8Array): void;
  /** The sender must wait (or need no longer). */
  setPaused(isPaused: boolean): void;
  /** Writing or syncing failed. */
  onFailed(error: Error): void;
}

export class AppendSession {
  readonly #options: AppendSessionOptions;
  readonly #reader = new FrameReader(() => PIECE_BODY_BYTES_MAX);
  #syncing: Promise<void> | undefined;
  #isPaused = false;
  #reportedBytes = -1;
  #timer: Timer | undefined;
  #isEnded = false;

  constructor(options: AppendSessionOptions) {
    this.#options = options;
  }

  /** Throws WireError. */
  receive(chunk: Uint8Array): void {
    const { file, isChecked, unwrittenBytesMax, setPaused } = this.#options;
    if (isChecked) {
      this.#reader.feed(chunk, (bytes, start, end) => file.append(readPiece(bytes.subarray(start, end))));
      if (file.waitingBytes > 0) this.#syncSoon();
    } else {
      file.append(chunk);
      this.#reportLater();
    }
    if (this.#isPaused || file.waitingBytes <= unwrittenBytesMax) return;
    this.#isPaused = true;
    setPaused(true);
    this.#syncSoon();
  }

  #reportLater(): void {
    const { clock, statusMs } = this.#options;
    this.#timer ??= clock.after(statusMs, () => {
      this.#timer = undefined;
      this.#syncSoon();
    });
  }

  #syncSoon(): void {
    this.#syncing ??= this.#syncAll();
  }

  /** Never rejects. */
  async #syncAll(): Promise<void> {
    const { file, isChecked, send, setPaused, onFailed } = this.#options;
    try {
      let bytes: number;
      do {
        bytes = file.bytes;
        await file.sync();
        if (bytes !== this.#reportedBytes) send(statusFrame({ writtenBytes: bytes, syncedBytes: bytes }));
        this.#reportedBytes = bytes;
        if (this.#isPaused) {
          this.#isPaused = false;
          setPaused(false);
        }
        // What came meanwhile may be written by the same call, and is told with the next one.
      } while (isChecked && file.bytes > bytes && !this.#isEnded);
    } catch (error) {
      onFailed(error as Error);
    }
    // In the same breath as the look at what came meanwhile: nothing can come between.
    this.#syncing = undefined;
  }

  /** The sender is gone, or ends: what it sent is synced. */
  async end(): Promise<void> {
    this.#isEnded = true;
    this.#timer?.cancel();
    await this.#syncing;
    this.#syncSoon();
    await this.#syncing;
  }
}
