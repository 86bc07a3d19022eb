/**
 * Lets transactions of this frontend that depend on one key go one after the other: together they would only make each other's
 * comparison fail. Transactions of other frontends are met by the comparison.
 *
 * Invariant: who comes first goes first, and waits for nobody who came later, so nobody waits in a circle.
 */
import { nameOf } from "../../wire/key-name.ts";

export class Turns {
  readonly #last = new Map<string, Promise<void>>();

  /** Calls `work` when all earlier work on these keys is done. */
  async take<Result>(keys: readonly Uint8Array[], work: () => Promise<Result>): Promise<Result> {
    if (keys.length === 0) return work();
    const names = [...new Set(keys.map(nameOf))];
    const before = names.map((name) => this.#last.get(name));
    const { promise, resolve } = Promise.withResolvers<void>();
    for (const name of names) this.#last.set(name, promise);
    try {
      await Promise.all(before);
      return await work();
    } finally {
      for (const name of names) if (this.#last.get(name) === promise) this.#last.delete(name);
      resolve();
    }
  }
}
