/**
 * One connection to one address that is called again whenever it breaks.
 *
 * Invariant: there is at most one connection, and of an earlier one, or of an attempt that was given up, nothing is heard
 * any more. Each end of a connection or of an attempt is told once, with its reason; the next attempt follows after the
 * pause. An attempt that nobody answers is given up: the kernel asks a silent host ever more rarely, and one that is back
 * would wait half a minute to be asked. What waited for the kernel is dropped with its connection: what must not be lost is the owner's to keep.
 */
import type { Clock, Timer } from "../seams/clock.ts";
import type { Net, Socket } from "../seams/net.ts";
import { Outbox, type OutboxOptions } from "./outbox.ts";

export interface RedialOptions {
  world: { net: Pick<Net, "connect">; clock: Pick<Clock, "after"> };
  /** Asked at each attempt. */
  address(): { host: string; port: number };
  /** Between the end of one attempt and the next. */
  retryMs: number;
  /** The pause doubles up to this while nobody says `proven`. */
  retryMsMax?: number;
  outbox: OutboxOptions;
  onOpen(): void;
  /** `chunk` is only valid during the call. Throwing gives the connection up. */
  onData(chunk: Uint8Array): void;
  /** The kernel takes bytes again; the outbox has had its turn. */
  onDrain?(): void;
  onDown(reason: string): void;
}

/** For an attempt, its TLS handshake included. */
const ANSWER_MS = 10_000;

export class Redial {
  readonly #options: RedialOptions;
  #socket: Socket | undefined;
  #outbox: Outbox | undefined;
  #timer: Timer | undefined;
  /** Goes up with each attempt and with each that is given up. */
  #attempt = 0;
  #retryMs: number;
  #isOver = false;
  connections = 0;

  constructor(options: RedialOptions) {
    this.#options = options;
    this.#retryMs = options.retryMs;
  }

  /** Of the present connection. */
  get outbox(): Outbox | undefined {
    return this.#outbox;
  }

  get socket(): Socket | undefined {
    return this.#socket;
  }

  /** Calls, instead of whatever connection or attempt there is. */
  dial(): void {
    if (this.#isOver) return;
    this.#drop();
    const attempt = ++this.#attempt;
    const { world, address } = this.#options;
    this.#timer = world.clock.after(ANSWER_MS, () => this.fail("nobody answers"));
    world.net
      .connect<undefined>({
        ...address(),
        handlers: {
          open: (socket) => this.#opened(socket, attempt),
          data: (_socket, _state, chunk) => this.#hear(attempt, chunk),
          drain: () => this.#drained(attempt),
          close: (_socket, _state, error) => {
            if (attempt === this.#attempt) this.fail(error?.message ?? "the connection was closed");
          },
        },
      })
      .catch((error: Error) => {
        if (attempt === this.#attempt) this.fail(error.message);
      });
  }

  #opened(socket: Socket, attempt: number): undefined {
    if (attempt !== this.#attempt || this.#isOver) {
      socket.terminate();
      return;
    }
    this.#timer?.cancel();
    this.connections += 1;
    this.#socket = socket;
    this.#outbox = new Outbox(socket, this.#options.outbox);
    this.#options.onOpen();
  }

  #hear(attempt: number, chunk: Uint8Array): void {
    if (attempt !== this.#attempt) return;
    try {
      this.#options.onData(chunk);
    } catch (error) {
      this.fail((error as Error).message);
    }
  }

  #drained(attempt: number): void {
    if (attempt !== this.#attempt) return;
    this.#outbox?.drain();
    if (attempt === this.#attempt) this.#options.onDrain?.();
  }

  /** The other side is who it should be: the next pause is short again. */
  proven(): void {
    this.#retryMs = this.#options.retryMs;
  }

  /** Gives the connection, or the attempt at one, up and calls again after the pause. */
  fail(reason: string): void {
    if (this.#isOver) return;
    const { world, onDown, retryMsMax = 0 } = this.#options;
    this.#drop();
    this.#timer = world.clock.after(this.#retryMs, () => this.dial());
    this.#retryMs = Math.max(this.#retryMs, Math.min(2 * this.#retryMs, retryMsMax));
    onDown(reason);
  }

  #drop(): void {
    const socket = this.#socket;
    this.#attempt += 1;
    this.#timer?.cancel();
    this.#outbox?.close();
    this.#outbox = this.#socket = undefined;
    socket?.terminate();
  }

  /** Ends the connection once everything was sent, and calls no more. */
  end(): void {
    this.#isOver = true;
    this.#timer?.cancel();
    this.#outbox?.end();
  }

  /** Ends the connection now, and calls no more. */
  close(): void {
    this.#isOver = true;
    this.#drop();
  }
}
