/**
 * Memtables with their readers counted: C memory that is freed when it is out of use and nobody reads it any more.
 *
 * Invariant: a memtable is freed once, after `retire` and after every `release`.
 */
import {
  freeMemtable,
  type MemtableFigures,
  type MemtablePointer,
  readMemtable,
} from "../../../native/logfiles/logs.ts";

export class Memtable {
  readonly pointer: MemtablePointer;
  #readers = 0;
  #isRetired = false;

  constructor(pointer: MemtablePointer) {
    this.pointer = pointer;
  }

  get figures(): MemtableFigures {
    return readMemtable(this.pointer);
  }

  /** Out of use, and in memory for its readers alone. */
  get isPinned(): boolean {
    return this.#isRetired && this.#readers > 0;
  }

  retain(): void {
    this.#readers += 1;
  }

  release(): void {
    this.#readers -= 1;
    if (this.#isRetired && this.#readers === 0) freeMemtable(this.pointer);
  }

  /** Nobody will begin to read it any more. */
  retire(): void {
    this.#isRetired = true;
    if (this.#readers === 0) freeMemtable(this.pointer);
  }
}
