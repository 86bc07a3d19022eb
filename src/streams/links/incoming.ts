/**
 * The receiving ends of all links: the data listener of a worker.
 *
 * Invariant: of each other worker's messages in the present epoch, every one is handed over once and in order; a message
 * of another epoch never is. What was handed over is acknowledged only behind it.
 */
import type { Log } from "../../core/logging/log.ts";
import type { Clock } from "../../core/seams/clock.ts";
import type { Net, Listener, Socket, TlsMaterial } from "../../core/seams/net.ts";
import { Outbox } from "../../core/sockets/outbox.ts";
import { ByteWriter } from "../wire/bytes.ts";
import { FrameReader } from "../wire/frame.ts";
import {
  LINK_BODY_BYTES_MAX,
  type LinkHello,
  LinkType,
  type NumberedMessage,
  readLinkMessage,
} from "./frames.ts";
import { isProof } from "./secret.ts";

export interface IncomingOptions {
  clock: Pick<Clock, "monotonicMs">;
  net: Net;
  log: Log;
  host: string;
  port: number;
  tls: TlsMaterial | undefined;
  self: string;
  secret: string;
  onMessage(peer: number, message: NumberedMessage): void;
  /** What a worker that has proven itself said could not be processed. */
  onFatal(error: Error): void;
  /** What came in one piece was handed over; `startedMs`: when it came (monotonic). */
  onBatchEnd(startedMs: number): void;
}

/** Of somebody who may be anybody. */
const HELLO_BYTES_MAX = 64 << 10;
const OUTBOX_BYTES_MAX = 1 << 20;

const NO_EPOCH = 0;

interface Connection {
  socket: Socket;
  outbox: Outbox;
  reader: FrameReader;
  /** Undefined before its hello. */
  peer: number | undefined;
  epoch: number;
}

export class IncomingLinks {
  readonly #options: IncomingOptions;
  readonly #connections = new Set<Connection>();
  readonly #writer = new ByteWriter(64);
  #listener: Listener | undefined;
  #epoch = 0;
  #peers: readonly string[] = [];
  /** By peer: the number of the last message that was handed over. */
  #last: number[] = [];

  constructor(options: IncomingOptions) {
    this.#options = options;
  }

  /** Resolves with the port. */
  async listen(): Promise<number> {
    const { net, log, host, port, tls } = this.#options;
    this.#listener = await net.listen<Connection>({
      host,
      port,
      ...(tls !== undefined && { tls }),
      handlers: {
        open: (socket) => {
          const connection: Connection = {
            socket,
            outbox: new Outbox(socket, { bytesMax: OUTBOX_BYTES_MAX }),
            reader: new FrameReader(() =>
              connection.peer === undefined ? HELLO_BYTES_MAX : LINK_BODY_BYTES_MAX,
            ),
            peer: undefined,
            epoch: 0,
          };
          this.#connections.add(connection);
          return connection;
        },
        data: (socket, connection, chunk) => {
          try {
            this.#hear(connection, chunk);
          } catch (error) {
            log.warn(`a link was closed: ${(error as Error).message}`, { remote: socket.remoteAddress });
            socket.terminate();
          }
        },
        drain: (_socket, connection) => connection.outbox.drain(),
        close: (_socket, connection) => {
          connection.outbox.close();
          this.#connections.delete(connection);
        },
      },
    });
    return this.#listener.port;
  }

  /** The epoch is over: nothing of it is heard any more, and nothing of the next one before it begins. */
  end(): void {
    this.begin(NO_EPOCH, []);
  }

  /** Begins an epoch: what comes from earlier ones is dropped. `peers` are names by their numbers. */
  begin(epoch: number, peers: readonly string[]): void {
    this.#epoch = epoch;
    this.#peers = peers;
    this.#last = peers.map(() => 0);
    for (const connection of this.#connections) connection.socket.terminate();
  }

  #hear(connection: Connection, chunk: Uint8Array): void {
    const { peer } = connection;
    const startedMs = this.#options.clock.monotonicMs();
    connection.reader.feed(chunk, (bytes, start, end) => {
      const message = readLinkMessage(bytes, start, end);
      if (message.type === "hello") return this.#welcome(connection, message.hello);
      if (connection.peer === undefined || connection.epoch !== this.#epoch || !("number" in message)) {
        connection.socket.terminate();
        return false;
      }
      const last = this.#last[connection.peer] as number;
      if (message.type === "welcome" || message.type === "ack" || message.number <= last) return true;
      if (message.number !== last + 1) {
        this.#options.log.error("a link left out messages", { peer: this.#peers[connection.peer], last });
        connection.socket.terminate();
        return false;
      }
      this.#last[connection.peer] = message.number;
      try {
        this.#options.onMessage(connection.peer, message);
      } catch (error) {
        // It counts as heard, so it would not come again: only going back to a checkpoint brings it.
        this.#options.onFatal(error as Error);
        return false;
      }
      return connection.epoch === this.#epoch;
    });
    if (peer !== undefined && connection.epoch === this.#epoch) {
      this.#options.onBatchEnd(startedMs);
      this.#tell(connection, LinkType.ack, this.#last[peer] as number);
    }
  }

  #welcome(connection: Connection, hello: LinkHello): boolean {
    const { self, secret, log } = this.#options;
    const peer = this.#peers.indexOf(hello.from);
    const isKnown = hello.to === self && hello.epoch === this.#epoch && peer >= 0;
    const isProven = isProof(hello.proof, secret, ["link", hello.from, hello.to, hello.epoch]);
    if (!isProven) log.warn("a link was refused: its secret is another one", { from: hello.from });
    if (!isKnown || !isProven) {
      connection.socket.terminate();
      return false;
    }
    connection.peer = peer;
    connection.epoch = this.#epoch;
    this.#tell(connection, LinkType.welcome, this.#last[peer] as number);
    return true;
  }

  #tell({ outbox }: Connection, type: number, number: number): void {
    this.#writer.clear();
    this.#writer.frame((writer) => writer.u8(type).u64(number));
    outbox.send(this.#writer.done());
  }

  close(): void {
    this.#listener?.stop();
    for (const { socket } of this.#connections) socket.terminate();
  }
}
