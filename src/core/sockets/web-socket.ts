/**
 * WebSockets beside the HTTP of a role, with Bun's traps handled in this one place.
 *
 * Invariant: an owner is told of each message and, once, of the end. What a peer does not read waits in the runtime's
 * buffer, bounded: past `outboxBytesMax` the connection is closed, as with a role's other sockets. A browser's page may
 * connect only from the same origin or from one that was allowed, so a page that somebody visits cannot reach a service on
 * his own host.
 */
import type { ServerWebSocket } from "bun";

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

export class WebSocketPeer {
  readonly remoteAddress: string;
  readonly #socket: Bun;
  readonly #outboxBytesMax: number;
  #sentBytes = 0;

  constructor(socket: Bun, outboxBytesMax: number) {
    this.#socket = socket;
    this.#outboxBytesMax = outboxBytesMax;
    this.remoteAddress = socket.data.remoteAddress;
  }

  /** Bytes that the kernel has not taken. */
  get length(): number {
    return this.#socket.getBufferedAmount();
  }

  /** Bytes that it took. */
  get takenBytes(): number {
    return this.#sentBytes - this.length;
  }

  /** Sends one message. Returns false when too much waits: the connection is then closed. */
  send(message: Uint8Array): boolean {
    if (this.#socket.readyState !== WebSocket.OPEN) return true;
    if (this.length > this.#outboxBytesMax) {
      this.terminate();
      return false;
    }
    this.#sentBytes += message.byteLength;
    this.#socket.sendBinary(message);
    return true;
  }

  /** Sends what waits, says why and closes. */
  close(code: number, reason: string): void {
    this.#socket.close(code, reason.slice(0, CLOSE_TEXT_MAX));
  }

  terminate(): void {
    this.#socket.terminate();
  }
}

/** The part of `Bun.serve`'s options that speaks WebSocket. */
export function webSocketOptions(seat: WebSocketSeat) {
  const { messageBytesMax, outboxBytesMax } = seat.limits;
  return {
    open(socket: Bun) {
      const peer = new WebSocketPeer(socket, outboxBytesMax);
      socket.data.owner = seat.open(peer);
      if (socket.data.owner === undefined) socket.close(CLOSE_OVERLOADED, "too many connections");
    },
    message(socket: Bun, message: string | Buffer) {
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
