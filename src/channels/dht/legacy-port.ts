/**
 * The listener for clients of the legacy swarm protocol: sockets on one side, the C engine on the other, the reply gate
 * in between.
 *
 * Invariant: one call into C per readable chunk; what it changed is handed to the log before its answers are handed to
 * the gate; a bulk request advances only when its last batches have left, and updates for a listener are looked up only
 * when it has read those before. A client may stop reading for as long as it likes: that is how the protocol suspends.
 * A crash closes the connections; clients see no acknowledgement that was not durable.
 */
import type { Clock, Timer } from "../../core/seams/clock.ts";
import { type Admission, type ConnectionLimits, ConnectionTable } from "../../core/sockets/connections.ts";
import type { Log } from "../../core/logging/log.ts";
import type { Listener, Net, Socket, TlsMaterial } from "../../core/seams/net.ts";
import { CHANNEL_GONE, type LegacyConnection, type LegacyEngine, LegacyFlag } from "../../native/legacy.ts";
import { SWARM_KEEP_ALIVE } from "../wire/legacy/protocol.ts";
import { GatedClient } from "../gated-client.ts";
import type { ReplyGate } from "../reply-gate.ts";
import type { DurableStore } from "./durable-store.ts";

export interface LegacyLimits extends ConnectionLimits {
  outboxBytesMax: number;
  /** The longest value of the store, whoever wrote it: it must fit the outbox. */
  valueBytesMax: number;
}

export interface LegacyPortOptions {
  net: Net;
  clock: Clock;
  log: Log;
  host: string;
  port: number;
  tls: TlsMaterial | undefined;
  durable: DurableStore;
  gate: ReplyGate;
  engine: LegacyEngine;
  /** New connections that may wait to be accepted. */
  backlog: number;
  /** Updates for listeners are gathered for this long. */
  writeFlushMs: number;
  limits(): LegacyLimits;
  /** A Redistribute request was accepted: its bytes behind the code. */
  onRedistribute(request: Buffer): void;
}

/** Answers of one call beside the longest value. */
const ANSWER_BYTES_MAX = 4 * 1024 * 1024;
/** All clients that do not read may together leave this many times `outboxBytesMax` unread. */
const UNREAD_TOTAL_FACTOR = 16;
/** Listeners with this many updates do not wait for the flush period. */
const UPDATES_URGENT = 4096;
/** How often listeners are looked at, at most. */
const PUMP_MS_MAX = 20;

class Client extends GatedClient {
  readonly connection: LegacyConnection;
  readonly admission: Admission<Client>;
  readonly #port: LegacyPort;
  isListening = false;
  flushedAtMs = 0;

  constructor(
    port: LegacyPort,
    socket: Socket,
    connection: LegacyConnection,
    bytesMax: number,
    table: ConnectionTable<Client>,
  ) {
    super(socket, bytesMax);
    this.#port = port;
    this.connection = connection;
    this.admission = table.add(this);
  }

  protected onReady(): void {
    this.#port.unpause(this);
  }

  protected onOverflow(bytes: number): void {
    this.#port.reportSlow(this, bytes);
  }
}

export class LegacyPort {
  readonly #options: LegacyPortOptions;
  readonly #table: ConnectionTable<Client>;
  readonly #listening = new Set<Client>();
  /** Clients that do not read what is there. */
  readonly #behind = new Set<Client>();
  #congested: Client[] = [];
  #listener: Listener | undefined;
  #pumpTimer: Timer | undefined;
  #overflowed = 0;
  bytesReceived = 0;
  bytesSent = 0;

