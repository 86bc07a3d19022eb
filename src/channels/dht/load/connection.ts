/**
 * One connection of the load generator: what is in flight on it, and the reply that belongs to each request.
 *
 * Replies come in the order of requests, so a ring of `pipeline` places holds what each one needs: when its latency
 * began, its operation, its key. Invariant: a reply without a request ends the connection with an error, and requests
 * that never got a reply are told to the owner once, when the connection ends.
 */
import type { Clock } from "../../../core/seams/clock.ts";
import { assert, NxError } from "../../../core/errors.ts";
import type { ConnectOptions, Net, Socket, SocketHandlers } from "../../../core/seams/net.ts";
import { Outbox } from "../../../core/sockets/outbox.ts";
import { ReplyScanner, ReplyType, type ReplySink } from "../../wire/resp/reply-scanner.ts";
import { encodeRequest } from "./requests.ts";

/** Where and how to connect. */
export interface Target {
  host: string;
  port: number;
  tls?: ConnectOptions<undefined>["tls"];
  password?: string;
  /** A channel other than the one that connections start in. */
  channel?: string;
}

/** What the owner is told of. */
export interface ConnectionOwner {
  /** Before the replies of one chunk. */
  chunkBegins(bytes: number): void;
  /** One reply. `sentMs` is what `expect` was given; `reply` is only valid during the call. */
  replied(operation: number, sentMs: number, reply: Reply): void;
  /** After the replies of one chunk: room may have become free. */
  chunkEnded(connection: LoadConnection): void;
  /** The connection is gone with this many requests unanswered. */
  closed(unanswered: number, reason: string): void;
  /** Whether bytes are those of the key's value. Undefined when replies are not compared. */
  matches:
    ((key: number, chunk: Uint8Array, start: number, end: number, offset: number) => boolean) | undefined;
}

export interface Reply {
  type: number;
  /** Length of a string reply. */
  length: number;
  /** False when a string differs from the key's value. */
  isMatch: boolean;
  /** Text of an error reply. */
  error: string;
}

/** A request of a conversation outside of the load, such as INFO. */
interface Question {
  text: string;
  resolve(text: string): void;
  reject(error: Error): void;
}

const OUTBOX_BYTES_MAX = 2 ** 31 - 1;
const ANSWER_BYTES_MAX = 1024 * 1024;
const CONNECT_TIMEOUT_MS = 10_000;

export class LoadConnection implements ReplySink {
  readonly #owner: ConnectionOwner;
  readonly #pipeline: number;
  readonly #sentMs: Float64Array;
  readonly #keys: Float64Array;
  readonly #operations: Uint8Array;
  readonly #scanner = new ReplyScanner(this);
  readonly #reply: Reply = { type: 0, length: 0, isMatch: true, error: "" };
  #outbox: Outbox | undefined;
  #socket: Socket | undefined;
  #oldest = 0;
  #inFlight = 0;
  #question: Question | undefined;
  isOpen = false;

  private constructor(owner: ConnectionOwner, pipeline: number) {
    this.#owner = owner;
    this.#pipeline = pipeline;
    this.#sentMs = new Float64Array(pipeline);
    this.#keys = new Float64Array(pipeline);
    this.#operations = new Uint8Array(pipeline);
  }

  /** Connects, authenticates and chooses the channel. Throws NX_CONNECT_FAILED. */
  static async open(
    seams: { net: Net; clock: Clock },
    target: Target,
    owner: ConnectionOwner,
    pipeline: number,
  ): Promise<LoadConnection> {
    const connection = new LoadConnection(owner, pipeline);
    await connection.#connect(seams, target);
    try {
      if (target.password !== undefined) await connection.ask(["AUTH", target.password]);
      if (target.channel !== undefined) await connection.ask(["SELECT", target.channel]);
      await connection.ask(["PING"]);
    } catch (error) {
      connection.close();
      throw error;
    }
    return connection;
  }

  async #connect({ net, clock }: { net: Net; clock: Clock }, target: Target): Promise<void> {
    const { host, port, tls } = target;
    const opened = Promise.withResolvers<void>();
    // With TLS a refused handshake is not told to anybody, so waiting for it needs an end.
    const timer = clock.after(CONNECT_TIMEOUT_MS, () =>
      opened.reject(
        new NxError(
          "NX_CONNECT_FAILED",
          `no usable connection to ${host}:${port} within ${CONNECT_TIMEOUT_MS / 1000} s`,
          {
            hint:
              tls === undefined
                ? "does it accept connections?"
                : "does it speak TLS, with a certificate that --ca signed?",
          },
        ),
      ),
    );
    try {
      await net.connect<undefined>({
        host,
        port,
        ...(tls !== undefined && { tls }),
        handlers: this.#handlers(() => opened.resolve()),
      });
      await opened.promise;
    } finally {
      timer.cancel();
    }
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  get room(): number {
    return this.isOpen ? this.#pipeline - this.#inFlight : 0;
  }

