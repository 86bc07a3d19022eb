/**
 * The listener for clients of the neo protocol, whatever the kind of node: sockets on one side, a C engine on the other,
 * the handshake before and the reply gate in between.
 *
 * Invariant: nothing of a client reaches the engine before it is authenticated; one call into C per readable chunk; what
 * it changed is handed to the log before its answers are handed to the gate. Streams speak only when their client has
 * read what they said before, and beside them the client's other requests are served: it is never paused for a stream.
 * A crash closes the connections; clients see no acknowledgement that was not durable.
 */
import type { Log } from "../core/logging/log.ts";
import { type Clock, oncePerTurn, type Timer } from "../core/seams/clock.ts";
import type { Listener, Net, Socket, TlsMaterial } from "../core/seams/net.ts";
import type { Random } from "../core/seams/random.ts";
import { type Admission, type ConnectionLimits, ConnectionTable } from "../core/sockets/connections.ts";
import { type NeoConnection, NeoFlag } from "../native/neo.ts";
import { GatedClient } from "./gated-client.ts";
import type { ReplyGate } from "./reply-gate.ts";
import { SWARM_KEEP_ALIVE } from "./wire/legacy/protocol.ts";
import { ADMINISTRATOR } from "./wire/neo/credentials.ts";
import { Handshake } from "./wire/neo/handshake.ts";

/** The C engine of a kind of node. */
export interface NeoPortEngine {
  connect(mayAdministrate: boolean): NeoConnection;
  disconnect(connection: NeoConnection): void;
  feed(connection: NeoConnection, chunk: Uint8Array, nowMs: number): number;
  pump(connection: NeoConnection, nowMs: number): number;
  waits(connection: NeoConnection, nowMs: number): boolean;
  takeUrgency(): boolean;
  replies(): Uint8Array;
  readonly effectsLength: number;
  readonly hasEvents: boolean;
  takeEvents(): string[];
}

/** What keeps the changes: a log, or nothing. */
export interface NeoPortLog {
  readonly position: number;
  readonly isCongested: boolean;
  commit(): void;
}

export interface NeoLimits extends ConnectionLimits {
  outboxBytesMax: number;
  /** The longest value of the store, whoever wrote it: it must fit the outbox. */
  valueBytesMax: number;
}

export interface NeoPortOptions {
  net: Net;
  clock: Clock;
  random: Random;
  log: Log;
  host: string;
  port: number;
  tls: TlsMaterial | undefined;
  /** New connections that may wait to be accepted. */
  backlog: number;
  durable: NeoPortLog;
  gate: ReplyGate;
  engine: NeoPortEngine;
  credentials(): ReadonlyMap<string, Uint8Array>;
  limits(): NeoLimits;
}

/** Answers of one call beside the longest value. */
const ANSWER_BYTES_MAX = 4 * 1024 * 1024;
/** A client that leaves this much unread is not read from. */
const UNREAD_BYTES_HIGH = 1024 * 1024;
/** All clients that do not read may together leave this many times `outboxBytesMax` unread. */
const UNREAD_TOTAL_FACTOR = 16;
/** How often streams are looked at: changes come through other ports, too. */
const PUMP_MS = 5;
const HANDSHAKE_MS_MAX = 10_000;

class Client extends GatedClient {
  readonly admission: Admission<Client>;
  readonly handshake: Handshake;
  connection: NeoConnection | undefined;
  handshakeTimer: Timer | undefined;
  isStreaming = false;
  isPumpPlanned = false;
  readonly #port: NeoPort;

  constructor(
    port: NeoPort,
    socket: Socket,
    bytesMax: number,
    table: ConnectionTable<Client>,
    options: NeoPortOptions,
  ) {
    super(socket, bytesMax);
    this.#port = port;
    this.admission = table.add(this);
    this.handshake = new Handshake({
      credentials: options.credentials(),
      random: options.random,
      nowMs: () => options.clock.nowMs(),
      send: (bytes) => this.outbox.send(bytes),
    });
  }

  override onReleased(): void {
    super.onReleased();
    if (!this.isClosing && this.hasMore && this.unreadBytes === 0) this.#port.planPump(this);
  }

  protected onReady(): void {
    this.#port.readAgain(this);
  }

