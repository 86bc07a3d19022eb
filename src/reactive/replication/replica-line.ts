/**
 * How what a client asks of a group gets to one of its replicas, and the answers back: over a connection, or, where the replica is in
 * the same process, by a call.
 *
 * Invariant: a request that is handed over is answered once, later, or never; never before the call returns. What is handed over
 * while a connection is down is dropped: the client repeats what matters.
 */
import type { Hello } from "../wire/handshake.ts";
import { Dialer, type DialerOptions } from "../wire/dialer.ts";
import { FrameType } from "../wire/frame.ts";
import { type Query, readResult, type Result, writeCommand, writeQuery } from "./client-codec.ts";
import type { Request } from "./types.ts";

export interface ReplicaLine {
  command(request: Request): void;
  query(query: Query): void;
  stop(): void;
}

export interface LineListener {
  /** The replica takes requests up to this length. What was asked before may have been dropped. */
  onOpen(payloadBytesMax: number): void;
  onResult(result: Result): void;
  onLost(): void;
}

/** A connection that is opened again when it breaks. */
export class DialedLine implements ReplicaLine {
  readonly #dialer: Dialer;

  constructor(
    address: Pick<DialerOptions, "world" | "host" | "port" | "tls" | "outboxBytesMax" | "payloadBytesMax">,
    { group, token }: Pick<Hello, "group" | "token">,
    listener: LineListener,
  ) {
    this.#dialer = new Dialer({
      ...address,
      hello: { peer: undefined, group, token },
      retryMsMax: 250,
      onWelcome: ({ payloadBytesMax }) => listener.onOpen(payloadBytesMax),
      onFrame: (type, payload) => {
        if (type === FrameType.result) listener.onResult(readResult(payload));
      },
      onLost: () => listener.onLost(),
    });
  }

  command(request: Request): void {
    this.#dialer.send(FrameType.command, (writer) => writeCommand(writer, request));
  }

  query(query: Query): void {
    this.#dialer.send(FrameType.query, (writer) => writeQuery(writer, query));
  }

  stop(): void {
    this.#dialer.stop();
  }
}

/** A replica as those see it who share its process. `reply` may be called before the call returns. */
export interface LocalReplica {
  /** Of a request that is longer, others say the same. */
  readonly requestBytesMax: number;
  command(request: Request, reply: (result: Result) => void): void;
  query(query: Query, reply: (result: Result) => void): void;
}

/** No connection: bodies are handed over as they are, and nobody may change them afterwards. */
export class LocalLine implements ReplicaLine {
  readonly #replica: LocalReplica;
  readonly #reply: (result: Result) => void;
  #isStopped = false;

  constructor(replica: LocalReplica, listener: LineListener) {
    this.#replica = replica;
    const later = (tell: () => void) =>
      queueMicrotask(() => {
        if (!this.#isStopped) tell();
      });
    this.#reply = (result) => later(() => listener.onResult(result));
    listener.onOpen(replica.requestBytesMax);
  }

  command(request: Request): void {
    this.#replica.command(request, this.#reply);
  }

  query(query: Query): void {
    this.#replica.query(query, this.#reply);
  }

  stop(): void {
    this.#isStopped = true;
  }
}
