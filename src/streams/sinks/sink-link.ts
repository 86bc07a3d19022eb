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
import { Redial } from "../../core/sockets/redial.ts";
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
  readonly #redial: Redial;
  #reader = new FrameReader(() => REPLY_BYTES_MAX);
  #isDialed = false;
  #heardAtMs = 0;
  /** Why there is no connection; "" while there is one. */
  trouble = "not connected yet";

  constructor(options: SinkLinkOptions) {
    this.#options = options;
    const { world, host, port, hello } = options;
    this.#watchdog = world.clock.every(WATCH_MS, () => this.#watch());
    this.#redial = new Redial({
      world,
      address: () => ({ host, port }),
      retryMs: RETRY_MS,
      outbox: {
        bytesMax: Number.POSITIVE_INFINITY,
        highBytes: UNSENT_BYTES_MAX,
        onLow: () => options.onRoom(),
      },
      onOpen: () => {
        this.#reader = new FrameReader(() => REPLY_BYTES_MAX);
        this.send(hello);
      },
      onData: (chunk) => this.#receive(chunk),
      onDown: (reason) => this.#down(reason),
    });
  }

  get connections(): number {
    return this.#redial.connections;
  }

  get hasRoom(): boolean {
    return (this.#redial.outbox?.length ?? 0) <= UNSENT_BYTES_MAX;
  }

  get #nowMs(): number {
    return this.#options.world.clock.monotonicMs();
  }

  #watch(): void {
    if (!this.#options.isOwed()) this.#heardAtMs = this.#nowMs;
    else if (this.#isDialed && this.#nowMs - this.#heardAtMs > SILENCE_MS)
      this.#redial.fail("it does not answer");
  }

  /** Begins a connection, instead of the one that there may be. */
  dial(): void {
    this.#isDialed = true;
    this.#heardAtMs = this.#nowMs;
    this.#options.onDown();
    this.#redial.dial();
  }

  #receive(chunk: Uint8Array): void {
    this.#heardAtMs = this.#nowMs;
    const { socket } = this.#redial;
    this.#reader.feed(chunk, (bytes, start, end) => {
      this.#options.onFrame(readConnectorFrame(bytes, start, end));
      return socket === this.#redial.socket;
    });
  }

  send(frame: ConnectorFrame): void {
    this.#frames.clear();
    writeConnectorFrame(this.#frames, frame);
    this.#redial.outbox?.send(this.#frames.done());
  }

  #down(reason: string): void {
    const { log, name, host, port, onDown } = this.#options;
    if (reason !== this.trouble) log.warn(`the sink ${name} cannot be reached: ${reason}`, { host, port });
    this.trouble = reason;
    this.#heardAtMs = this.#nowMs;
    onDown();
  }

  close(): void {
    this.#watchdog.cancel();
    this.#redial.end();
  }
}
