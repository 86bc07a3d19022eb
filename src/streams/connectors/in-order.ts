/**
 * Requests to one node of the channels family that do not wait for each other's answers: each answer waits for the node's
 * disk, so one at a time would be as slow as that.
 *
 * Invariant: all of them are on one connection, so the node does them in the order in which they were made, and when the
 * connection breaks what it did is a beginning of them.
 */
import type { NodeAddress } from "../../channels/client.ts";

/** What a client of the channels family needs for that. `count`: requests on their way at once. */
export const inOrder = (node: NodeAddress, count: number) => ({
  ...{ nodes: [node], connections: 1, requestsPerConnection: count },
  // Whoever has so many on their way does not wait in line.
  queueBytesMax: Number.POSITIVE_INFINITY,
});

/**
 * The records of one checkpoint after the other, each sent until it is acknowledged.
 *
 * After a failure they go one at a time until the checkpoint is through: a node that has no room for one may have it for
 * the next one, and then order is lost between those that were on their way together, at most `inFlight`.
 */
export class RecordSender {
  readonly #inFlight: number;
  readonly #send: (record: Uint8Array) => Promise<void>;
  #checkpoint = 0;
  #hasFailed = false;
  /** Numbers of the acknowledged ones. */
  #sent = new Set<number>();

  constructor(inFlight: number, send: (record: Uint8Array) => Promise<void>) {
    this.#inFlight = inFlight;
    this.#send = send;
  }

  /** Rejects with the first failure, when nothing is on its way any more; call it again to go on. */
  async deliver(checkpoint: number, records: readonly Uint8Array[]): Promise<void> {
    if (this.#checkpoint !== checkpoint) [this.#sent, this.#hasFailed] = [new Set(), false];
    this.#checkpoint = checkpoint;
    let next = 0;
    let failure: Error | undefined;
    const run = async (): Promise<void> => {
      while (next < records.length && failure === undefined) {
        const number = next++;
        if (this.#sent.has(number)) continue;
        try {
          await this.#send(records[number] as Uint8Array);
          this.#sent.add(number);
        } catch (error) {
          failure ??= error as Error;
        }
      }
    };
    await Promise.all(Array.from({ length: this.#hasFailed ? 1 : this.#inFlight }, run));
    if (failure === undefined) return;
    this.#hasFailed = true;
    throw failure;
  }
}
