/**
 * Which keys have something due at which time, and what is due next: a table by time, and a heap of its times.
 *
 * Invariant: a time is in the heap exactly once while the table has it. What one more time costs grows with the logarithm of
 * how many there are: of sessions every key has one of its own.
 */
export class DueTimes {
  readonly #keys = new Map<number, Set<string>>();
  /** The time at `n` is not later than those at `2n + 1` and `2n + 2`. */
  readonly #heap: number[] = [];

  expect(dueMs: number, key: string): void {
    const keys = this.#keys.get(dueMs);
    if (keys !== undefined) keys.add(key);
    else {
      this.#keys.set(dueMs, new Set([key]));
      this.#push(dueMs);
    }
  }

  /** The earliest time up to `untilMs` and its keys, in their order; they are not expected any more. */
  take(untilMs: number): { dueMs: number; keys: string[] } | undefined {
    const [dueMs] = this.#heap;
    if (dueMs === undefined || dueMs > untilMs) return undefined;
    const keys = [...(this.#keys.get(dueMs) as Set<string>)].sort();
    this.#keys.delete(dueMs);
    this.#pop();
    return { dueMs, keys };
  }

  clear(): void {
    this.#keys.clear();
    this.#heap.length = 0;
  }

  #push(timeMs: number): void {
    const heap = this.#heap;
    let at = heap.push(timeMs) - 1;
    while (at > 0) {
      const above = (at - 1) >> 1;
      if ((heap[above] as number) <= timeMs) break;
      heap[at] = heap[above] as number;
      at = above;
    }
    heap[at] = timeMs;
  }

  /** Removes the earliest. */
  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let at = 0;
    for (;;) {
      let below = 2 * at + 1;
      if (below + 1 < heap.length && (heap[below + 1] as number) < (heap[below] as number)) below += 1;
      if (below >= heap.length || (heap[below] as number) >= last) break;
      heap[at] = heap[below] as number;
      at = below;
    }
    heap[at] = last;
  }
}