  #handlers(onOpen: () => void): SocketHandlers<undefined> {
    return {
      open: (socket) => {
        this.#socket = socket;
        this.#outbox = new Outbox(socket, { bytesMax: OUTBOX_BYTES_MAX });
        this.isOpen = true;
        onOpen();
        return undefined;
      },
      data: (_socket, _data, chunk) => {
        this.#owner.chunkBegins(chunk.length);
        this.#scanner.scan(chunk);
        this.#owner.chunkEnded(this);
      },
      drain: () => this.#outbox?.drain(),
      close: (_socket, _data, error) => {
        this.isOpen = false;
        this.#outbox?.close();
        const unanswered = this.#inFlight;
        this.#inFlight = 0;
        const reason = error?.message ?? "the server closed the connection";
        this.#question?.reject(error instanceof NxError ? error : new NxError("NX_CONNECT_FAILED", reason));
        this.#question = undefined;
        this.#owner.closed(unanswered, reason);
      },
    };
  }

  /** Notes a request that the next `send` will carry. */
  expect(operation: number, key: number, sentMs: number): void {
    assert(this.#inFlight < this.#pipeline, "a request was sent on a connection without room");
    const place = (this.#oldest + this.#inFlight) % this.#pipeline;
    this.#sentMs[place] = sentMs;
    this.#keys[place] = key;
    this.#operations[place] = operation;
    this.#inFlight += 1;
  }

  send(bytes: Uint8Array): void {
    this.#outbox?.send(bytes);
  }

  /**
   * Sends a request while no load is in flight; resolves with its text (empty for other replies than strings).
   * Throws NX_CONNECT_FAILED with the server's error.
   */
  ask(words: readonly string[]): Promise<string> {
    assert(
      this.#inFlight === 0 && this.#question === undefined,
      "a question was asked while requests are in flight",
    );
    return new Promise((resolve, reject) => {
      this.#question = { text: "", resolve, reject };
      this.send(encodeRequest(words));
    });
  }

  /** Sends what was written, then ends the connection. */
  close(): void {
    this.#socket?.end();
  }

  /** Ends the connection at once. */
  terminate(): void {
    this.#socket?.terminate();
  }

  // --- what the scanner tells ------------------------------------------------------------------------------------

  bytes(chunk: Uint8Array, start: number, end: number, offset: number, length: number): void {
    if (this.#question !== undefined) {
      const room = ANSWER_BYTES_MAX - this.#question.text.length;
      this.#question.text += Buffer.from(chunk.subarray(start, Math.min(end, start + room))).toString();
      return;
    }
    this.#reply.length = length;
    const { matches } = this.#owner;
    if (matches === undefined || this.#inFlight === 0) return;
    const key = this.#keys[this.#oldest] as number;
    if (!matches(key, chunk, start, end, offset)) this.#reply.isMatch = false;
  }

  error(text: string): void {
    this.#reply.error = text;
  }

  reply(type: number): void {
    if (this.#question !== undefined) {
      this.#answer(type, this.#question);
      return;
    }
    if (this.#inFlight === 0) throw new Error("the server sent a reply that no request asked for");
    const place = this.#oldest;
    this.#oldest = (place + 1) % this.#pipeline;
    this.#inFlight -= 1;
    const reply = this.#reply;
    reply.type = type;
    this.#owner.replied(this.#operations[place] as number, this.#sentMs[place] as number, reply);
    reply.length = 0;
    reply.isMatch = true;
  }

  #answer(type: number, question: Question): void {
    this.#question = undefined;
    if (type !== ReplyType.error) {
      question.resolve(question.text);
      return;
    }
    const hint = /^(NOAUTH|WRONGPASS)/.test(this.#reply.error)
      ? "give the password with --password-file"
      : undefined;
    question.reject(
      new NxError(
        "NX_CONNECT_FAILED",
        `the server refuses: ${this.#reply.error}`,
        hint === undefined ? {} : { hint },
      ),
    );
  }
}
