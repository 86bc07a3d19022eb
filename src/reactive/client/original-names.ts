/**
 * The calls of the original Diamond by their names, so that what was written for it (the listings of its paper, its Python and
 * C++ clients) can be followed line by line.
 */
import type { Client } from "../client.ts";
import type { Reader } from "./transaction-handle.ts";
import type { TransactionCode, TransactionHandle } from "./transactions.ts";
import type { ReactiveHandle } from "./reactive-handle.ts";

export interface OriginalCalls {
  /** Runs code as a transaction. `callback` hears whether it was committed. Returns the transaction's number. */
  execute_txn(code: TransactionCode<void>, callback?: (isCommitted: boolean) => void): number;
  /** Runs code now and at each change of what it reads. Returns a number for `reactive_stop`. */
  reactive_txn(code: (transaction: Reader) => Promise<void> | void): number;
  reactive_stop(reactive: number): Promise<void>;
  /** Ends the transaction without effect. */
  abort_txn(transaction: TransactionHandle): never;
}

export function originalCalls(client: Client): OriginalCalls {
  const reactive = new Map<number, ReactiveHandle>();
  let transactions = 0;
  return {
    execute_txn(code, callback) {
      transactions += 1;
      client.execute(code).then(
        () => callback?.(true),
        () => callback?.(false),
      );
      return transactions;
    },
    reactive_txn(code) {
      const handle = client.executeReactive(code);
      reactive.set(handle.id, handle);
      return handle.id;
    },
    async reactive_stop(id) {
      await reactive.get(id)?.stop();
      reactive.delete(id);
    },
    abort_txn: (transaction) => transaction.abort(),
  };
}
