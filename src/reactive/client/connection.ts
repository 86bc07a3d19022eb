/**
 * One connection to one frontend: hello and welcome, requests matched with their answers, and the end noticed when the other
 * side falls silent.
 *
 * Invariant: every request is answered exactly once: by the frontend, or with `LostError` when the connection ends first. What
 * then became of it is for whoever asked to find out.
 */
import { decodeServerMessage, encodeClientMessage } from "../client-wire/codec.ts";
import { excessOf } from "../client-wire/excess.ts";
import {
  type ClientMessage,
  clientProtocols,
  CONNECT_PATH,
  hasTurns,
  NOW,
  type ServerMessage,
} from "../client-wire/messages.ts";
import type { Clock, Timer } from "../../core/seams/clock.ts";
import { idText } from "../shard/transaction.ts";
import { deferred } from "./deferred.ts";
import { RequestError } from "./errors.ts";
import { Lane } from "./lane.ts";
import type { MessageSocket, OpenSocket } from "./socket.ts";

/** The connection ended before the answer came. */
export class LostError extends Error {
  constructor(reason: string) {
    super(reason);
    this.name = "LostError";
  }
}

export type Welcome = Extract<ServerMessage, { type: "welcome" }>;
type WithoutNumber<Message> = Message extends { request: number } ? Omit<Message, "request"> : never;
/** A message that is answered, without its number. */
export type Request = WithoutNumber<ClientMessage>;
export type Answer = Extract<ServerMessage, { request: number }>;

export interface ConnectionOptions {
  url: string;
  client: number;
  token: string;
  open: OpenSocket;
  clock: Clock;
  onWelcome(welcome: Welcome): void;
  onRuns(message: Extract<ServerMessage, { type: "runs" }>): void;
  onProgress(timestamp: number): void;
  /** Once, whatever ended it. `failure`: what the frontend said before it closed. */
  onEnd(reason: string, failure: RequestError | undefined): void;
}

/** How often silence is looked at. A frontend that has nothing else to say says so about once a second. */
const TICK_MS = 500;
const PING_TICKS = 3;
/** The other side is gone: it has not even answered a ping. Another one is connected before three seconds are over. */
const SILENT_TICKS = 5;
const UNACKED_MAX = 8;
/**
 * Requests under way at once, together below the thousand that a frontend takes unless it was told otherwise. Those that may wait for others there
 * (for a turn, or for those whose turn it is) are in nobody's way: whose turn it is reads and commits past them.
 */
const AT_ONCE_MAX = { turns: 400, commits: 250, commitsInTurn: 50, others: 250 };