  protected onOverflow(bytes: number): void {
    this.#port.reportSlow(this, bytes);
  }
}

export class NeoPort {
  readonly #options: NeoPortOptions;
  readonly #table: ConnectionTable<Client>;
  readonly #streaming = new Set<Client>();
  #congested: Client[] = [];
  #listener: Listener | undefined;
  #timer: Timer | undefined;
  readonly #planStreams: () => void;
  #overflowed = 0;
  #rejected = 0;
  bytesReceived = 0;
  bytesSent = 0;

  constructor(options: NeoPortOptions) {
    this.#options = options;
    this.#planStreams = oncePerTurn(options.clock, () => this.#pumpStreams());
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
    return {
      connections: this.#table.size,
      streaming: this.#streaming.size,
      refused,
      rejected: this.#rejected,
      closedIdle,
      closedAsSlow: this.#overflowed,
      bytesReceived,
      bytesSent,
    };
  }

  /** Starts to listen; returns the port. */
  async listen(): Promise<number> {
    const { net, host, port, tls, backlog } = this.#options;
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
    return this.#listener.port;
  }

  #open(socket: Socket): Client | undefined {
    if (!this.#table.hasRoom()) {
      socket.terminate();
      return undefined;
    }
    const { outboxBytesMax, valueBytesMax } = this.#options.limits();
    const bytesMax = Math.max(outboxBytesMax, valueBytesMax) + ANSWER_BYTES_MAX;
    const client = new Client(this, socket, bytesMax, this.#table, this.#options);
    client.handshakeTimer = this.#options.clock.after(HANDSHAKE_MS_MAX, () => {
      this.#reject(client, `no handshake within ${HANDSHAKE_MS_MAX / 1000} s`);
    });
    return client;
  }

  #receive(client: Client, chunk: Uint8Array): void {
    if (client.isClosing) return;
    this.bytesReceived += chunk.byteLength;
    this.#table.touch(client.admission);
    const bytes = client.connection === undefined ? this.#authenticate(client, chunk) : chunk;
    if (client.connection === undefined || bytes.byteLength === 0) return;
    const { engine, clock } = this.#options;
    this.#settle(client, engine.feed(client.connection, bytes, clock.nowMs()));
  }

  // --- the handshake ---------------------------------------------------------------------------------------------

  /** Returns what follows an accepted handshake. */
  #authenticate(client: Client, chunk: Uint8Array): Uint8Array {
    const { handshake } = client;
    const rest = handshake.feed(chunk);
    if (handshake.state === "rejected") this.#reject(client, handshake.reason);
    if (handshake.state !== "accepted") return rest;
    client.handshakeTimer?.cancel();
    client.connection = this.#options.engine.connect(handshake.name === ADMINISTRATOR);
    return rest;
  }

  #reject(client: Client, reason: string): void {
    this.#rejected++;
    this.#options.log.warn("rejected a client of the neo protocol", {
      remote: client.socket.remoteAddress,
      reason,
    });
    client.close();
  }

  // --- answers ---------------------------------------------------------------------------------------------------

  /** Logs and sends what a call into the engine left behind, and obeys its flags. */
  #settle(client: Client, flags: number): void {
    const { durable, gate, engine } = this.#options;
    const { position } = durable;
    if (engine.effectsLength > 0) durable.commit();
    const answers = engine.replies();
    if (answers.byteLength > 0) {
      this.bytesSent += answers.byteLength;
      gate.reply(client.held, answers, durable.position !== position);
    }
    client.hasMore = (flags & NeoFlag.More) !== 0;
    this.#setStreaming(client, (flags & NeoFlag.Streaming) !== 0);
    if ((flags & NeoFlag.Close) !== 0) client.close();
    if (engine.hasEvents) this.#reportEvents(client);
    if ((flags & NeoFlag.Stopped) !== 0 || client.unreadBytes > UNREAD_BYTES_HIGH) this.#holdBack(client);
    if (durable.isCongested) {
      client.pause();
      this.#congested.push(client);
    }
    if (client.hasMore && client.unreadBytes === 0) this.planPump(client);
    if (this.#streaming.size > 0 && engine.takeUrgency()) this.#planStreams();
  }

  #reportEvents(client?: Client): void {
    const remote = client === undefined ? {} : { remote: client.socket.remoteAddress };
    for (const text of this.#options.engine.takeEvents()) this.#options.log.warn(text, remote);
  }

  /** Reads nothing more from a client until it has read its answers. */
  #holdBack(client: Client): void {
    client.pause();
    if (client.outbox.length > 0) this.#limitUnread();
    else if (client.unreadBytes === 0) this.readAgain(client);
  }

  /** Closes the client that is furthest behind when all that do not read leave too much memory unread. */
  #limitUnread(): void {
    let total = 0;
    let furthest: Client | undefined;
    for (const client of this.#table) {
      if (!client.isPaused) continue;
      total += client.unreadBytes;
      if (furthest === undefined || client.unreadBytes > furthest.unreadBytes) furthest = client;
    }
    if (furthest === undefined || total <= UNREAD_TOTAL_FACTOR * this.#options.limits().outboxBytesMax)
      return;
    this.reportSlow(furthest, furthest.unreadBytes);
    furthest.socket.terminate();
  }

  /** Goes on with a client that was held back and has read everything, in a turn of its own. */
  readAgain(client: Client): void {
    const { clock, durable } = this.#options;
    clock.endOfTurn(() => {
      if (!client.isPaused || client.isClosing || client.held.isClosed || client.unreadBytes > 0) return;
      if (durable.isCongested) {
        this.#congested.push(client);
        return;
      }
      if (client.hasMore) this.#pump(client);
      if (client.unreadBytes > 0 || client.isClosing) return;
      client.isPaused = false;
      client.socket.resume();
    });
  }

  /** The log takes appends again. */
  onLogDrain(): void {
    const congested = this.#congested;
    this.#congested = [];
    for (const client of congested) if (client.unreadBytes === 0) this.readAgain(client);
  }

  reportSlow(client: Client, bytes: number): void {
    this.#overflowed++;
    this.#options.log.warn("closed a client that does not read its answers", {
      remote: client.socket.remoteAddress,
      unreadBytes: bytes,
    });
  }

  // --- streams ---------------------------------------------------------------------------------------------------

  #setStreaming(client: Client, isStreaming: boolean): void {
    if (client.isStreaming === isStreaming) return;
    client.isStreaming = isStreaming;
    if (isStreaming) {
      this.#streaming.add(client);
      this.#timer ??= this.#options.clock.every(PUMP_MS, () => this.#pumpStreams());
      return;
    }
    this.#streaming.delete(client);
    this.#stopIdleTimer();
  }

  #stopIdleTimer(): void {
    if (this.#streaming.size > 0) return;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  /** Pumps a client at the end of the turn, so that others have theirs. */
  planPump(client: Client): void {
    if (client.isPumpPlanned) return;
    client.isPumpPlanned = true;
    this.#options.clock.endOfTurn(() => {
      client.isPumpPlanned = false;
      if (client.hasMore && !client.isPaused && client.unreadBytes === 0) this.#pump(client);
    });
  }

  #pump(client: Client): void {
    if (client.connection === undefined || client.isClosing || client.held.isClosed) return;
    const { engine, clock } = this.#options;
    this.#settle(client, engine.pump(client.connection, clock.nowMs()));
  }

  #pumpStreams(): void {
    const { engine, clock } = this.#options;
    const nowMs = clock.nowMs();
    engine.takeUrgency();
    for (const client of [...this.#streaming]) {
      if (client.unreadBytes > 0 || client.connection === undefined) continue;
      if (engine.waits(client.connection, nowMs)) this.#pump(client);
    }
  }

  // --- life ------------------------------------------------------------------------------------------------------

  #closed(client: Client, error: Error | undefined): void {
    if (client.held.isClosed) return;
    this.#table.remove(client);
    this.#streaming.delete(client);
    this.#stopIdleTimer();
    client.handshakeTimer?.cancel();
    client.held.isClosed = true;
    client.isClosing = true;
    client.outbox.close();
    if (client.connection !== undefined) this.#options.engine.disconnect(client.connection);
    client.connection = undefined;
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

  /** Closes every connection. */
  closeAll(): void {
    // Not left to the sockets' own reports: those come in some later turn, and the engine may be gone by then.
    const clients = [...this.#table];
    for (const client of clients) this.#closed(client, undefined);
    for (const client of clients) client.socket.terminate();
    this.#table.close();
  }
}
