/**
 * Who has asked for what: makes a request that is sent twice happen once.
 *
 * Part of the replicated state, so all replicas decide alike. A session is made by a log entry and has a number that is
 * never used again. Its client numbers its requests and says below which number it has all its replies (`floor`); the
 * replies from there on are kept, so any number of requests, up to a window, may be under way at once and be repeated in
 * any order.
 *
 * Invariant: a request of a known session is handed to the service at most once. A session that was forgotten (the one
 * unused for longest goes when there are too many) is refused, never taken for a new one.
 */
import { assert } from "../../core/errors.ts";
import { ByteReader, ByteWriter, copyOf } from "../wire/bytes.ts";
import { ResultStatus } from "./client-codec.ts";
import { decodeRequests } from "./codec.ts";
import type { Steps } from "./steps.ts";
import type { Command, Entry, Request, StateMachine } from "./types.ts";

/** Alike on all replicas and in all versions: the limits decide what is executed. */
export const SESSIONS_MAX = 10_000;
export const WINDOW_MAX = 1024;
/** Sessions in one chunk of a snapshot. */
const CHUNK_SESSIONS = 100;

/** The answer to one request. */
export interface Outcome {
  session: number;
  number: number;
  status: ResultStatus;
  body: Uint8Array;
}

interface Session {
  floor: number;
  replies: Map<number, Uint8Array>;
}

/** In the place of the reply of what is being applied. */
const NO_REPLY_YET = new Uint8Array(0);
const encoder = new TextEncoder();

export class SessionTable {
  #next = 1;
  /** Of the latest entry. */
  #timeMs = 0;
  /** The one unused for longest comes first. */
  #sessions = new Map<number, Session>();
  /** The last one of these; 0: not known. */
  #newest = 0;

  get size(): number {
    return this.#sessions.size;
  }

  get timeMs(): number {
    return this.#timeMs;
  }

  /** What is known of a request before it is ordered: undefined when it has to be executed, or to be found out. */
  lookUp({ session, number }: Request): Outcome | undefined {
    const body = this.#sessions.get(session)?.replies.get(number);
    if (body === undefined || body === NO_REPLY_YET) return undefined;
    return { session, number, status: ResultStatus.ok, body };
  }

  /** Applies one entry: hands to `service` what is new and returns an outcome for each request, in order. */
  apply(entry: Entry, service: StateMachine): Outcome[] | Steps<Outcome[]> {
    const requests = entry.requests ?? decodeRequests(entry.payload);
    entry.requests = undefined;
    const commands: Command[] = [];
    const skipped: Command[] = [];
    const refusals = requests.map((request) => {
      const verdict = this.#admit(request);
      if (verdict === "new") commands.push(request);
      else if (request.session !== 0) skipped.push(request);
      return typeof verdict === "string" ? undefined : verdict;
    });
    // A new primary may be some milliseconds behind.
    this.#timeMs = Math.max(this.#timeMs, entry.timeMs);
    const replies = service.apply({ op: entry.op, timeMs: this.#timeMs, commands, skipped });
    const answer = (bodies: Uint8Array[]) => {
      assert(bodies.length === commands.length, "the service answers every command");
      for (const [index, { session, number }] of commands.entries()) {
        this.#sessions.get(session)?.replies.set(number, copyOf(bodies[index] as Uint8Array));
      }
      return requests.map((request, index) => refusals[index] ?? this.#answer(request));
    };
    return Array.isArray(replies) ? answer(replies) : inSteps(replies, answer);
  }

  /** `new`: to be executed. `known`: the reply is in the table, or will be when this entry was applied. */
  #admit(request: Request): Outcome | "new" | "known" {
    const { session: id, number, floor } = request;
    if (id === 0) return this.#register(number);
    const session = this.#sessions.get(id);
    if (session === undefined) {
      return refusal(request, ResultStatus.sessionExpired, "the group has forgotten this session");
    }
    if (id !== this.#newest) {
      this.#sessions.delete(id);
      this.#sessions.set(id, session);
      this.#newest = id;
    }
    if (floor > session.floor) {
      forgetBelow(session, floor);
    }
    if (session.replies.has(number)) return "known";
    if (number < session.floor) return refusal(request, ResultStatus.forgotten, "its reply was given up");
    if (number >= session.floor + WINDOW_MAX) {
      return refusal(request, ResultStatus.refused, `more than ${WINDOW_MAX} requests are under way`);
    }
    // Holds the place, so that a second copy in the same entry is not executed.
    session.replies.set(number, NO_REPLY_YET);
    return "new";
  }

  #answer({ session, number }: Request): Outcome {
    const body = this.#sessions.get(session)?.replies.get(number) as Uint8Array;
    return { session, number, status: ResultStatus.ok, body };
  }

  #register(coin: number): Outcome {
    const id = this.#next++;
    this.#sessions.set(id, { floor: 1, replies: new Map() });
    this.#newest = id;
    const [oldest] = this.#sessions.keys();
    if (this.#sessions.size > SESSIONS_MAX) this.#sessions.delete(oldest as number);
    return { session: 0, number: coin, status: ResultStatus.ok, body: new ByteWriter(8).u64(id).done() };
  }

  // --- as bytes: u64 next, u64 timeMs, then chunks of u32 count and sessions ----------------------------------------------------

  /** A copy of the table, in chunks. */
  encode(): Uint8Array[] {
    const chunks = [new ByteWriter().u64(this.#next).u64(this.#timeMs).done()];
    const sessions = [...this.#sessions];
    for (let at = 0; at < sessions.length; at += CHUNK_SESSIONS) {
      const part = sessions.slice(at, at + CHUNK_SESSIONS);
      const writer = new ByteWriter().u32(part.length);
      for (const [id, { floor, replies }] of part) {
        writer.u64(id).u64(floor).u32(replies.size);
        for (const [number, body] of replies) writer.u64(number).bytes(body);
      }
      chunks.push(writer.done());
    }
    return chunks;
  }

  /** To be called with the chunks of `encode`, in order, on an empty table. Throws WireError. */
  decode(chunk: Uint8Array, isFirst: boolean): void {
    const reader = new ByteReader(chunk);
    if (isFirst) {
      this.#next = reader.u64();
      this.#timeMs = reader.u64();
    } else {
      for (let count = reader.count(20); count > 0; count--) {
        const id = reader.u64();
        const session: Session = { floor: reader.u64(), replies: new Map() };
        for (let replies = reader.count(12, WINDOW_MAX); replies > 0; replies--) {
          session.replies.set(reader.u64(), reader.ownBytes());
        }
        this.#sessions.set(id, session);
        this.#newest = id;
      }
    }
    reader.end();
  }
}

function* inSteps(steps: Steps<Uint8Array[]>, answer: (bodies: Uint8Array[]) => Outcome[]): Steps<Outcome[]> {
  return answer(yield* steps);
}

/** Its client has all replies below `floor`. Mostly that is one more than before, and hundreds are kept: they are not looked through. */
function forgetBelow(session: Session, floor: number): void {
  const { replies } = session;
  if (floor - session.floor <= replies.size)
    for (let number = session.floor; number < floor; number++) replies.delete(number);
  else for (const number of replies.keys()) if (number < floor) replies.delete(number);
  session.floor = floor;
}

function refusal({ session, number }: Request, status: ResultStatus, text: string): Outcome {
  return { session, number, status, body: encoder.encode(text) };
}
