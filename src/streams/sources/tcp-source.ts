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
import type { Net, Socket, TlsMaterial } from "../../core/seams/net.ts";
import type { Framing } from "../api/contract.ts";
import type { SourceNode } from "../plan/nodes.ts";
import { type Splitter, splitterOf } from "../runtime/splitter.ts";
import type { InputLog } from "./input-log.ts";
import { Replay } from "./replay.ts";
import type { Source, SourceHost } from "./source.ts";
import { PortClient, SourcePort } from "./source-port.ts";

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

class Connection extends PortClient {
  readonly splitter: Splitter;

  constructor(socket: Socket, framing: Framing) {
    super(socket);
    this.splitter = splitterOf(framing);
  }
}

export class TcpSource implements Source {
  readonly name: string;
  readonly node: SourceNode;
  readonly #options: TcpSourceOptions;
  readonly #host: SourceHost;
  readonly #port: SourcePort<Connection>;
  /** Before anything that comes from connections. */
  readonly #replay: Replay | undefined;
  #records = 0;
  #badConnections = 0;
  #lostRecords = 0;

  constructor(node: SourceNode, host: SourceHost, options: TcpSourceOptions) {
    this.name = node.name;
    this.node = node;
    this.#host = host;
    this.#options = options;
    this.#port = new SourcePort<Connection>({
      ...options,
      open: (socket) => new Connection(socket, node.framing),
      onChunk: (connection, chunk) => this.#take(connection, chunk),
      keepsWaiting: true,
    });
    const { inputLog, clock } = options;
    if (inputLog === undefined) return;
    this.#replay = new Replay({
      ...{ clock, inputLog },
      feed: (bytes) => host.feed(node, bytes, 0, bytes.byteLength),
      // They were counted when they came.
      onPieceEnd: (_records, startedMs) => host.onBatchEnd(0, startedMs),
      onDone: () => this.#port.go(),
    });
  }

  /** Nobody could say how far another one got: there is nothing to hand over. An input log is this worker's. */
  get handoverAddress(): string | undefined {
    return this.#options.inputLog === undefined ? this.#port.address : undefined;
  }

  open(): Promise<number> {
    return this.#port.listen();
  }

  #take(connection: Connection, chunk: Uint8Array): void {
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
    if (this.#replay === undefined) this.#port.go();
    else this.#replay.start();
  }

  rest(): void {
    this.#replay?.stop();
    this.#port.rest();
  }

  position(): unknown {
    return this.#options.inputLog?.position() ?? this.#records;
  }

  get diskTrouble(): string | undefined {
    return this.#options.inputLog?.trouble;
  }

  get isCongested(): boolean {
    return this.#options.inputLog?.isCongested === true;
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
      await inputLog.rollBack((position as number | undefined) ?? 0);
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
      connections: this.#port.clients.size,
      records: this.#records,
      badConnections: this.#badConnections,
      refused: this.#port.refused,
      lostRecords: this.#lostRecords,
    };
  }

  async close(): Promise<void> {
    this.#port.close();
    await this.#options.inputLog?.close();
  }
}
