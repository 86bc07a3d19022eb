/**
 * The listener for clients of the legacy swarm protocol: sockets on one side, the C engine on the other, the reply gate
 * in between.
 *
 * Invariant: one call into C per readable chunk; what it changed is handed to the log before its answers are handed to
 * the gate. A request for many records is answered piece by piece, each made only when the one before has left: a client
 * may stop reading for as long as it likes, that is how the protocol suspends. A crash closes the connections; clients see
 * no acknowledgement that was not durable.
 */
import { NxError } from "../../core/errors.ts";
import type { Log } from "../../core/logging/log.ts";
import type { Clock } from "../../core/seams/clock.ts";
import type { Listener, Net, Socket, TlsMaterial } from "../../core/seams/net.ts";
import { type Admission, type ConnectionLimits, ConnectionTable } from "../../core/sockets/connections.ts";
import {
  LogfilesCommand as Command,
  type LogfilesConnection,
  type LogfilesEngine,
  LogfilesFlag,
  type LogfilesTask,
} from "../../native/logfiles/engine.ts";
import { GatedClient } from "../gated-client.ts";
import type { ReplyGate } from "../reply-gate.ts";
import { Status, SWARM_KEEP_ALIVE } from "../wire/legacy/protocol.ts";
import { everything, type ScanRequest } from "./scan/request.ts";
import type { LogStore } from "./store/log-store.ts";

export interface LogfilesPortOptions {
  net: Net;
  clock: Clock;
  log: Log;
  host: string;
  port: number;
  backlog: number;
  tls: TlsMaterial | undefined;
  store: LogStore;
  gate: ReplyGate;
  engine: LogfilesEngine;
  /** Content of one batch of an answer. */
  batchBytes: number;
  limits(): ConnectionLimits & { outboxBytesMax: number };
}

/** Answers of one call, and the pieces of a scan. */
const ANSWER_BYTES_MAX = 4 * 1024 * 1024;

class Client extends GatedClient {
  readonly connection: LogfilesConnection;
  readonly admission: Admission<Client>;
  readonly #port: LogfilesPort;
  /** Called once everything has left. */
  onIdle: (() => void) | undefined;

  constructor(
    port: LogfilesPort,
    socket: Socket,
    connection: LogfilesConnection,
    bytesMax: number,
    table: ConnectionTable<Client>,
  ) {
    super(socket, bytesMax);
    this.#port = port;
    this.connection = connection;
    this.admission = table.add(this);
  }

  override onReleased(): void {
    super.onReleased();
    if (this.unreadBytes > 0) return;
    const { onIdle } = this;
    this.onIdle = undefined;
    onIdle?.();
  }

  /** Resolves when everything has left, or the connection is gone. */
  drained(): Promise<void> {
    if (this.unreadBytes === 0 || this.held.isClosed) return Promise.resolve();
    return new Promise((resolve) => {
      this.onIdle = resolve;
    });
  }

  protected onReady(): void {
    this.#port.unpause(this);
  }

  protected onOverflow(bytes: number): void {
    this.#port.reportSlow(this, bytes);
  }
}

/** The bytes of a status. */
function statusBytes(status: number): Uint8Array {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(status);
  return bytes;
}

/** What a request for records asks of the store. */
function scanOf({ code, mode, low, high, rest }: LogfilesTask): Omit<ScanRequest, "sources" | "batchBytes"> {
  const output = code === Command.GetAllKeys ? "keys" : "legacy";
  switch (code) {
    case Command.GetAllFilter:
    case Command.GetRangeFilter:
      return { low, high, output, filter: { mode: "substring", pattern: rest } };
    case Command.GetRangeRegex: {
      const modes = ["substring", "regex", "regexIgnoringCase"] as const;
      return { low, high, output, filter: { mode: modes[mode] ?? "all", pattern: rest } };
    }
    default:
      return { low, high, output, filter: everything.filter };
  }
}

export class LogfilesPort {
  readonly #options: LogfilesPortOptions;
  readonly #table: ConnectionTable<Client>;
  readonly #tasks = new Set<Promise<void>>();
  #congested: Client[] = [];
  #listener: Listener | undefined;
  #removals = 0;
  #overflowed = 0;
  bytesReceived = 0;
  bytesSent = 0;

