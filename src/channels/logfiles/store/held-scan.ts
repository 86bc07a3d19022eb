/**
 * A scan with what is held for it: memory and files that must not go while it runs.
 *
 * Invariant: what is held is released once, after the scan has ended, whether its reader closed it or the store aborted it;
 * a call that is under way is waited for.
 */
import { NxError } from "../../../core/errors.ts";
import type { Pieces } from "../scan/scan.ts";
import type { Memtable } from "./memtables.ts";

export class HeldScan implements Pieces {
  readonly memtables: readonly Memtable[];
  readonly #pieces: Pieces;
  readonly #onEnded: () => void;
  readonly #onAborted: () => void;
  #isAborted = false;
  #closing: Promise<void> | undefined;
  #step: Promise<unknown> = Promise.resolve();

  constructor(pieces: Pieces, memtables: readonly Memtable[], onEnded: () => void, onAborted: () => void) {
    this.#pieces = pieces;
    this.memtables = memtables;
    this.#onEnded = onEnded;
    this.#onAborted = onAborted;
  }

  next(): Promise<Uint8Array | undefined> {
    if (this.#isAborted)
      return Promise.reject(
        new NxError("NX_CHECK_FAILED", "the answer was not read fast enough and was ended"),
      );
    const step = this.#pieces.next();
    this.#step = step.catch(() => undefined);
    return step;
  }

  get figures() {
    return this.#pieces.figures;
  }

  /** Ends it in the reader's place, and tells the reader. */
  abort(): void {
    if (this.#isAborted || this.#closing !== undefined) return;
    this.#isAborted = true;
    void this.close();
    this.#onAborted();
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#step;
    try {
      await this.#pieces.close();
    } finally {
      this.#onEnded();
    }
  }
}
