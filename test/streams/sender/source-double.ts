/**
 * What a sender talks to in these tests: a source of the connector protocol that checkpoints when it is told to, crashes
 * when it is told to, and then knows only what its last checkpoint knew.
 *
 * Only the protocol is a double's; the sender, its sockets and its clock are the real ones or the simulation's.
 */
import type { World } from "../../../src/core/role.ts";
import type { Listener, Socket } from "../../../src/core/seams/net.ts";
import { copyOf } from "../../../src/streams/wire/bytes.ts";
import {
  connectorFrame,
  readConnectorFrame,
  type ConnectorFrame,
  type ConnectorMessage,
} from "../../../src/streams/wire/connector.ts";
import { FrameReader } from "../../../src/streams/wire/frame.ts";

interface Stream {
  name: string;
  /** Payloads in order; the first `committed` of them are in a checkpoint. */
  records: Uint8Array[];
  last: number;
  committed: { records: number; last: number };
  owner: Connection | undefined;
}

interface Connection {
  socket: Socket;
  reader: FrameReader;
  balance: number;
}

export interface SourceDoubleOptions {
  world: World;
  host: string;
  port: number;
  credits?: number;
  cookie?: string;
}

export class SourceDouble {
  readonly streams = new Map<bigint, Stream>();
  readonly violations: string[] = [];
  duplicates = 0;
  hellos = 0;
  /** Frames other than errors are kept from the client while true. */
  isSilent = false;
  readonly #options: SourceDoubleOptions;
  readonly #connections = new Set<Connection>();
  #listener: Listener | undefined;

  constructor(options: SourceDoubleOptions) {
    this.#options = options;
  }

  get port(): number {
    return this.#listener?.port ?? 0;
  }

  async listen(): Promise<void> {
    const { world, host, port } = this.#options;
    this.#listener = await world.net.listen<Connection>({
      host,
      port,
      handlers: {
        open: (socket) => {
          const connection = { socket, reader: new FrameReader(), balance: 0 };
          this.#connections.add(connection);
          return connection;
        },
        data: (_socket, connection, chunk) =>
          connection.reader.feed(chunk, (bytes, start, end) =>
            this.#frame(connection, readConnectorFrame(bytes, start, end)),
          ),
        drain: () => {},
        close: (_socket, connection) => {
          this.#connections.delete(connection);
          for (const stream of this.streams.values())
            if (stream.owner === connection) stream.owner = undefined;
        },
      },
    });
  }

  #send(connection: Connection, frame: ConnectorFrame): void {
    if (!this.isSilent) connection.socket.write(connectorFrame(frame));
  }

  #frame(connection: Connection, frame: ConnectorFrame): void {
    const { credits = 67, cookie = "cookie" } = this.#options;
    if (frame.type === "hello") {
      this.hellos++;
      if (frame.cookie !== cookie) {
        this.#send(connection, { type: "error", text: "wrong cookie" });
        connection.socket.end();
        return;
      }
      connection.balance = credits;
      this.#send(connection, { type: "ok", credits });
      return;
    }
    connection.balance--;
    if (connection.balance < 0) this.violations.push("a frame was sent without credit");
    if (frame.type === "notify") this.#notify(connection, frame);
    else if (frame.type === "message") this.#message(connection, frame);
    else if (frame.type !== "endOfStream") this.violations.push(`a client does not send ${frame.type}`);
    if (connection.balance <= 10) this.#refill(connection, []);
  }

  #refill(connection: Connection, positions: Extract<ConnectorFrame, { type: "ack" }>["positions"]): void {
    const credits = (this.#options.credits ?? 67) - connection.balance;
    connection.balance += credits;
    this.#send(connection, { type: "ack", credits, positions });
  }

  #notify(connection: Connection, { streamId, name }: Extract<ConnectorFrame, { type: "notify" }>): void {
    const stream: Stream = this.streams.get(streamId) ?? {
      ...{ name, records: [], last: 0, committed: { records: 0, last: 0 }, owner: undefined },
    };
    this.streams.set(streamId, stream);
    const isAccepted = stream.owner === undefined || stream.owner === connection;
    if (isAccepted) stream.owner = connection;
    const position = stream.committed.last === 0 ? undefined : stream.committed.last;
    this.#send(connection, { type: "notifyAck", isAccepted, streamId, position });
  }

  #message(connection: Connection, { streamId, messageId, payload }: ConnectorMessage): void {
    const stream = this.streams.get(streamId);
    if (stream?.owner !== connection) {
      this.violations.push("a message of a stream that its connection does not own");
      return;
    }
    if (messageId <= stream.last) {
      this.duplicates++;
      return;
    }
    if (messageId !== stream.last + 1) this.violations.push(`message ${messageId} follows ${stream.last}`);
    stream.last = messageId;
    stream.records.push(copyOf(payload));
  }

  /** Everything so far survives a crash, and the clients hear of it. */
  checkpoint(): void {
    for (const [streamId, stream] of this.streams) {
      stream.committed = { records: stream.records.length, last: stream.last };
      if (stream.owner !== undefined && stream.last > 0)
        this.#refill(stream.owner, [{ streamId, position: stream.last }]);
    }
  }

  /** Forgets what no checkpoint holds, and every connection. */
  crash(): void {
    for (const stream of this.streams.values()) {
      stream.records.length = stream.committed.records;
      stream.last = stream.committed.last;
      stream.owner = undefined;
    }
    for (const { socket } of this.#connections) socket.terminate();
    this.#connections.clear();
  }

  restartAll(address = ""): void {
    for (const connection of this.#connections) this.#send(connection, { type: "restart", address });
  }

  close(): void {
    this.#listener?.stop();
    for (const { socket } of this.#connections) socket.terminate();
  }
}
