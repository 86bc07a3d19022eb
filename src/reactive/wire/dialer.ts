/**
 * The calling side: keeps one connection to an address, shakes hands, calls again when it breaks.
 *
 * Invariant: between two attempts there is a pause that doubles up to a limit, with chance in it, so many callers do not
 * come back at once. A peer that answers no ping for a while is given up: a host that lost its power
 * never says so. What is sent while there is no connection is dropped: the protocols above repeat what matters.
 */
import type { NxError } from "../../core/errors.ts";
import type { World } from "../../core/role.ts";
import type { Timer } from "../../core/seams/clock.ts";
import type { ConnectOptions, Socket } from "../../core/seams/net.ts";
import { WireError, type ByteWriter } from "./bytes.ts";
import { FrameType } from "./frame.ts";
import { readFailure, readWelcome, writeHello, type Hello, type Welcome } from "./handshake.ts";
import { Link } from "./link.ts";

export interface DialerOptions {
  world: Pick<World, "net" | "clock" | "random">;
  host: string;
  port: number;
  tls?: ConnectOptions<unknown>["tls"];
  hello: Hello;
  outboxBytesMax: number;
  payloadBytesMax: number;
  /** One attempt, its handshake included. */
  connectTimeoutMs?: number;
  retryMsMin?: number;
  retryMsMax?: number;
  onWelcome(welcome: Welcome): void;
  onFrame(type: number, payload: Uint8Array): void;
  /** The connection, or an attempt at one, is over; `reason` says why, for people. */
  onLost(reason: string): void;
}

interface Call {
  link: Link;
  isWelcome: boolean;
  /** Since anything arrived. */
  unansweredPings: number;
}

const PING_MS = 250;
/** Counted, not timed: a process that was suspended has missed one answer, not many. */
const UNANSWERED_MAX = 4;

export class Dialer {
  readonly #options: DialerOptions;
  #call: Call | undefined;
  #timer: Timer | undefined;
  #retryMs: number;
  #attempt = 0;
  #isStopped = false;
  readonly #pinger: Timer;

  constructor(options: DialerOptions) {
    this.#options = options;
    this.#pinger = options.world.clock.every(PING_MS, () => this.#ping());
    this.#retryMs = options.retryMsMin ?? 50;
    this.#dial();
  }

  get isConnected(): boolean {
    return this.#call?.isWelcome === true;
  }

  /** Sends a frame, or drops it when there is no connection; returns whether it was sent. */
  send(type: number, write: (writer: ByteWriter) => void): boolean {
    if (!this.isConnected) return false;
    this.#call?.link.send(type, write);
    return true;
  }

  /** As `send`, for a frame with free space in front. */
  sendFrame(type: number, frame: Uint8Array): boolean {
    if (!this.isConnected) return false;
    this.#call?.link.sendFrame(type, frame);
    return true;
  }

  #ping(): void {
    const call = this.#call;
    if (call?.isWelcome !== true) return;
    call.unansweredPings++;
    if (call.unansweredPings > UNANSWERED_MAX) this.#lost(this.#attempt, "it does not answer any more");
    else call.link.send(FrameType.ping, () => {});
  }

  #dial(): void {
    const { world, host, port, tls, connectTimeoutMs = 2000 } = this.#options;
    const attempt = ++this.#attempt;
    this.#timer = world.clock.after(connectTimeoutMs, () => this.#lost(attempt, "no answer"));
    const connecting = world.net.connect<Call>({
      host,
      port,
      ...(tls !== undefined && { tls }),
      handlers: {
        open: (socket) => this.#open(socket, attempt),
        data: (_socket, call, chunk) => this.#data(call, attempt, chunk),
        drain: (_socket, call) => call.link.outbox.drain(),
        close: (_socket, call, error) => {
          call.link.isClosed = true;
          call.link.outbox.close();
          this.#lost(attempt, error?.message ?? "the connection was closed");
        },
      },
    });
    connecting.catch((error: NxError) => this.#lost(attempt, error.message));
  }

  #open(socket: Socket, attempt: number): Call {
    const { payloadBytesMax, outboxBytesMax, hello } = this.#options;
    const link = new Link(this.#options.world.clock, socket, () => payloadBytesMax, {
      bytesMax: outboxBytesMax,
    });
    const call: Call = { link, isWelcome: false, unansweredPings: 0 };
    if (attempt !== this.#attempt || this.#isStopped) link.terminate();
    else {
      this.#call = call;
      link.send(FrameType.hello, (writer) => writeHello(writer, hello));
    }
    return call;
  }

  #data(call: Call, attempt: number, chunk: Uint8Array): void {
    if (attempt !== this.#attempt) return;
    call.unansweredPings = 0;
    const wrong = call.link.receive(chunk, (type, payload) => this.#frame(call, type, payload));
    if (wrong !== undefined) this.#lost(attempt, wrong);
  }

  #frame(call: Call, type: number, payload: Uint8Array): void {
    if (type === FrameType.failure) throw new WireError(readFailure(payload).text);
    if (type === FrameType.pong) return;
    if (call.isWelcome) this.#options.onFrame(type, payload);
    else if (type === FrameType.welcome) {
      call.isWelcome = true;
      this.#timer?.cancel();
      this.#retryMs = this.#options.retryMsMin ?? 50;
      this.#options.onWelcome(readWelcome(payload));
    } else throw new WireError("the answer to a hello is a welcome");
  }

  #lost(attempt: number, reason: string): void {
    if (attempt !== this.#attempt || this.#isStopped) return;
    this.#attempt++;
    this.#timer?.cancel();
    this.#call?.link.terminate();
    this.#call = undefined;
    const { world, retryMsMax = 1000, onLost } = this.#options;
    const pauseMs = this.#retryMs * (0.5 + world.random.float());
    this.#retryMs = Math.min(2 * this.#retryMs, retryMsMax);
    this.#timer = world.clock.after(pauseMs, () => this.#dial());
    onLost(reason);
  }

  stop(): void {
    this.#isStopped = true;
    this.#pinger.cancel();
    this.#timer?.cancel();
    this.#call?.link.terminate();
    this.#call = undefined;
  }
}
