/**
 * A chat room: the last hundred messages. Posting is a queued transaction, so it works without a connection and is seen at
 * once.
 */
import {
  asJson,
  type Client,
  list,
  type ListVariable,
  type QueuedTransaction,
  type Reader,
} from "../../client.ts";

export interface Message {
  from: string;
  text: string;
  /** Milliseconds since 1970, of the sender's clock. */
  atMs: number;
}

export const MESSAGES_MAX = 100;
const TEXT_MAX = 2000;

const message = asJson<Message>({
  parse(value) {
    const { from, text, atMs } = (value ?? {}) as Partial<Record<keyof Message, unknown>>;
    if (typeof from !== "string" || typeof text !== "string" || typeof atMs !== "number")
      throw new TypeError("this is no message");
    return { from, text: text.slice(0, TEXT_MAX), atMs };
  },
});

export type Room = ListVariable<Message>;

export function roomOf(name: string): Room {
  return list(`chat:${name}:messages`, message);
}

export function readMessages(transaction: Reader, room: Room): Promise<Message[]> {
  return room.value(transaction);
}

/**
 * What posts into a room: resolves as soon as the message is kept, and sends it when it can. All rooms share the code's name, so that
 * a page sends also what was written in another room.
 */
export function posterOf(client: Client, name: string): (message: Message) => Promise<QueuedTransaction> {
  const post = client.queued(
    "chat",
    async (transaction, { room, words }: { room: string; words: Message }) => {
      const messages = roomOf(room);
      const kept = (await messages.value(transaction)).slice(1 - MESSAGES_MAX);
      messages.replace(transaction, [...kept, words]);
    },
  );
  return (words) => post({ room: name, words });
}
