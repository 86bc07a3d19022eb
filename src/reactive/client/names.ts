/**
 * Names of transactions: the client's number and one that is never used again.
 *
 * Invariant: `floor` is at or below every transaction whose outcome somebody may still ask for; frontends forget those below.
 */
import type { TransactionId } from "../shard/transaction.ts";
import type { TransactionNames } from "./transactions.ts";

export function transactionNames(
  client: number,
  nextNumber: () => number,
  /** The oldest that is asked for all the same, because a log knows of it; infinity: none. */
  oldestKept: () => number = () => Number.POSITIVE_INFINITY,
): TransactionNames {
  /** Under way, in order. */
  const open = new Set<number>();
  let last = 0;
  return {
    open(): TransactionId {
      last = nextNumber();
      open.add(last);
      return { client, number: last };
    },
    close({ number }: TransactionId): void {
      open.delete(number);
    },
    get floor(): number {
      const [oldest = last + 1] = open;
      return Math.min(oldest, oldestKept());
    },
  };
}
