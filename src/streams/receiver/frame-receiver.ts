/**
 * A sink of framed TCP: takes frames from any number of connections and hands them on whole, in the order of their
 * arrival.
 *
 * Invariant: what a connection leaves unfinished at its end is counted as torn and handed to nobody; a connection that
 * announces an impossible length is closed and costs the others nothing.
 */
import type { World } from "../../core/role.ts";
import type { Listener, Socket } from "../../core/seams/net.ts";
import type { Timer } from "../../core/seams/clock.ts";
import { WireError } from "../wire/bytes.ts";
import { FRAME_HEADER_BYTES, FrameReader } from "../wire/frame.ts";
import type { Address } from "../sender/line.ts";

export interface FrameReceiverOptions {
  world: Pick<World, "net" | "clock">;
  address: Address;
  bodyBytesMax: number;
  /** Reads at most so much, all connections together; 0: no limit. */
  bytesPerSecondMax: number;
  /** A whole frame: its header stands at `start`; valid during the call. */
  onFrame(bytes: Uint8Array, start: number, bodyStart: number, end: number): void;
  onProblem(text: string): void;
}

interface Connection {
  socket: Socket;
  reader: FrameReader;
}

const THROTTLE_MS = 20;

export class FrameReceiver {
  readonly #options: FrameReceiverOptions;
  readonly #connections = new Set<Connection>();
  #listener: Listener | undefined;
  #timer: Timer | undefined;
  #allowance = 0;
  #isHeld = false;
  frames = 0;
  bytes = 0;
  connects = 0;
  torn = 0;

  constructor(options: FrameReceiverOptions) {
    this.#options = options;
  }

  get connections(): number {
    return this.#connections.size;
  }

  /** The port that it listens on. */
  async listen(): Promise<number> {
    const { world, address, bytesPerSecondMax } = this.#options;
    if (bytesPerSecondMax > 0) this.#timer = world.clock.every(THROTTLE_MS, () => this.#refill());
    this.#listener = await world.net.listen<Connection>({
      ...address,
      handlers: {
        open: (socket) => this.#open(socket),
        data: (_socket, connection, chunk) => this.#data(connection, chunk),
        drain: () => undefined,
        close: (_socket, connection) => this.#close(connection),
      },
    });
    return this.#listener.port;
  }

  #open(socket: Socket): Connection {
    const connection = { socket, reader: new FrameReader(() => this.#options.bodyBytesMax) };
    this.#connections.add(connection);
    this.connects++;
    if (this.#isHeld) socket.pause();
    return connection;
  }

  #data({ socket, reader }: Connection, chunk: Uint8Array): void {
    this.bytes += chunk.byteLength;
    try {
      reader.feed(chunk, (bytes, start, end) => {
        this.frames++;
        this.#options.onFrame(bytes, start - FRAME_HEADER_BYTES, start, end);
      });
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      this.#options.onProblem(`${socket.remoteAddress}: ${error.message}`);
      socket.terminate();
    }
    if (this.#timer === undefined) return;
    this.#allowance -= chunk.byteLength;
    if (this.#allowance < 0) this.hold();
  }

  #close(connection: Connection): void {
    if (!this.#connections.delete(connection)) return;
    if (connection.reader.waitingBytes > 0) this.torn++;
  }

  #refill(): void {
    const { bytesPerSecondMax } = this.#options;
    this.#allowance = Math.min(bytesPerSecondMax, this.#allowance + (bytesPerSecondMax * THROTTLE_MS) / 1000);
    if (this.#allowance >= 0) this.release();
  }

  /** From now on it reads as fast as it can. */
  readFreely(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.release();
  }

  /** Reads from nobody until `release`: the senders feel it. */
  hold(): void {
    if (this.#isHeld) return;
    this.#isHeld = true;
    for (const { socket } of this.#connections) socket.pause();
  }

  release(): void {
    if (!this.#isHeld) return;
    this.#isHeld = false;
    for (const { socket } of this.#connections) socket.resume();
  }

  close(): void {
    this.#timer?.cancel();
    this.#listener?.stop();
    for (const { socket } of this.#connections) socket.terminate();
  }
}
