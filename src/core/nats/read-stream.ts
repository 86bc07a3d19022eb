/**
 * Messages of a stream by their sequences, in order, past every durable consumer: for who knows which ones it wants.
 *
 * Invariant: what is yielded is in ascending order and without repetition; the end comes when everything that was in the
 * range at the call was yielded. A server that has just become the stream's leader may not know its end yet, and whoever
 * serves the reading may be behind the leader: where the end is named it is waited for, or an error says so.
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

/** As `upTo`: everything that is there. */
export const WHATEVER_COMES = Number.MAX_SAFE_INTEGER;

const READ_AHEAD_MESSAGES = 256;
/** While nothing comes the server says so twice in this time. */
const EXPIRES_MS = 2000;

export async function* readStream(session: NatsSession, range: StreamRange): AsyncGenerator<StoredMessage> {
  const { stream, after, upTo } = range;
  if (upTo <= after) return;
  const { streams } = session.manager;
  const before = await streams.info(stream);
  const last = await lastOf(session, range);
  const { cluster } = await streams.info(stream);
  if (cluster?.leader !== before.cluster?.leader) throw new Error(`the stream ${stream} changes its leader`);
  if (upTo !== WHATEVER_COMES && before.state.last_seq < upTo)
    throw new Error(`the stream ${stream} ends at ${before.state.last_seq}, and ${upTo} is wanted`);
  if (last <= after) return;
  // A stream whose retention is a work queue has no two consumers of one subject.
  yield* before.config.retention === "workqueue"
    ? oneByOne(session, range)
    : inBatches(session, range, Math.min(last, upTo));
}

/** Sequence of the newest message of the range's subject, as the stream's leader knows it; 0: there is none. */
async function lastOf({ manager }: NatsSession, { stream, subject = ">" }: StreamRange): Promise<number> {
  const last = await manager.streams.getMessage(stream, { last_by_subj: subject });
  return last?.seq ?? 0;
}

/** Ends at `end`: whoever serves the reading may be behind the leader, and then has nothing more for now. */
async function* inBatches(
  session: NatsSession,
  range: StreamRange,
  end: number,
): AsyncGenerator<StoredMessage> {
  const { stream, after, upTo, subject, headersOnly = false } = range;
  const consumer = await session.jetstream.consumers.get(stream, {
    deliver_policy: "by_start_sequence",
    opt_start_seq: after + 1,
    headers_only: headersOnly,
    ...(subject !== undefined && { filter_subjects: subject }),
  });
  const messages = await consumer.consume({ max_messages: READ_AHEAD_MESSAGES, expires: EXPIRES_MS });
  let position = after;
  const stopWhenGone = async () => {
    for await (const { type } of messages.status())
      if (type === "heartbeat" && (await lastOf(session, range)) <= position) messages.stop();
  };
  // An error of it ends the connection's requests, and this reading with them.
  stopWhenGone().catch(() => messages.stop());
  try {
    for await (const message of messages) {
      const { seq: sequence, data, headers } = message;
      if (sequence > upTo) return;
      position = sequence;
      yield {
        ...{ sequence, subject: message.subject, data },
        timeMs: Number(message.timestampNanos / 1_000_000n),
        header: (name) => headers?.get(name) ?? "",
      };
      if (sequence >= end) return;
    }
    if ((await lastOf(session, range)) > position) throw new Error(`reading the stream ${stream} broke off`);
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
