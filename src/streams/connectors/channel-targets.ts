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
import { inOrder, RecordSender } from "./in-order.ts";
import { keyedRecord, type Target } from "./target.ts";

export function queueTarget(
  seams: ClientSeams,
  node: NodeAddress,
  channel: string,
  inFlight: number,
): Target {
  const client = new QueueClient(seams, inOrder(node, inFlight));
  const sender = new RecordSender(inFlight, (record) => client.push(channel, record));
  return {
    deliver: (checkpoint, records) => sender.deliver(checkpoint, records),
    close: async () => client.close(),
  };
}

/** Records get the second in which they are sent as their key. */
export function logfilesTarget(
  seams: ClientSeams,
  node: NodeAddress,
  channel: string,
  inFlight: number,
): Target {
  const client = new LogfilesClient(seams, inOrder(node, inFlight));
  const second = () => BigInt(Math.floor(seams.clock.nowMs() / 1000));
  const sender = new RecordSender(inFlight, (record) => client.put(channel, second(), record));
  return {
    deliver: (checkpoint, records) => sender.deliver(checkpoint, records),
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