export class Connection {
  readonly #options: ConnectionOptions;
  readonly #socket: MessageSocket;
  readonly #waiting = new Map<number, { resolve(answer: Answer): void; reject(error: Error): void }>();
  readonly #lanes = {
    turns: new Lane(AT_ONCE_MAX.turns),
    commits: new Lane(AT_ONCE_MAX.commits),
    commitsInTurn: new Lane(AT_ONCE_MAX.commitsInTurn),
    others: new Lane(AT_ONCE_MAX.others),
  };
  /** Names of commits whose turn was asked for, by their line. */
  readonly #inTurn = new Map<number, string>();
  readonly #timer: Timer;
  #lastRequest = 0;
  /** Since something arrived. */
  #ticks = 0;
  /** When it was last looked at. */
  #unsentBytes = 0;
  /** The longest message that the frontend takes: a longer one would end the connection. */
  #messageBytesMax = 0;
  #protocol = 0;
  #isWelcome = false;
  #isOver = false;
  #failure: RequestError | undefined;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    const url = socketUrl(options.url);
    this.#timer = options.clock.every(TICK_MS, () => this.#tick());
    this.#socket = options.open(url, {
      onOpen: () => this.#hello(),
      onMessage: (message) => this.#receive(message),
      onClose: (reason) => this.#end(reason),
    });
  }

  get isUsable(): boolean {
    return this.#isWelcome && !this.#isOver;
  }

  /** A transaction can stand in line at this frontend. */
  get hasTurns(): boolean {
    return hasTurns(this.#protocol);
  }

  /** Rejects with LostError or RequestError. */
  request(asked: Request): Promise<Answer> {
    if (!this.isUsable) return Promise.reject(new LostError("there is no connection"));
    const isPlain = asked.type === "readInTurn" && !this.hasTurns;
    const request: Request = isPlain ? { type: "read", at: NOW, keys: asked.keys } : asked;
    const excess = excessOf(request);
    if (excess !== undefined) return Promise.reject(new RequestError(excess.code, excess.text));
    return this.#laneOf(request).run(() => this.#ask(request));
  }

  #laneOf(request: Request): Lane {
    const { turns, commits, commitsInTurn, others } = this.#lanes;
    if (request.type === "readInTurn") {
      this.#inTurn.set(request.line, idText(request.id));
      return turns;
    }
    if (request.type !== "commit") return others;
    const name = idText(request.transaction.id);
    return this.#inTurn.size > 0 && [...this.#inTurn.values()].includes(name) ? commitsInTurn : commits;
  }

  #ask(request: Request): Promise<Answer> {
    if (!this.isUsable) return Promise.reject(new LostError("the connection ended before it was sent"));
    this.#lastRequest += 1;
    const number = this.#lastRequest;
    const bytes = encodeClientMessage({ ...request, request: number } as ClientMessage);
    if (bytes.byteLength > this.#messageBytesMax) {
      const text = `a message of ${bytes.byteLength} bytes; a frontend takes ${this.#messageBytesMax}`;
      return Promise.reject(new RequestError("tooLarge", text));
    }
    const { promise, resolve, reject } = deferred<Answer>();
    this.#waiting.set(number, { resolve, reject });
    this.#socket.send(bytes);
    return promise;
  }

  send(message: ClientMessage): void {
    if (message.type === "leave") this.#inTurn.delete(message.line);
    if (!this.#isOver) this.#socket.send(encodeClientMessage(message));
  }

  close(): void {
    this.#socket.close();
  }

  #hello(): void {
    const { client, token } = this.#options;
    const protocols = [...clientProtocols];
    this.send({ type: "hello", protocols, client, token, unackedMax: UNACKED_MAX });
  }

  #receive(bytes: Uint8Array): void {
    this.#ticks = 0;
    if (this.#isOver) return;
    let message: ServerMessage;
    try {
      message = decodeServerMessage(bytes);
    } catch (error) {
      this.#end(`what the frontend says cannot be understood: ${(error as Error).message}`);
      this.#socket.close();
      return;
    }
    this.#handle(message);
  }

  #handle(message: ServerMessage): void {
    // What it says before it knows this client cannot be about this client.
    if (!this.#isWelcome && message.type !== "welcome" && message.type !== "failed") return;
    switch (message.type) {
      case "welcome":
        this.#isWelcome = true;
        this.#protocol = message.protocol;
        this.#messageBytesMax = message.messageBytesMax;
        return this.#options.onWelcome(message);
      case "runs":
        return this.#options.onRuns(message);
      case "progress":
        return this.#options.onProgress(message.at);
      case "pong":
        return;
      default:
        return this.#answer(message);
    }
  }

  #answer(message: Answer): void {
    const error = message.type === "failed" ? new RequestError(message.code, message.text) : undefined;
    if (message.request === 0) {
      this.#failure = error;
      return;
    }
    const waiting = this.#waiting.get(message.request);
    this.#waiting.delete(message.request);
    if (error === undefined) waiting?.resolve(message);
    else waiting?.reject(error);
  }

  #tick(): void {
    const { unsentBytes = 0 } = this.#socket;
    // Over a slow line the other side takes what it is sent, and can say nothing before it has all of it.
    this.#ticks = unsentBytes < this.#unsentBytes ? 0 : this.#ticks + 1;
    this.#unsentBytes = unsentBytes;
    if (this.#ticks >= SILENT_TICKS) this.#socket.close();
    else if (this.#isWelcome && this.#ticks >= PING_TICKS) this.send({ type: "ping" });
  }

  #end(reason: string): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#timer.cancel();
    const lost = new LostError(reason);
    for (const { reject } of this.#waiting.values()) reject(lost);
    this.#waiting.clear();
    this.#options.onEnd(reason, this.#failure);
  }
}

/** `http://host:port` and `host:port` are what people write. */
export function socketUrl(frontend: string): string {
  const whole = /^[a-z]+:\/\//i.test(frontend) ? frontend : `ws://${frontend}`;
  if (!URL.canParse(whole) || !/^(http|ws)s?:/i.test(whole))
    throw new TypeError(`"${frontend}" is no address of a frontend: write http://host:12355`);
  const url = new URL(whole);
  url.protocol = url.protocol === "https:" || url.protocol === "wss:" ? "wss:" : "ws:";
  if (url.pathname === "/") url.pathname = CONNECT_PATH;
  return url.href;
}
