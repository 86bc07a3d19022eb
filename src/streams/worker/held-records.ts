/**
 * What came over links behind the barrier of a checkpoint that is not aligned yet: kept as bytes, in order.
 *
 * Invariant: what is released is what was added, in that order, and nothing stays. Past a few megabytes the worker counts as
 * congested (runtime.ts), so the sources of all workers rest until it is aligned.
 */
import { copyOf } from "../wire/bytes.ts";

export type Held =
  | { peer: number; exchange: number; timeMs: number; key: string; bytes: Uint8Array }
  | { peer: number; exchange: number; timeMs: number };

export class HeldRecords {
  #held: Held[] = [];
  bytes = 0;

  get count(): number {
    return this.#held.length;
  }

  add(held: Held): void {
    if ("bytes" in held) this.bytes += held.bytes.byteLength;
    this.#held.push("bytes" in held ? { ...held, bytes: copyOf(held.bytes) } : held);
  }

  release(take: (held: Held) => void): void {
    const held = this.#held;
    this.clear();
    for (const each of held) take(each);
  }

  clear(): void {
    this.bytes = 0;
    this.#held = [];
  }
}