  constructor(options: LogfilesPortOptions) {
    this.#options = options;
    this.#table = new ConnectionTable({
      clock: options.clock,
      // A client that does not read is suspended, which it may be for as long as it likes.
      limits: () => ({ ...options.limits(), stallTimeoutMs: 0 }),
      onClosing: ({ socket }, reason) =>
        options.log.info(`closed a connection that is ${reason}`, { remote: socket.remoteAddress }),
    });
  }

  get figures() {
    const { refused, closedIdle } = this.#table.figures;
    const { bytesReceived, bytesSent } = this;
    const closedAsSlow = this.#overflowed;
    return { connections: this.#table.size, refused, closedIdle, closedAsSlow, bytesReceived, bytesSent };
  }

  /** Starts to listen; returns the port. */
  async listen(): Promise<number> {
    const { net, host, port, tls, backlog, engine } = this.#options;
    this.#listener = await net.listen<Client | undefined>({
      host,
      port,
      backlog,
      keepAlive: SWARM_KEEP_ALIVE,
      ...(tls !== undefined && { tls }),
      handlers: {
        open: (socket) => this.#open(socket),
        data: (_socket, client, chunk) => client !== undefined && this.#receive(client, chunk),
        drain: (_socket, client) => client?.outbox.drain(),
        close: (_socket, client, error) => client !== undefined && this.#closed(client, error),
      },
    });
    engine.setAddress(host, this.#listener.port);
    return this.#listener.port;
  }

  #open(socket: Socket): Client | undefined {
    if (!this.#table.hasRoom()) {
      socket.terminate();
      return undefined;
    }
    const bytesMax = this.#options.limits().outboxBytesMax + ANSWER_BYTES_MAX;
    return new Client(this, socket, this.#options.engine.connect(), bytesMax, this.#table);
  }

  #receive(client: Client, chunk: Uint8Array): void {
    if (client.isClosing) return;
    this.bytesReceived += chunk.byteLength;
    this.#table.touch(client.admission);
    this.#settle(client, this.#options.engine.feed(client.connection, chunk));
  }

  /** Logs and sends what a call into the engine left behind, and obeys its flags. */
  #settle(client: Client, flags: number): void {
    const { store, gate, engine } = this.#options;
    const hasChanged = engine.effectsLength > 0;
    if (hasChanged) store.commit();
    if (engine.removalsTotal !== this.#removals) {
      this.#removals = engine.removalsTotal;
      store.onRemovals();
    }
    const answers = engine.replies();
    if (answers.byteLength > 0) {
      this.bytesSent += answers.byteLength;
      gate.reply(client.held, answers, hasChanged);
    }
    if (engine.hasEvents) this.#reportEvents(client);
    if (flags !== 0) this.#obey(client, flags);
    if (client.hasMore || client.unreadBytes > ANSWER_BYTES_MAX / 4) this.#holdBack(client);
    if (store.isCongested) {
      client.pause();
      this.#congested.push(client);
    }
  }

  #obey(client: Client, flags: number): void {
    const { engine } = this.#options;
    client.hasMore = (flags & LogfilesFlag.More) !== 0;
    if ((flags & LogfilesFlag.Close) !== 0) client.close();
    if ((flags & LogfilesFlag.Task) === 0) return;
    const done = this.#answer(client, engine.takeTask());
    this.#tasks.add(done);
    void done.finally(() => this.#tasks.delete(done));
  }

  #reportEvents(client: Client): void {
    for (const text of this.#options.engine.takeEvents())
      this.#options.log.warn(text, { remote: client.socket.remoteAddress });
  }

  // --- requests for records --------------------------------------------------------------------------------------

  #send(client: Client, bytes: Uint8Array): void {
    this.bytesSent += bytes.byteLength;
    this.#options.gate.reply(client.held, bytes, false);
  }

  /** Answers a request for records, then lets the connection go on. Never rejects. */
  async #answer(client: Client, task: LogfilesTask): Promise<void> {
    // What a client sends behind a request that takes long would gather here.
    client.socket.pause();
    let hasBegun = false;
    try {
      await this.#sendRecords(client, task, () => {
        hasBegun = true;
      });
    } catch (error) {
      this.#refuse(client, task, error as Error, hasBegun);
    }
    if (client.held.isClosed) return;
    if (!client.isPaused) client.socket.resume();
    this.#settle(client, this.#options.engine.resume(client.connection));
  }

  async #sendRecords(client: Client, task: LogfilesTask, onBegin: () => void): Promise<void> {
    const { store, log, batchBytes } = this.#options;
    const request = { ...scanOf(task), batchBytes };
    const pieces = store.scan(task.channel, request) ?? store.scanNothing(request);
    try {
      for (let count = 0; ; count++) {
        const piece = await pieces.next();
        if (client.held.isClosed || piece === undefined) break;
        if (count === 0) {
          onBegin();
          this.#send(client, statusBytes(Status.Ok));
        }
        if (piece.byteLength > 0) this.#send(client, piece);
        await client.drained();
      }
      const { skipped } = pieces.figures;
      if (skipped > 0)
        log.warn(`left out ${skipped} records that no batch holds`, { channel: task.channel, batchBytes });
    } finally {
      await pieces.close();
    }
  }

  /** An answer that has begun can only be cut off. */
  #refuse(client: Client, { channel }: LogfilesTask, error: Error, hasBegun: boolean): void {
    const remote = client.socket.remoteAddress;
    const isClientsFault = error instanceof NxError && error.code === "NX_INPUT_INVALID";
    if (isClientsFault) this.#options.log.warn(error.message, { channel, remote });
    else this.#options.log.error(`a request for records failed: ${error.message}`, { channel, remote });
    if (client.held.isClosed) return;
    if (hasBegun) client.socket.terminate();
    else this.#send(client, statusBytes(Status.Error));
  }

  // --- back-pressure ---------------------------------------------------------------------------------------------

  /** Reads nothing more from a client until it has read its answers. */
  #holdBack(client: Client): void {
    client.pause();
    // Everything may have left already; going on in a later turn lets the other clients have theirs.
    if (client.unreadBytes === 0) this.unpause(client);
  }

  /** Goes on with a client that was held back, in a turn of its own. */
  unpause(client: Client): void {
    const { clock, store, engine } = this.#options;
    clock.endOfTurn(() => {
      if (!client.isPaused || client.isClosing || client.held.isClosed || client.unreadBytes > 0) return;
      if (store.isCongested) {
        this.#congested.push(client);
        return;
      }
      if (client.hasMore) {
        client.hasMore = false;
        this.#settle(client, engine.resume(client.connection));
        if (client.hasMore || client.unreadBytes > 0) return;
      }
      client.isPaused = false;
      client.socket.resume();
    });
  }

  /** The store takes records again. */
  onDrain(): void {
    const congested = this.#congested;
    this.#congested = [];
    for (const client of congested) if (client.unreadBytes === 0) this.unpause(client);
  }

  reportSlow(client: Client, bytes: number): void {
    this.#overflowed++;
    this.#options.log.warn("closed a client that does not read its answers", {
      remote: client.socket.remoteAddress,
      unreadBytes: bytes,
    });
  }

  // --- life ------------------------------------------------------------------------------------------------------

  #closed(client: Client, error: Error | undefined): void {
    if (client.held.isClosed) return;
    this.#table.remove(client);
    client.held.isClosed = true;
    client.isClosing = true;
    client.outbox.close();
    client.onIdle?.();
    this.#options.engine.disconnect(client.connection);
    if (error !== undefined)
      this.#options.log.trace("connection lost", {
        remote: client.socket.remoteAddress,
        reason: error.message,
      });
  }

  /** Stops accepting. */
  stopListening(): void {
    this.#listener?.stop();
  }

  /** Closes every connection; resolves when no scan of any is under way. */
  async closeAll(): Promise<void> {
    // Not left to the sockets' own reports: those come in some later turn, and the engine may be gone by then.
    const clients = [...this.#table];
    for (const client of clients) this.#closed(client, undefined);
    for (const client of clients) client.socket.terminate();
    this.#table.close();
    await Promise.all(this.#tasks);
  }
}
