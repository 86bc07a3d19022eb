/**
 * What came over links behind the barrier of a checkpoint that is not aligned yet: kept as bytes, in order.
 *
 * Invariant: what is released is what was added, in that order, and nothing stays. It is bounded by what other workers
 * send between their alignment and ours: their sources rest until then too.
 */
import { copyOf } from "../wire/bytes.ts";

export type Held =
  | { peer: number; exchange: number; timeMs: number; key: string; bytes: Uint8Array }
  | { peer: number; exchange: number; timeMs: number };

export class HeldRecords {
  #held: Held[] = [];

  get count(): number {
    return this.#held.length;
  }

  add(held: Held): void {
    this.#held.push("bytes" in held ? { ...held, bytes: copyOf(held.bytes) } : held);
  }

  release(take: (held: Held) => void): void {
    const held = this.#held;
    this.#held = [];
    for (const each of held) take(each);
  }

  clear(): void {
    this.#held = [];
  }
}
