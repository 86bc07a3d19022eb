/**
 * The transactional store as a target: the records of a checkpoint and the checkpoint's number in one transaction, so each
 * checkpoint takes effect exactly once.
 *
 * A record is a key, a TAB, and a text. Under `stream/<output>` stands the number, behind the name of the output's life: a
 * cluster that begins anew counts its checkpoints from 1, and none of them has been here.
 */
import type { Random } from "../../core/seams/random.ts";
import { connect, text, type Client } from "../../reactive/client.ts";
import { keyedRecord, type Target } from "./target.ts";

export interface StoreTargetOptions {
  /** Such as `http://127.0.0.1:12355`. */
  frontends: readonly string[];
  /** Names this output among all that write to the store. */
  output: string;
  random: Random;
}

const LIFE_BYTES = 9;

export function storeTarget({ frontends, output, random }: StoreTargetOptions): Target {
  const marker = text(`stream/${output}`);
  let client: Client | undefined;
  /** "" for outputs of checkpoints that kept none: their marker is the number alone. */
  let life = "";
  const markOf = (checkpoint: number) => (life === "" ? String(checkpoint) : `${life} ${checkpoint}`);
  const isDelivered = (mark: string, checkpoint: number) => {
    const [number = "", ownLife = ""] = mark.split(" ").toReversed();
    return ownLife === life && Number(number) >= checkpoint;
  };
  return {
    resume(position) {
      if (position === undefined) life = Buffer.from(random.bytes(LIFE_BYTES)).toString("base64url");
      else life = typeof position === "string" ? position : "";
    },
    position: () => life,
    async deliver(checkpoint, records) {
      client ??= await connect({ frontends });
      await client.execute(async (transaction) => {
        if (isDelivered(await marker.value(transaction), checkpoint)) return;
        for (const { key, value } of records.map(keyedRecord))
          text(key).set(
            transaction,
            Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString(),
          );
        marker.set(transaction, markOf(checkpoint));
      });
    },
    close: async () => client?.close(),
  };
}