  constructor(options: LegacyPortOptions) {
    this.#options = options;
    this.#table = new ConnectionTable({
      clock: options.clock,
      // A client that does not read is suspended, which it may be for as long as it likes.
      limits: () => ({ ...options.limits(), stallTimeoutMs: 0 }),
      onClosing: ({ socket }, reason) =>
        options.log.info(`closed a connection that is ${reason}`, { remote: socket.remoteAddress }),
    });
  }

  get connections(): number {
    return this.#table.size;
  }

  get figures() {
    const { refused, closedIdle } = this.#table.figures;
    const { bytesReceived, bytesSent } = this;
    return {
      connections: this.#table.size,
      listeners: this.#listening.size,
      refused,
      closedIdle,
      closedAsSlow: this.#overflowed,
      bytesReceived,
      bytesSent,
    };
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
    const { outboxBytesMax, valueBytesMax } = this.#options.limits();
    const bytesMax = Math.max(outboxBytesMax, valueBytesMax) + ANSWER_BYTES_MAX;
    return new Client(this, socket, this.#options.engine.connect(), bytesMax, this.#table);
  }

  #receive(client: Client, chunk: Uint8Array): void {
    if (client.isClosing) return;
    this.bytesReceived += chunk.byteLength;
    this.#table.touch(client.admission);
    const { engine, clock } = this.#options;
    this.#settle(client, engine.feed(client.connection, chunk, clock.nowMs()));
  }

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
    if (flags !== 0 || client.isListening) this.#obey(client, flags);
    if (engine.hasEvents) this.#reportEvents(client);
    if (client.hasMore || client.unreadBytes > ANSWER_BYTES_MAX / 4) this.#holdBack(client);
    if (durable.isCongested) {
      client.pause();
      this.#congested.push(client);
    }
    if (this.#listening.size > 0 && engine.takeUrgency()) this.#pump(true);
  }

  #obey(client: Client, flags: number): void {
    client.hasMore = (flags & LegacyFlag.More) !== 0;
    this.#setListening(client, (flags & LegacyFlag.Listening) !== 0);
    if ((flags & LegacyFlag.Close) !== 0) client.close();
    if ((flags & LegacyFlag.Redistribute) !== 0)
      this.#options.onRedistribute(this.#options.engine.takeTask());
  }

  #reportEvents(client?: Client): void {
    for (const text of this.#options.engine.takeEvents())
      this.#options.log.warn(text, client === undefined ? {} : { remote: client.socket.remoteAddress });
  }

  // --- back-pressure ---------------------------------------------------------------------------------------------

  /** Reads nothing more from a client until it has read its answers. */
  #holdBack(client: Client): void {
    client.pause();
    if (client.outbox.length > 0) {
      this.#behind.add(client);
      this.#limitUnread();
    }
    // Everything may have left already; going on in a later turn lets the other clients have theirs.
    if (client.unreadBytes === 0) this.unpause(client);
  }

  /** Closes the client that is furthest behind when all that are behind leave too much memory unread. */
  #limitUnread(): void {
    if (this.#behind.size < 2) return;
    let total = 0;
    let furthest: Client | undefined;
    for (const client of this.#behind) {
      total += client.unreadBytes;
      if (furthest === undefined || client.unreadBytes > furthest.unreadBytes) furthest = client;
    }
    if (furthest === undefined || total <= UNREAD_TOTAL_FACTOR * this.#options.limits().outboxBytesMax)
      return;
    this.#behind.delete(furthest);
    this.reportSlow(furthest, furthest.unreadBytes);
    furthest.socket.terminate();
  }

  /** Goes on with a client that was held back, in a turn of its own. */
  unpause(client: Client): void {
    const { clock, durable, engine } = this.#options;
    clock.endOfTurn(() => {
      if (!client.isPaused || client.isClosing || client.held.isClosed || client.unreadBytes > 0) return;
      this.#behind.delete(client);
      if (durable.isCongested) {
        this.#congested.push(client);
        return;
      }
      if (client.hasMore) {
        client.hasMore = false;
        this.#settle(client, engine.resume(client.connection, clock.nowMs()));
        if (client.hasMore || client.unreadBytes > 0) return;
      }
      client.isPaused = false;
      client.socket.resume();
    });
  }

  /** The log takes appends again. */
  onLogDrain(): void {
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

  // --- listeners -------------------------------------------------------------------------------------------------

  #setListening(client: Client, isListening: boolean): void {
    if (client.isListening === isListening) return;
    client.isListening = isListening;
    const { clock, writeFlushMs } = this.#options;
    if (isListening) {
      client.flushedAtMs = clock.monotonicMs();
      this.#listening.add(client);
      this.#pumpTimer ??= clock.every(Math.max(1, Math.min(writeFlushMs, PUMP_MS_MAX)), () => {
        this.#pump(this.#options.engine.takeUrgency());
      });
      return;
    }
    this.#listening.delete(client);
    this.#stopIdlePump();
  }

  #stopIdlePump(): void {
    if (this.#listening.size > 0) return;
    this.#pumpTimer?.cancel();
    this.#pumpTimer = undefined;
  }

  /** Sends to the listeners whose time has come, or who have much to be sent. */
  #pump(isUrgent: boolean): void {
    const { clock, engine, writeFlushMs } = this.#options;
    const now = clock.monotonicMs();
    for (const client of [...this.#listening]) {
      if (client.unreadBytes > 0 || client.isClosing) continue;
      const isDue = now - client.flushedAtMs >= writeFlushMs;
      const waiting = isDue || isUrgent || writeFlushMs > PUMP_MS_MAX ? engine.waiting(client.connection) : 0;
      if (waiting === 0 || (!isDue && waiting < UPDATES_URGENT && waiting !== CHANNEL_GONE)) continue;
      client.flushedAtMs = now;
      this.#settle(client, engine.pump(client.connection, clock.nowMs()));
    }
    this.#reportEvents();
  }

  // --- life ------------------------------------------------------------------------------------------------------

  #closed(client: Client, error: Error | undefined): void {
    if (client.held.isClosed) return;
    this.#table.remove(client);
    this.#behind.delete(client);
    this.#listening.delete(client);
    this.#stopIdlePump();
    client.held.isClosed = true;
    client.isClosing = true;
    client.outbox.close();
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

  /** Closes every connection. */
  closeAll(): void {
    this.#pumpTimer?.cancel();
    this.#pumpTimer = undefined;
    // Not left to the sockets' own reports: those come in some later turn, and the engine may be gone by then.
    const clients = [...this.#table];
    for (const client of clients) this.#closed(client, undefined);
    for (const client of clients) client.socket.terminate();
    this.#table.close();
  }
}
