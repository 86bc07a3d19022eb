/**
 * The connection of a worker to a sink process: frames of the connector protocol in both directions, called anew when it
 * breaks.
 *
 * Invariant: there is at most one connection; frames of an earlier one are heard no more. A sink that owes an answer and
 * says nothing is given up: a host that lost its power never says so.
 */
import type { Log } from "../../core/logging/log.ts";
import type { World } from "../../core/role.ts";
import type { Timer } from "../../core/seams/clock.ts";
import type { Socket } from "../../core/seams/net.ts";
import { Outbox } from "../../core/sockets/outbox.ts";
import { ByteWriter } from "../wire/bytes.ts";
import { readConnectorFrame, writeConnectorFrame, type ConnectorFrame } from "../wire/connector.ts";
import { FrameReader } from "../wire/frame.ts";

export interface SinkLinkOptions {
  world: Pick<World, "clock" | "net">;
  log: Log;
  /** For the log. */
  name: string;
  host: string;
  port: number;
  /** The first frame of each connection. */
  hello: ConnectorFrame;
  /** May throw WireError: the connection is given up. */
  onFrame(frame: ConnectorFrame): void;
  onDown(): void;
  /** Less than a buffer waits for the kernel again. */
  onRoom(): void;
  /** Whether the sink owes an answer. */
  isOwed(): boolean;
}

const RETRY_MS = 250;
const WATCH_MS = 1000;
const SILENCE_MS = 5000;
const UNSENT_BYTES_MAX = 1 << 20;
const REPLY_BYTES_MAX = 1 << 20;

export class SinkLink {
  readonly #options: SinkLinkOptions;
  readonly #frames = new ByteWriter(1 << 16);
  readonly #watchdog: Timer;
  #socket: Socket | undefined;
  #outbox: Outbox | undefined;
  #retry: Timer | undefined;
  #attempt = 0;
  #heardAtMs = 0;
  #isClosed = false;
  connections = 0;
  /** Why there is no connection; "" while there is one. */
  trouble = "not connected yet";

  constructor(options: SinkLinkOptions) {
    this.#options = options;
    this.#watchdog = options.world.clock.every(WATCH_MS, () => this.#watch());
  }

  get hasRoom(): boolean {
    return (this.#outbox?.length ?? 0) <= UNSENT_BYTES_MAX;
  }

  get #nowMs(): number {
    return this.#options.world.clock.monotonicMs();
  }

  #watch(): void {
    if (!this.#options.isOwed()) this.#heardAtMs = this.#nowMs;
    else if (this.#attempt > 0 && this.#nowMs - this.#heardAtMs > SILENCE_MS) this.fail("it does not answer");
  }

  /** Begins a connection, instead of the one that there may be. */
  dial(): void {
    this.#drop();
    if (!this.#isClosed) void this.#connect();
  }

  async #connect(): Promise<void> {
    const { world, host, port } = this.#options;
    const attempt = ++this.#attempt;
    this.#heardAtMs = this.#nowMs;
    const reader = new FrameReader(() => REPLY_BYTES_MAX);
    try {
      await world.net.connect<undefined>({
        host,
        port,
        handlers: {
          open: (socket) => this.#opened(socket, attempt),
          data: (socket, _state, chunk) => {
            if (socket === this.#socket) this.#receive(socket, reader, chunk);
          },
          drain: (socket) => {
            if (socket === this.#socket) this.#outbox?.drain();
          },
          close: (socket, _state, error) => {
            if (socket === this.#socket) this.fail(error?.message ?? "the sink closed the connection");
          },
        },
      });
    } catch (error) {
      if (attempt === this.#attempt) this.fail((error as Error).message);
    }
  }

  #opened(socket: Socket, attempt: number): undefined {
    if (this.#isClosed || attempt !== this.#attempt) {
      socket.terminate();
      return;
    }
    this.connections += 1;
    this.#socket = socket;
    this.#outbox = new Outbox(socket, {
      bytesMax: Number.POSITIVE_INFINITY,
      highBytes: UNSENT_BYTES_MAX,
      onLow: () => this.#options.onRoom(),
    });
    this.send(this.#options.hello);
  }

  #receive(socket: Socket, reader: FrameReader, chunk: Uint8Array): void {
    this.#heardAtMs = this.#nowMs;
    try {
      reader.feed(chunk, (bytes, start, end) => {
        this.#options.onFrame(readConnectorFrame(bytes, start, end));
        return socket === this.#socket;
      });
    } catch (error) {
      this.fail((error as Error).message);
    }
  }

  send(frame: ConnectorFrame): void {
    this.#frames.clear();
    writeConnectorFrame(this.#frames, frame);
    this.#outbox?.send(this.#frames.done());
  }

  /** Gives the connection, or an attempt at one, up and comes back later. */
  fail(reason: string): void {
    if (this.#isClosed) return;
    const { log, name, host, port, world } = this.#options;
    if (reason !== this.trouble) log.warn(`the sink ${name} cannot be reached: ${reason}`, { host, port });
    this.trouble = reason;
    this.#drop();
    this.#retry = world.clock.after(RETRY_MS, () => void this.#connect());
  }

  #drop(): void {
    const socket = this.#socket;
    this.#attempt++;
    this.#socket = undefined;
    this.#outbox?.close();
    this.#outbox = undefined;
    this.#retry?.cancel();
    socket?.terminate();
    this.#options.onDown();
  }

  close(): void {
    this.#isClosed = true;
    this.#retry?.cancel();
    this.#watchdog.cancel();
    this.#outbox?.end();
  }
}
