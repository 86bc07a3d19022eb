/**
 * Queries that cannot be answered yet: reads that wait for transactions to be settled, followers that wait for changes.
 *
 * Invariant: each is answered once, in the order in which they came. Not part of the replicated state: a primary's own.
 */
import { idText, type TransactionId } from "./transaction.ts";

interface Waiter {
  left: number;
  resolve(): void;
  reject(error: Error): void;
}

export class Waiting {
  readonly #byTransaction = new Map<string, Waiter[]>();
  #followers: Waiter[] = [];

  /** Resolves when all of them are committed or aborted. */
  forSettled(ids: readonly TransactionId[]): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const names = new Set(ids.map(idText));
    const waiter = { left: names.size, resolve, reject };
    for (const name of names) {
      const waiters = this.#byTransaction.get(name);
      if (waiters === undefined) this.#byTransaction.set(name, [waiter]);
      else waiters.push(waiter);
    }
    return promise;
  }

  /** Resolves behind the next entry. */
  forEntry(): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#followers.push({ left: 1, resolve, reject });
    return promise;
  }

  settled(id: TransactionId): void {
    const waiters = this.#byTransaction.get(idText(id));
    if (waiters === undefined) return;
    this.#byTransaction.delete(idText(id));
    for (const waiter of waiters) if (--waiter.left === 0) waiter.resolve();
  }

  /** An entry was applied. */
  applied(): void {
    const followers = this.#followers;
    if (followers.length === 0) return;
    this.#followers = [];
    for (const { resolve } of followers) resolve();
  }

  failAll(error: Error): void {
    const all = new Set([...this.#byTransaction.values()].flat().concat(this.#followers));
    this.#byTransaction.clear();
    this.#followers = [];
    for (const { reject } of all) reject(error);
  }
}
