/**
 * The transactional store as a target: the records of a checkpoint and the checkpoint's number in one transaction, so each
 * checkpoint takes effect exactly once.
 *
 * A record is a key, a TAB, and a text. The number is the text under `stream/<output>`.
 */
import { connect, text, type Client } from "../../reactive/client.ts";
import { keyedRecord, type Target } from "./target.ts";

export interface StoreTargetOptions {
  /** Such as `http://127.0.0.1:12355`. */
  frontends: readonly string[];
  /** Names this output among all that write to the store. */
  output: string;
}

export function storeTarget({ frontends, output }: StoreTargetOptions): Target {
  const marker = text(`stream/${output}`);
  let client: Client | undefined;
  return {
    async deliver(checkpoint, records) {
      client ??= await connect({ frontends });
      await client.execute(async (transaction) => {
        if (Number(await marker.value(transaction)) >= checkpoint) return;
        for (const { key, value } of records.map(keyedRecord))
          text(key).set(
            transaction,
            Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString(),
          );
        marker.set(transaction, String(checkpoint));
      });
    },
    close: async () => client?.close(),
  };
}
