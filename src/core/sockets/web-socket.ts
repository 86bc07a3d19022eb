/**
 * WebSockets beside the HTTP of a role, with Bun's traps handled in this one place.
 *
 * Invariant: an owner is told of each message and, once, of the end. What a peer does not read waits in the runtime's
 * buffer, bounded: past `outboxBytesMax` the connection is closed, as with a role's other sockets. A browser's page may
 * connect only from the same origin or from one that was allowed, so a page that somebody visits cannot reach a service on
 * his own host.
 *
 * Messages to one peer in one turn of the event loop leave with one system call, which is the dearest part of a short one.
 */
import type { ServerWebSocket } from "bun";
import type { Clock } from "../seams/clock.ts";

export interface WebSocketLimits {
  /** The longest message that a peer may send. */
  messageBytesMax: number;
  outboxBytesMax: number;
}

export interface WebSocketOwner {
  /** `bytes` is only valid during the call. A text message is undefined: roles of ours speak bytes. */
  message(bytes: Uint8Array | undefined): void;
  /** What waited was taken. */
  drain(): void;
  /** It is over, whoever ended it. */
  close(): void;
}

export interface WebSocketSeat {
  path: string;
  /** Origins of pages, such as `https://app.example`, beside the server's own. */
  allowedOrigins: readonly string[];
  limits: WebSocketLimits;
  /** Undefined: there is no room, the connection is closed. */
  open(peer: WebSocketPeer): WebSocketOwner | undefined;
}

/** What Bun keeps for a connection. */
export interface WebSocketState {
  remoteAddress: string;
  owner?: WebSocketOwner | undefined;
}

type Bun = ServerWebSocket<WebSocketState>;

/** RFC 6455: try again later. */
const CLOSE_OVERLOADED = 1013;
const CLOSE_TEXT_MAX = 120;
/** A peer that is silent is pinged, and given up when it does not answer, within this time. */
const IDLE_SECONDS = 120;

/** The peers that have something to send at the end of this turn. */
class Turn {
  readonly #clock: Pick<Clock, "endOfTurn">;
  #peers: WebSocketPeer[] = [];

  constructor(clock: Pick<Clock, "endOfTurn">) {
    this.#clock = clock;
  }

  add(peer: WebSocketPeer): void {
    this.#peers.push(peer);
    if (this.#peers.length === 1) this.#clock.endOfTurn(() => this.#end());
  }

  #end(): void {
    const peers = this.#peers;
    this.#peers = [];
    for (const peer of peers) peer.flush();
  }
}

export class WebSocketPeer {
  readonly remoteAddress: string;
  readonly #socket: Bun;
  readonly #turn: Turn;
  readonly #outboxBytesMax: number;
  #sentBytes = 0;
  /** Messages of this turn. */
  #gathered: Uint8Array[] = [];
  #gatheredBytes = 0;

  constructor(socket: Bun, turn: Turn, outboxBytesMax: number) {
    this.#socket = socket;
    this.#turn = turn;
    this.#outboxBytesMax = outboxBytesMax;
    this.remoteAddress = socket.data.remoteAddress;
  }

  /** Bytes that the kernel has not taken. */
  get length(): number {
    return this.#gatheredBytes + this.#socket.getBufferedAmount();
  }

  /** Bytes that it took. */
  get takenBytes(): number {
    return this.#sentBytes - this.length;
  }

  /** Sends one message, which is not changed any more. Returns false when too much waits: the connection is then closed. */
  send(message: Uint8Array): boolean {
    if (this.#socket.readyState !== WebSocket.OPEN) return true;
    if (this.length > this.#outboxBytesMax) {
      this.terminate();
      return false;
    }
    this.#sentBytes += message.byteLength;
    this.#gatheredBytes += message.byteLength;
    if (this.#gathered.push(message) === 1) this.#turn.add(this);
    return true;
  }

  /** Hands the messages of this turn to the kernel. */
  flush(): void {
    const messages = this.#gathered;
    if (messages.length === 0) return;
    this.#gathered = [];
    this.#gatheredBytes = 0;
    const socket = this.#socket;
    if (socket.readyState !== WebSocket.OPEN) return;
    if (messages.length === 1) socket.sendBinary(messages[0] as Uint8Array);
    else
      socket.cork(() => {
        for (const message of messages) socket.sendBinary(message);
      });
  }

  /** Sends what waits, says why and closes. */
  close(code: number, reason: string): void {
    this.flush();
    this.#socket.close(code, reason.slice(0, CLOSE_TEXT_MAX));
  }

  terminate(): void {
    this.#socket.terminate();
  }
}

/** The part of `Bun.serve`'s options that speaks WebSocket. */
export function webSocketOptions(seat: WebSocketSeat, clock: Pick<Clock, "endOfTurn">) {
  const { messageBytesMax, outboxBytesMax } = seat.limits;
  const turn = new Turn(clock);
  return {
    open(socket: Bun) {
      // A Buffer's views are dearer.
      socket.binaryType = "uint8array";
      const peer = new WebSocketPeer(socket, turn, outboxBytesMax);
      socket.data.owner = seat.open(peer);
      if (socket.data.owner === undefined) socket.close(CLOSE_OVERLOADED, "too many connections");
    },
    message(socket: Bun, message: string | Uint8Array) {
      socket.data.owner?.message(typeof message === "string" ? undefined : message);
    },
    drain: (socket: Bun) => socket.data.owner?.drain(),
    close: (socket: Bun) => socket.data.owner?.close(),
    maxPayloadLength: messageBytesMax,
    // Checked before each message; the runtime's own limit would drop messages in silence.
    backpressureLimit: 0x7fff_ffff,
    idleTimeout: IDLE_SECONDS,
    sendPings: true,
    perMessageDeflate: false,
  };
}

/** Why a request does not become a WebSocket; undefined: it may. */
export function webSocketRefusal(request: Request, seat: WebSocketSeat): Response | undefined {
  if (request.headers.get("upgrade")?.toLowerCase() !== "websocket")
    return new Response("a WebSocket is here\n", { status: 426, headers: { upgrade: "websocket" } });
  const origin = request.headers.get("origin");
  if (origin === null || seat.allowedOrigins.includes(origin) || seat.allowedOrigins.includes("*"))
    return undefined;
  if (URL.parse(origin)?.host === request.headers.get("host")) return undefined;
  return new Response(`pages of ${origin} may not connect: it is not in allowedOrigins\n`, { status: 403 });
}
