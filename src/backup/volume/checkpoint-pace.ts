/**
 * When a volume has its data file synced, so that a start need not redo what was copied there: after much, at rest, or after a
 * while. It costs clients that flush, because the disk does it beside their own syncs. Pure: no file, no clock.
 */

/** Copied, or a quarter of the ring. */
const BYTES_MAX = 256 << 20;
/** Nothing was written for so long: the volume is at rest. */
const REST_MS = 1000;
/** After a copy, whoever writes. */
const WAIT_MS = 10_000;

export class CheckpointPace {
  readonly #bytes: number;
  #byMs: number | undefined;
  #written: bigint | undefined;
  #restMs = 0;

  constructor(ringBytes: number) {
    this.#bytes = Math.min(BYTES_MAX, ringBytes / 4);
  }

  /** How long to wait, when `copiedBytes` were copied since the last one and the log is written up to `written`; 0: not at all. */
  waitMs(copiedBytes: number, written: bigint, nowMs: number): number {
    if (copiedBytes >= this.#bytes) return 0;
    this.#byMs ??= nowMs + WAIT_MS;
    if (written !== this.#written) {
      this.#written = written;
      this.#restMs = nowMs + REST_MS;
    }
    return Math.max(0, Math.min(this.#byMs, this.#restMs) - nowMs);
  }

  /** There is one. */
  done(): void {
    this.#byMs = undefined;
  }
}
