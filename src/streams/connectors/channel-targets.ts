/**
 * Nodes of the channels family as targets: queue, logfiles and dht.
 *
 * A queue and a log get a record again when the worker died between the delivery and its note of it; a dht gets the same
 * value under the same key, which changes nothing.
 */
import {
  DhtClient,
  LogfilesClient,
  QueueClient,
  type ClientSeams,
  type NodeAddress,
} from "../../channels/client.ts";
import { keyedRecord, type Target } from "./target.ts";

/** What was delivered of a checkpoint whose delivery failed half-way: the rest goes on behind it. */
class Progress {
  #checkpoint = 0;
  #done = 0;

  async each(
    checkpoint: number,
    records: readonly Uint8Array[],
    send: (record: Uint8Array) => Promise<void>,
  ): Promise<void> {
    if (this.#checkpoint !== checkpoint) this.#done = 0;
    this.#checkpoint = checkpoint;
    for (; this.#done < records.length; this.#done++) await send(records[this.#done] as Uint8Array);
  }
}

export function queueTarget(seams: ClientSeams, node: NodeAddress, channel: string): Target {
  const client = new QueueClient(seams, { nodes: [node] });
  const progress = new Progress();
  return {
    deliver: (checkpoint, records) =>
      progress.each(checkpoint, records, (record) => client.push(channel, record)),
    close: async () => client.close(),
  };
}

/** Records get the second in which they are delivered as their key. */
export function logfilesTarget(seams: ClientSeams, node: NodeAddress, channel: string): Target {
  const client = new LogfilesClient(seams, { nodes: [node] });
  const progress = new Progress();
  return {
    deliver(checkpoint, records) {
      const second = BigInt(Math.floor(seams.clock.nowMs() / 1000));
      return progress.each(checkpoint, records, (record) => client.put(channel, second, record));
    },
    close: async () => client.close(),
  };
}

/** A record is sixteen hex digits of key, a TAB, and the value. */
export function dhtTarget(seams: ClientSeams, node: NodeAddress, channel: string): Target {
  let client: DhtClient | undefined;
  return {
    async deliver(_checkpoint, records) {
      client ??= await DhtClient.connect(seams, { nodes: [node] });
      // Of two records with one key the later one counts.
      const newest = new Map(records.map(keyedRecord).map(({ key, value }) => [key, value]));
      await client.putMany(
        channel,
        Array.from(newest, ([key, value]) => ({ key, value })),
      );
    },
    close: async () => client?.close(),
  };
}
