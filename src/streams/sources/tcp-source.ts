/**
 * Raw TCP: anybody may connect and send records. Nothing is acknowledged.
 *
 * With an input log (input-log.ts) what was read is fed again after the cluster went back to a checkpoint; without one it
 * is gone, and counted as `lostRecords`. What the kernel had and nobody read is lost with a crash either way.
 *
 * Invariant: records of one connection are fed in order and whole. A connection whose bytes cannot be cut into records is
 * closed; what it sent before counts.
 */
import type { Log } from "../../core/logging/log.ts";
import type { Clock } from "../../core/seams/clock.ts";
import type { Listener, Net, Socket, TlsMaterial } from "../../core/seams/net.ts";
import type { SourceNode } from "../plan/nodes.ts";
import { type Splitter, splitterOf } from "../runtime/splitter.ts";
import { copyOf } from "../wire/bytes.ts";
import type { InputLog } from "./input-log.ts";
import type { Source, SourceHost } from "./source.ts";

export interface TcpSourceOptions {
  net: Net;
  clock: Clock;
  log: Log;
  host: string;
  port: number;
  tls: TlsMaterial | undefined;
  connectionsMax: number;
  inputLog: InputLog | undefined;
}

interface Connection {
  socket: Socket;
  splitter: Splitter;
  /** Chunks that arrived although the source rests. */
  waiting: Uint8Array[];
}

export class TcpSource implements Source {
  readonly name: string;
  readonly node: SourceNode;
  readonly #options: TcpSourceOptions;
  readonly #host: SourceHost;
  readonly #connections = new Set<Connection>();
  #listener: Listener | undefined;
  #rests = true;
  #records = 0;
  #badConnections = 0;
  #lostRecords = 0;
  #refused = 0;

  constructor(node: SourceNode, host: SourceHost, options: TcpSourceOptions) {
    this.name = node.name;
    this.node = node;
    this.#host = host;
    this.#options = options;
  }

  /** Nobody could say how far another one got: there is nothing to hand over. An input log is this worker's. */
  get handoverAddress(): string | undefined {
    const { inputLog, host } = this.#options;
    return inputLog === undefined ? `${host}:${this.#listener?.port ?? 0}` : undefined;
  }

  async open(): Promise<number> {
    const { net, host, port, tls, connectionsMax } = this.#options;
    this.#listener = await net.listen<Connection | undefined>({
      host,
      port,
      ...(tls !== undefined && { tls }),
      handlers: {
        open: (socket) => {
          if (this.#connections.size >= connectionsMax) {
            this.#refused += 1;
            socket.terminate();
            return undefined;
          }
          const connection: Connection = { socket, splitter: splitterOf(this.node.framing), waiting: [] };
          this.#connections.add(connection);
          if (this.#rests) socket.pause();
          return connection;
        },
        data: (_socket, connection, chunk) => {
          if (connection !== undefined) this.#take(connection, chunk);
        },
        drain: () => {},
        close: (_socket, connection) => {
          // What arrived while it rested still counts.
          if (connection !== undefined && connection.waiting.length === 0)
            this.#connections.delete(connection);
        },
      },
    });
    return this.#listener.port;
  }

  #take(connection: Connection, chunk: Uint8Array): void {
    if (this.#rests) {
      connection.waiting.push(copyOf(chunk));
      return;
    }
    const startedMs = this.#options.clock.monotonicMs();
    const before = this.#records;
    const { inputLog } = this.#options;
    try {
      connection.splitter.feed(chunk, (bytes, start, end) => {
        this.#records += 1;
        inputLog?.append(bytes, start, end);
        this.#host.feed(this.node, bytes, start, end);
      });
    } catch (error) {
      this.#badConnections += 1;
      this.#options.log.warn(`a connection of ${this.name} was closed: ${(error as Error).message}`, {
        remote: connection.socket.remoteAddress,
      });
      connection.socket.terminate();
    }
    this.#host.onBatchEnd(this.#records - before, startedMs);
  }

  go(): void {
    if (!this.#rests) return;
    this.#rests = false;
    const { inputLog } = this.#options;
    inputLog?.replay((bytes) => this.#host.feed(this.node, bytes, 0, bytes.byteLength));
    if (inputLog !== undefined) this.#host.onBatchEnd(0, this.#options.clock.monotonicMs());
    for (const connection of this.#connections) {
      for (const chunk of connection.waiting.splice(0)) this.#take(connection, chunk);
      if (!this.#rests) connection.socket.resume();
    }
  }

  rest(): void {
    if (this.#rests) return;
    this.#rests = true;
    for (const { socket } of this.#connections) socket.pause();
  }

  position(): unknown {
    return this.#options.inputLog?.position() ?? this.#records;
  }

  async flush(): Promise<void> {
    await this.#options.inputLog?.flush();
  }

  committed(position: unknown): void {
    this.#options.inputLog?.committed(position as number);
  }

  async rollBack(position: unknown): Promise<void> {
    const { inputLog, log } = this.#options;
    if (inputLog !== undefined) {
      inputLog.rollBack((position as number | undefined) ?? 0);
      return;
    }
    // The position counts records of this life only: after a restart nobody knows how many were read and lost.
    const lost = this.#records - ((position as number | undefined) ?? 0);
    if (lost > 0) {
      this.#lostRecords += lost;
      log.warn(`records of ${this.name} since the last checkpoint are lost: it is raw and has no input log`, {
        lost,
      });
    }
    this.#records = (position as number | undefined) ?? 0;
  }

  stats() {
    return {
      kind: "tcp",
      connections: this.#connections.size,
      records: this.#records,
      badConnections: this.#badConnections,
      refused: this.#refused,
      lostRecords: this.#lostRecords,
    };
  }

  async close(): Promise<void> {
    this.#listener?.stop();
    for (const { socket } of this.#connections) socket.terminate();
    await this.#options.inputLog?.close();
  }
}
