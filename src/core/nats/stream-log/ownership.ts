/**
 * Who has a stream: one instance answers on `<stream>-active`, others stand by until nobody does.
 *
 * This keeps two healthy instances from taking the stream from each other. It promises nothing: what keeps a stream whole
 * is that every write names the message it must follow (writer.ts). Whoever hears another's claim is done for at once, so
 * that it does not go on answering reads.
 */
import type { RequestError, Subscription } from "@nats-io/transport-node";
import type { NxError } from "../../errors.ts";
import { type Clock, sleep } from "../../seams/clock.ts";
import type { NatsLink } from "../link.ts";
import { Header, subjectOf } from "./format.ts";
import { fencedBy } from "./writer.ts";

export interface OwnershipOptions {
  link: NatsLink;
  clock: Clock;
  stream: string;
  writer: string;
  progress(text: string): void;
  onFenced(error: NxError): void;
}

const ASK_MS = 1000;
/** One that has its connection and says nothing for so long counts as gone. */
const SILENCES_MAX = 5;

const activeSubject = (stream: string) => `${stream}-active`;

/** Resolves when no other instance is active. */
export async function standBy({ link, clock, stream, progress }: OwnershipOptions): Promise<void> {
  for (let silences = 0; silences < SILENCES_MAX;) {
    const { connection } = await link.session();
    try {
      const answer = await connection.request(activeSubject(stream), "", { timeout: ASK_MS });
      progress(`standing by: ${answer.string()} has the stream ${stream}`);
      silences = 0;
      await sleep(clock, ASK_MS);
    } catch (error) {
      if ((error as Partial<RequestError>).isNoResponders?.() === true) return;
      silences += 1;
    }
  }
}

/** Answers who stands by, and listens for claims; returns what ends it. */
export async function own({ link, stream, writer, onFenced }: OwnershipOptions): Promise<() => void> {
  const { connection } = await link.session();
  const subscriptions: Subscription[] = [
    connection.subscribe(activeSubject(stream), {
      callback: (_error, message) => void message.respond(link.name),
    }),
    connection.subscribe(subjectOf(stream, "claim"), {
      callback: (_error, message) => {
        const other = message.headers?.get(Header.writer);
        if (other === undefined || other === writer) return;
        onFenced(fencedBy(stream, message.headers?.get(Header.instance) || other));
      },
    }),
  ];
  await connection.flush();
  return () => {
    for (const subscription of subscriptions) subscription.unsubscribe();
  };
}
