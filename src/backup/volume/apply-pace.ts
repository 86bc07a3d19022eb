/**
 * How far a volume's log is due to be copied into its data file: what is old, and what the ring will soon need the room of.
 *
 * Copying late is worth it: what is written again before its turn is never copied, so a client that goes round a part of the
 * volume that is smaller than what is kept makes the disk write once instead of twice. It costs a start the redoing of what
 * was kept.
 *
 * Invariant: only ends of batches that are durable are given out, because a start begins to read there.
 */

/** Of the log this much, or half of the ring, waits while clients write without a pause. */
const KEPT_BYTES_MAX = 1 << 30;
/** Copies are of about this much, or of an eighth of the ring. */
const STEP_BYTES_MAX = 128 << 20;
/** What was written so long ago is copied, whoever writes. */
const AGE_MS = 1000;
/** Marks are so far apart, or a sixteenth of a step. */
const MARK_MS = 100;

interface Mark {
  /** What it was set at, and moved to since. */
  first: bigint;
  lsid: bigint;
  /** Most of what is before `lsid` was written before this. */
  atMs: number;
}

export class ApplyPace {
  readonly #kept: bigint;
  readonly #step: bigint;
  #marks: Mark[] = [];

  constructor(ringBlocks: bigint, physicalBytes: number) {
    const least = (bytes: number, blocks: bigint) => {
      const most = BigInt(bytes / physicalBytes);
      return blocks < most ? blocks : most;
    };
    this.#kept = least(KEPT_BYTES_MAX, ringBlocks / 2n);
    this.#step = least(STEP_BYTES_MAX, ringBlocks / 8n);
  }

  /** The log is written up to here, which is the end of a batch. */
  note(lsid: bigint, nowMs: number): void {
    const last = this.#marks.at(-1);
    const isNear = last !== undefined && nowMs - last.atMs < MARK_MS && lsid - last.first < this.#step / 16n;
    if (isNear) last.lsid = lsid;
    else this.#marks.push({ first: lsid, lsid, atMs: nowMs });
  }

  /**
   * Everything before this is due, or `applied` when nothing is. `isWanted`: somebody waits for room, so that less than a step
   * is worth its copy.
   */
  due(applied: bigint, durable: bigint, nowMs: number, isWanted: boolean): bigint {
    const least = isWanted ? applied + 1n : applied + this.#step;
    const found = this.#marks.findLast(
      ({ lsid, atMs }) =>
        lsid <= durable && (nowMs - atMs >= AGE_MS || (lsid + this.#kept <= durable && lsid >= least)),
    );
    return found !== undefined && found.lsid > applied ? found.lsid : applied;
  }

  /** Everything before it is in the data file. */
  applied(lsid: bigint): void {
    this.#marks = this.#marks.filter((mark) => mark.lsid > lsid);
  }

  /** Another history. */
  reset(): void {
    this.#marks = [];
  }
}
