/**
 * What the watch brought lately, so that a run need not ask etcd again for what it was told of.
 *
 * Invariant: a key's cell holds from its own revision up to where the feed is, because the feed has brought every later change. Only
 * reads between the two are answered; all else, and what was let go for want of room, is etcd's to answer. A gap empties it.
 */
import { type Cell, cellOf, type KeyValue, revisionOf } from "./bytes.ts";

const BYTES_MAX = 32 << 20;
/** For what an entry costs beside its texts. */
const ENTRY_BYTES = 200;

const bytesOfEntry = ({ key, value = "" }: KeyValue) => ENTRY_BYTES + key.length + value.length;

export class RecentCells {
  readonly #bytesMax: number;
  /** By etcd's key, the oldest change first. */
  readonly #kept = new Map<string, KeyValue>();
  #bytes = 0;

  constructor(bytesMax = BYTES_MAX) {
    this.#bytesMax = bytesMax;
  }

  add(changed: KeyValue): void {
    this.forget(changed.key);
    this.#kept.set(changed.key, changed);
    this.#bytes += bytesOfEntry(changed);
    for (const oldest of this.#kept.keys()) {
      if (this.#bytes <= this.#bytesMax) return;
      this.forget(oldest);
    }
  }

  forget(name: string): void {
    const known = this.#kept.get(name);
    if (known === undefined) return;
    this.#kept.delete(name);
    this.#bytes -= bytesOfEntry(known);
  }

  /** `reached`: where the feed is. */
  at(name: string, revision: number, reached: number): Cell | undefined {
    const known = this.#kept.get(name);
    if (known === undefined || revision > reached || revision < revisionOf(known.mod_revision))
      return undefined;
    return cellOf(known);
  }

  clear(): void {
    this.#kept.clear();
    this.#bytes = 0;
  }
}
