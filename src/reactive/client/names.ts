/**
 * Names of transactions: the client's number and one that is never used again.
 *
 * Invariant: `floor` is at or below every transaction whose outcome somebody may still ask for; frontends forget those below.
 */
import type { TransactionId } from "../shard/transaction.ts";
import type { TransactionNames } from "./transactions.ts";

export function transactionNames(client: number, nextNumber: () => number): TransactionNames {
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
      const [oldest] = open;
      return oldest ?? last + 1;
    },
  };
}
