/**
 * The channels of a node as the store sees them: what is in memory, in which order, and who reads it.
 *
 * Invariant: the records of a channel are, oldest first, those in files, those in `frozen`, those in the memtable that
 * takes what is written. A memtable is in this list or being read, or it is freed.
 */
import type { ChannelPointer, Logs, MemtablePointer } from "../../../native/logfiles/logs.ts";
import type { SourceSpec } from "../scan/request.ts";
import { Memtable } from "./memtables.ts";

export class Channel {
  readonly name: string;
  readonly pointer: ChannelPointer;
  readonly #logs: Logs;
  /** Out of use for writing, oldest first; being sealed, or about to be. */
  frozen: Memtable[] = [];
  #active: Memtable | undefined;
  /** Called before memtables leave memory: those who follow the channel take what they have not seen yet. */
  readonly onFreeze = new Set<() => void>();
  /** Up to which removal the store has followed the channel. */
  removedAt = 0;

  constructor(logs: Logs, pointer: ChannelPointer) {
    this.#logs = logs;
    this.pointer = pointer;
    this.name = logs.nameOf(pointer);
  }

  get figures() {
    return this.#logs.read(this.pointer);
  }

  /** The memtable that takes what is written. */
  get active(): Memtable {
    const pointer = this.#logs.memtable(this.pointer);
    if (this.#active?.pointer !== pointer) this.#active = new Memtable(pointer);
    return this.#active;
  }

  /** Freezes what was written so far; undefined when that is nothing. */
  freeze(): Memtable | undefined {
    for (const tell of this.onFreeze) tell();
    const active = this.active;
    if (this.#logs.freeze(this.pointer) === undefined) return undefined;
    this.#active = undefined;
    this.frozen.push(active);
    return active;
  }

  /** The sealed memtable is out of use. */
  unfreeze(memtable: Memtable): void {
    this.frozen = this.frozen.filter((other) => other !== memtable);
    memtable.retire();
  }

  /** Takes over a memtable that C gave up because the channel was removed; true when it was this channel's. */
  adopt(orphan: MemtablePointer): boolean {
    if (this.#active?.pointer !== orphan) return false;
    // Who follows the channel is not shown what was removed at once.
    this.#active.retire();
    this.#active = undefined;
    return true;
  }

  /** Everything in memory below this number is removed. */
  dropFrozen(): void {
    for (const memtable of this.frozen) memtable.retire();
    this.frozen = [];
  }

  /** What is in memory, for a scan; held until `release`. With `fromNumber` only records from that one on. */
  holdMemtables(fromNumber = 0): { specs: SourceSpec[]; memtables: Memtable[]; release(): void } {
    const memtables = [...this.frozen, this.active];
    const specs = memtables.flatMap((memtable): SourceSpec[] => {
      const { records: count, firstNumber } = memtable.figures;
      const from = Math.max(0, fromNumber - firstNumber);
      return from >= count ? [] : [{ kind: "memtable", pointer: memtable.pointer, from, count }];
    });
    for (const memtable of memtables) memtable.retain();
    return {
      specs,
      memtables,
      release: () => {
        for (const memtable of memtables) memtable.release();
      },
    };
  }
}
