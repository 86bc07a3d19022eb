/**
 * Writes messages to a stream that belongs to it, one behind the other, each exactly once.
 *
 * Every message names the sequence that it must follow. When no acknowledgement comes the same message is sent again, for
 * as long as it takes; when the stream then says that it has moved on, the message behind the expected one is looked at:
 * it is the one that was sent, or another writer's, and then this writer is done for (NX_JETSTREAM_FENCED).
 *
 * Invariant: `write` resolves only after the stream's acknowledgement, which its servers give when a majority has the
 * message (what that survives is theirs to say: docs/durability.md). Nothing is written behind a failure.
 */
import type { PubAck } from "@nats-io/jetstream";
import type { Crc32c } from "../../crc32c.ts";
import { NxError } from "../../errors.ts";
import { type Clock, sleep } from "../../seams/clock.ts";
import type { NatsLink, NatsSession } from "../link.ts";
import { Header, type Kind, subjectOf } from "./format.ts";

export interface StreamWriterOptions {
  link: NatsLink;
  clock: Clock;
  crc32c: Crc32c;
  stream: string;
  /** Names this life among all that ever write to the stream. */
  writer: string;
  /** No acknowledgement comes, or one has come again: undefined. */
  onTrouble(error: NxError | undefined): void;
}

const ACK_TIMEOUT_MS = 2000;
/** A new leader is found within this time, and nobody need hear of it. */
const TROUBLE_AFTER_MS = 3000;
const PAUSE_MS_MIN = 50;
const PAUSE_MS_MAX = 1000;
/** So many answers, up to a second apart, are no leader's that catches up. */
const SHORT_COUNT_MAX = 15;
const WRONG_LAST_SEQUENCE = 10_071;

export class StreamWriter {
  readonly #options: StreamWriterOptions;
  #sequence = 0;
  #number = 0;
  #turn: Promise<unknown> = Promise.resolve();
  /** Of the first write that failed: no later one is tried. */
  #failure: Error | undefined;
  #isClosed = false;
  #reason = "";
  /** How often in a row the stream ended before what it had acknowledged. */
  #shortCount = 0;

  constructor(options: StreamWriterOptions) {
    this.#options = options;
  }

  /** Of the last message that is known to be in the stream. */
  get sequence(): number {
    return this.#sequence;
  }

  /** Takes the stream over, whoever has it; returns the claim's sequence. */
  async claim(format: number): Promise<number> {
    const headers = { [Header.format]: String(format), [Header.instance]: this.#options.link.name };
    this.#sequence = await this.#inTurn("claim", new Uint8Array(0), headers, false);
    return this.#sequence;
  }

  /** Resolves with the message's sequence. Throws NX_JETSTREAM_FENCED or NX_JETSTREAM_LOST. */
  write(kind: Kind, body: Uint8Array, headers: Record<string, string> = {}): Promise<number> {
    return this.#inTurn(kind, body, headers, true);
  }

  #inTurn(kind: Kind, body: Uint8Array, headers: Record<string, string>, isFenced: boolean): Promise<number> {
    const written = this.#turn.then(() => {
      if (this.#failure !== undefined) throw this.#failure;
      return this.#insist(kind, body, headers, isFenced);
    });
    this.#turn = written.catch((error: Error) => {
      this.#failure ??= error;
    });
    return written;
  }

  async #insist(
    kind: Kind,
    body: Uint8Array,
    own: Record<string, string>,
    isFenced: boolean,
  ): Promise<number> {
    const { link, clock, crc32c, writer, onTrouble } = this.#options;
    const headers = {
      [Header.writer]: writer,
      [Header.number]: String(++this.#number),
      [Header.crc]: String(crc32c(body, 0)),
      ...own,
    };
    this.#reason = "";
    const timer = clock.after(TROUBLE_AFTER_MS, () => onTrouble(this.#unavailable()));
    try {
      for (let pauseMs = PAUSE_MS_MIN; !this.#isClosed; pauseMs = Math.min(2 * pauseMs, PAUSE_MS_MAX)) {
        try {
          const session = await link.session();
          this.#sequence = await this.#attempt(session, kind, body, headers, isFenced);
          onTrouble(undefined);
          return this.#sequence;
        } catch (error) {
          if (error instanceof NxError && error.code !== "NX_CONNECT_FAILED") throw error;
          this.#reason = (error as Error).message;
          await sleep(clock, pauseMs);
        }
      }
      throw this.#unavailable();
    } finally {
      timer.cancel();
    }
  }

  #unavailable(): NxError {
    const { stream, link } = this.#options;
    const why = link.trouble || this.#reason || "no answer";
    return new NxError("NX_JETSTREAM_UNAVAILABLE", `the stream ${stream} does not acknowledge (${why})`, {
      hint: "are a majority of its servers up? Writes go on by themselves when they are",
    });
  }

  async #attempt(
    session: NatsSession,
    kind: Kind,
    body: Uint8Array,
    own: Record<string, string>,
    isFenced: boolean,
  ): Promise<number> {
    const { stream } = this.#options;
    const headers = session.newHeaders();
    for (const [name, value] of Object.entries(own)) headers.set(name, value);
    const expect = { streamName: stream, ...(isFenced && { lastSequence: this.#sequence }) };
    const options = { headers, expect, timeout: ACK_TIMEOUT_MS, retries: 0 };
    try {
      const { seq }: PubAck = await session.jetstream.publish(subjectOf(stream, kind), body, options);
      return seq;
    } catch (error) {
      if ((error as { code?: number }).code !== WRONG_LAST_SEQUENCE) throw error;
      return this.#whoWasIt(session, own);
    }
  }

  /** The stream does not end where this writer's last message is. */
  async #whoWasIt({ manager }: NatsSession, headers: Record<string, string>): Promise<number> {
    const { stream } = this.#options;
    const next = this.#sequence + 1;
    const { state } = await manager.streams.info(stream);
    if (state.last_seq < this.#sequence && (this.#shortCount += 1) < SHORT_COUNT_MAX)
      throw new Error("the stream's new leader does not know its end yet");
    if (state.last_seq < this.#sequence)
      throw new NxError("NX_JETSTREAM_LOST", `the stream ${stream} ends at ${state.last_seq}, and its servers had acknowledged up to ${this.#sequence}`, {
        hint: "what this instance has in memory is the newest there is; look at the servers before it is started again",
      }); // prettier-ignore
    this.#shortCount = 0;
    if (state.last_seq < next) throw new Error("the stream's servers disagree about its end");
    const found = await manager.streams.getMessage(stream, { seq: next });
    if (found === null) throw new Error(`the message ${next} cannot be read yet`);
    const writer = found.header?.get(Header.writer);
    if (writer !== this.#options.writer) throw fencedBy(stream, writer ?? "somebody");
    if (found.header?.get(Header.number) === headers[Header.number]) return next;
    // A claim that was given up on and sent again has come late.
    this.#sequence = next;
    throw new Error("a claim came late");
  }

  close(): void {
    this.#isClosed = true;
  }
}

export function fencedBy(stream: string, writer: string): NxError {
  return new NxError("NX_JETSTREAM_FENCED", `another instance, ${writer}, writes to the stream ${stream}`, {
    hint: "one instance has a stream at a time; give each a stream of its own, or leave this one stopped",
  });
}
