/**
 * The durable pull consumer of one source: made when it is missing, read, and told what is covered by a checkpoint.
 *
 * Invariant: nothing is acknowledged that `acknowledge` was not asked for. Every delivery has a number; when one is
 * missing, because a connection or a server went, `consume` throws and its owner looks at the stream again.
 */
import type { ConsumerMessages, JsMsg } from "@nats-io/jetstream";
import { NxError } from "../../core/errors.ts";
import { findStream, newStream } from "../../core/nats/find-stream.ts";
import type { NatsSession } from "../../core/nats/link.ts";

export interface NatsConsumerOptions {
  stream: string;
  /** May have wildcards; undefined: every message of the stream. */
  subject: string | undefined;
  /** Name of the durable consumer, which belongs to this source alone. */
  consumer: string;
  /** Unacknowledged messages at most. */
  pending: number;
  /** Replicas of the stream, if it is to be made when it is missing. */
  create?: number | undefined;
  /** The server sends again what is not acknowledged for this long. */
  ackWaitMs?: number;
}

/** How far the consumer had handed messages out when it was looked at. */
export interface HandedOut {
  streamSequence: number;
  deliverySequence: number;
}

export interface Listener {
  /** Waits until a message may be fed; false when nobody wants more. */
  mayFeed(): Promise<boolean>;
  /** `isLast`: no further one is here already. */
  onMessage(message: JsMsg, isLast: boolean): void;
}

const READ_AHEAD_MESSAGES = 512;
/** What is sent again because a checkpoint takes its time is only counted; a restarted source waits this long at most. */
const ACK_WAIT_MS_DEFAULT = 10_000;
const EXPIRES_MS = 5000;
const HEARTBEATS_MISSED_MAX = 2;

export class NatsConsumer {
  readonly #options: NatsConsumerOptions;
  /** Where to acknowledge each message that is not acknowledged, by its sequence. */
  readonly #replies = new Map<number, string>();
  #acknowledged = 0;
  #session: NatsSession | undefined;
  #messages: ConsumerMessages | undefined;
  /** One acknowledgement covers all before it. */
  #coversEarlier = false;

  constructor(options: NatsConsumerOptions) {
    this.#options = options;
  }

  get unacknowledged(): number {
    return this.#replies.size;
  }

  /** Throws NX_JETSTREAM_REFUSED when there is no such stream. */
  async streamState(session: NatsSession): Promise<{ created: string; last: number }> {
    const { stream, subject, create } = this.#options;
    const { created, state, config } = await findStream(session, stream, newStream(stream, subject, create));
    this.#coversEarlier = config.retention !== "workqueue";
    return { created, last: state.last_seq };
  }

  /** Finds the consumer or makes it, behind `position`. Throws NX_JETSTREAM_REFUSED when it is not as it must be. */
  async bind(session: NatsSession, position: number): Promise<HandedOut> {
    const { manager } = session;
    const { stream, consumer, subject, pending, ackWaitMs = ACK_WAIT_MS_DEFAULT } = this.#options;
    this.#session = session;
    const policy = this.#coversEarlier ? "all" : "explicit";
    const found = await manager.consumers.info(stream, consumer).catch((error: Error) => {
      if (error.name !== "ConsumerNotFoundError") throw error;
      return manager.consumers.add(stream, {
        durable_name: consumer,
        ack_policy: policy,
        ack_wait: ackWaitMs * 1_000_000,
        max_ack_pending: pending,
        max_deliver: -1,
        ...(subject !== undefined && { filter_subject: subject }),
        // A work queue keeps nothing that was acknowledged, and lets nobody begin in the middle.
        ...(position > 0 &&
          this.#coversEarlier && { deliver_policy: "by_start_sequence", opt_start_seq: position + 1 }),
      });
    });
    const { config, delivered } = found;
    const wrong =
      config.ack_policy !== policy
        ? `acknowledges by "${config.ack_policy}", not by "${policy}"`
        : (config.filter_subject ?? "") !== (subject ?? "")
          ? `is for the subject "${config.filter_subject ?? ""}", not for "${subject ?? ""}"`
          : config.deliver_subject !== undefined
            ? "is pushed to a subject"
            : undefined;
    if (wrong !== undefined)
      throw new NxError("NX_JETSTREAM_REFUSED", `the consumer ${consumer} of the stream ${stream} ${wrong}`, {
        hint: "name another one with ?consumer=NAME, or delete this one",
      });
    if (config.max_ack_pending !== pending)
      await manager.consumers.update(stream, consumer, { max_ack_pending: pending });
    return { streamSequence: delivered.stream_seq, deliverySequence: delivered.consumer_seq };
  }

  /** Reads until nobody wants more. Throws when a delivery is missing or the server is silent. */
  async consume(
    { jetstream }: NatsSession,
    begun: HandedOut,
    { mayFeed, onMessage }: Listener,
  ): Promise<void> {
    const { stream, consumer } = this.#options;
    const pull = await jetstream.consumers.get(stream, consumer);
    const messages = await pull.consume({
      max_messages: READ_AHEAD_MESSAGES,
      expires: EXPIRES_MS,
      abort_on_missing_resource: true,
    });
    this.#messages = messages;
    const silence = this.#watch(messages);
    let expected = begun.deliverySequence + 1;
    try {
      for await (const message of messages) {
        if (!(await mayFeed())) return;
        const { deliverySequence } = message.info;
        if (deliverySequence !== expected)
          throw new Error(`delivery ${deliverySequence} came instead of ${expected}`);
        expected += 1;
        this.#keep(message);
        onMessage(message, messages.getPending() === 0);
      }
      if (await mayFeed()) throw new Error(silence.reason);
    } finally {
      await messages.close();
    }
  }

  /** Ends reading when heartbeats stay out. */
  #watch(messages: ConsumerMessages): { reason: string } {
    const watched = { reason: "the reading was broken off" };
    void (async () => {
      for await (const status of messages.status()) {
        if (status.type !== "heartbeats_missed" || status.count < HEARTBEATS_MISSED_MAX) continue;
        watched.reason = "the stream's servers are silent";
        messages.stop();
      }
    })();
    return watched;
  }

  #keep(message: JsMsg): void {
    const { reply } = message as JsMsg & { reply: string };
    if (message.seq > this.#acknowledged) this.#replies.set(message.seq, reply);
    else this.#publish(reply);
  }

  /** Everything up to this sequence is covered by a checkpoint. */
  acknowledge(sequence: number): void {
    this.#acknowledged = sequence;
    let last = 0;
    for (const [each, reply] of this.#replies) {
      if (each > sequence) continue;
      if (!this.#coversEarlier) {
        this.#publish(reply);
        this.#replies.delete(each);
      } else if (each > last) last = each;
    }
    const reply = this.#replies.get(last);
    if (reply === undefined) return;
    this.#publish(reply);
    for (const each of this.#replies.keys()) if (each <= last) this.#replies.delete(each);
  }

  /** A lost acknowledgement does no harm: the message comes again, and is acknowledged again. */
  #publish(reply: string): void {
    const connection = this.#session?.connection;
    if (connection !== undefined && !connection.isClosed()) connection.publish(reply, "+ACK");
  }

  interrupt(): void {
    this.#messages?.stop();
  }
}
