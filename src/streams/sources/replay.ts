/**
 * Feeding again what an input log kept: a piece in each turn of the event loop, so that barriers, other workers and
 * questions come in between, however much there is. A checkpoint in the middle of it keeps how far it came.
 *
 * Invariant: nothing is fed while it is stopped. `onDone` comes once for each start that is not stopped, when nothing is left.
 */
import { type Clock, oncePerTurn } from "../../core/seams/clock.ts";
import type { InputLog } from "./input-log.ts";

export interface ReplayOptions {
  clock: Pick<Clock, "endOfTurn" | "monotonicMs">;
  inputLog: InputLog;
  feed(record: Uint8Array): void;
  /** Behind each piece; `startedMs` (monotonic): when it began. May stop it. */
  onPieceEnd(records: number, startedMs: number): void;
  onDone(): void;
}

/** As much as a read of a socket brings. */
const PIECE_BYTES = 64 << 10;

export class Replay {
  readonly #options: ReplayOptions;
  readonly #goOn: () => void;
  #isStopped = true;

  constructor(options: ReplayOptions) {
    this.#options = options;
    this.#goOn = oncePerTurn(options.clock, () => this.#step());
  }

  /** The first piece is fed before this returns. */
  start(): void {
    if (!this.#isStopped) return;
    this.#isStopped = false;
    this.#step();
  }

  stop(): void {
    this.#isStopped = true;
  }

  #step(): void {
    if (this.#isStopped) return;
    const { clock, inputLog, feed, onPieceEnd, onDone } = this.#options;
    const startedMs = clock.monotonicMs();
    const records = inputLog.replay(feed, PIECE_BYTES);
    if (records > 0) onPieceEnd(records, startedMs);
    if (this.#isStopped) return;
    if (inputLog.isBehind) this.#goOn();
    else onDone();
  }
}
