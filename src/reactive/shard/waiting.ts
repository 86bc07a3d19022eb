/**
 * Queries that cannot be answered yet: reads that wait for transactions to be settled, followers that wait for changes.
 *
 * Invariant: each is answered once, in the order in which they came. Not part of the replicated state: a primary's own.
 */
interface Waiter {
  left: number;
  resolve(isSettled: boolean): void;
}

export class Waiting {
  readonly #byTransaction = new Map<string, Waiter[]>();
  #followers: Waiter[] = [];
  /** What was settled since `hold`. */
  #held: string[] | undefined;

  /** Resolves with true when all of these transactions (`idText`) are committed or aborted; with false when nobody will know. */
  forSettled(ids: readonly string[]): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const names = new Set(ids);
    const waiter = { left: names.size, resolve };
    for (const name of names) {
      const waiters = this.#byTransaction.get(name);
      if (waiters === undefined) this.#byTransaction.set(name, [waiter]);
      else waiters.push(waiter);
    }
    return promise;
  }

  /** Nobody is let go before `release`. */
  hold(): void {
    this.#held = [];
  }

  release(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const id of held) this.settled(id);
  }

  /** Whether anybody waits for a transaction. */
  get isWanted(): boolean {
    return this.#byTransaction.size > 0;
  }

  /** Resolves behind the next entry. */
  forEntry(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#followers.push({ left: 1, resolve: () => resolve() });
    return promise;
  }

  settled(id: string): void {
    if (this.#held !== undefined) {
      this.#held.push(id);
      return;
    }
    const waiters = this.#byTransaction.get(id);
    if (waiters === undefined) return;
    this.#byTransaction.delete(id);
    for (const waiter of waiters) if (--waiter.left === 0) waiter.resolve(true);
  }

  /** This replica gave the transaction up: who waits for it has to ask again. */
  lost(id: string): void {
    const waiters = this.#byTransaction.get(id);
    if (waiters === undefined) return;
    this.#byTransaction.delete(id);
    for (const waiter of waiters) waiter.resolve(false);
  }

  /** An entry was applied. */
  applied(): void {
    const followers = this.#followers;
    if (followers.length === 0) return;
    this.#followers = [];
    for (const { resolve } of followers) resolve(true);
  }

  /** Nothing is known here any more. */
  loseAll(): void {
    this.#held = undefined;
    for (const name of [...this.#byTransaction.keys()]) this.lost(name);
    this.applied();
  }
}
