/**
 * Messages of a stream by their sequences, in order, past every durable consumer: for who knows which ones it wants.
 *
 * Invariant: what is yielded is in ascending order and without repetition; the end comes when everything that was in the
 * range at the call was yielded.
 */
import type { NatsSession } from "./link.ts";

export interface StoredMessage {
  sequence: number;
  subject: string;
  /** Valid until the next one is asked for. */
  data: Uint8Array;
  /** When the stream took it. */
  timeMs: number;
  /** Empty when there is none. */
  header(name: string): string;
}

export interface StreamRange {
  stream: string;
  /** Only messages whose sequence is above. */
  after: number;
  upTo: number;
  /** Only messages of this subject, which may have wildcards. */
  subject?: string;
  headersOnly?: boolean;
}

const READ_AHEAD_MESSAGES = 256;

export async function* readStream(session: NatsSession, range: StreamRange): AsyncGenerator<StoredMessage> {
  const { manager } = session;
  const { stream, after, upTo, subject = ">" } = range;
  if (upTo <= after) return;
  const last = await manager.streams.getMessage(stream, { last_by_subj: subject });
  if (last === null || last.seq <= after) return;
  // A stream whose retention is a work queue has no two consumers of one subject.
  const { retention } = (await manager.streams.info(stream)).config;
  yield* retention === "workqueue" ? oneByOne(session, range) : inBatches(session, range);
}

async function* inBatches(
  { jetstream }: NatsSession,
  { stream, after, upTo, subject, headersOnly = false }: StreamRange,
): AsyncGenerator<StoredMessage> {
  const consumer = await jetstream.consumers.get(stream, {
    deliver_policy: "by_start_sequence",
    opt_start_seq: after + 1,
    headers_only: headersOnly,
    ...(subject !== undefined && { filter_subjects: subject }),
  });
  const messages = await consumer.consume({ max_messages: READ_AHEAD_MESSAGES });
  try {
    for await (const message of messages) {
      if (message.seq > upTo) return;
      const { seq: sequence, data, headers } = message;
      yield {
        ...{ sequence, subject: message.subject, data },
        timeMs: Number(message.timestampNanos / 1_000_000n),
        header: (name) => headers?.get(name) ?? "",
      };
      if (sequence === upTo || message.info.pending === 0) return;
    }
  } finally {
    await messages.close();
    await consumer.delete().catch(() => undefined);
  }
}

async function* oneByOne(
  { manager }: NatsSession,
  { stream, after, upTo, subject = ">" }: StreamRange,
): AsyncGenerator<StoredMessage> {
  for (let next = after + 1; next <= upTo;) {
    // The library passes on what its type does not know: the next message of the subject from there on.
    const query = { seq: next, next_by_subj: subject };
    const message = await manager.streams.getMessage(stream, query);
    if (message === null || message.seq > upTo) return;
    const { seq: sequence, data, header } = message;
    yield {
      ...{ sequence, subject: message.subject, data },
      timeMs: message.time.getTime(),
      header: (name) => header?.get(name) ?? "",
    };
    next = sequence + 1;
  }
}
