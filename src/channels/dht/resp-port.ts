/**
 * The listener for Redis clients: sockets on one side, the C engine on the other, the reply gate in between.
 *
 * Invariant: one call into C per readable chunk; what it changed is handed to the log before its replies are handed
 * to the gate; a connection that does not read its replies is not read from, so it cannot make memory grow.
 * A crash closes the connections; clients see no acknowledgement that was not durable.
 */
import type { Clock } from "../../core/seams/clock.ts";
import { type Admission, type ConnectionLimits, ConnectionTable } from "../../core/sockets/connections.ts";
import type { Log } from "../../core/logging/log.ts";
import type { Net, Listener, Socket, TlsMaterial } from "../../core/seams/net.ts";
import { respDefaults, RespFlag } from "../../native/resp.ts";
import { GatedClient } from "../gated-client.ts";
import type { ReplyGate } from "../reply-gate.ts";
import type { RespSession } from "../wire/resp/host.ts";
import type { RespService } from "../wire/resp/service.ts";
import type { DurableStore } from "./durable-store.ts";

export interface RespLimits extends ConnectionLimits {
  /** The longest reply to one command, but for a single value, which may always be read. */
  outboxBytesMax: number;
  valueBytesMax: number;
}

export interface RespPortOptions {
  net: Net;
  clock: Clock;
  log: Log;
  host: string;
  port: number;
  tls: TlsMaterial | undefined;
  durable: DurableStore;
  gate: ReplyGate;
  limits(): RespLimits;
}

/** Replies that wait for one client before it is no longer read from. */
const UNREAD_BYTES_MAX = 1024 * 1024;
/** Replies of clients that go on, per turn of the event loop: the others must not wait for all of them. */
const TURN_BYTES_MAX = 1024 * 1024;
/** All clients that are held back may together leave this many times `outboxBytesMax` unread. */
const UNREAD_TOTAL_FACTOR = 16;

/**
 * What may wait for one client. It is held back, so what waits is at most the replies of one call into the engine: some
 * that stayed below the soft limit, then one that is as long as a reply may be.
 */
function unreadBytesMax({ outboxBytesMax, valueBytesMax }: RespLimits): number {
  return Math.max(outboxBytesMax, valueBytesMax) + 2 * UNREAD_BYTES_MAX + 2 * respDefaults.replySoftBytesMax;
}

/** One client: its session in the engine, its held replies, its outbox. */
class Client extends GatedClient {
  readonly session: RespSession;
  readonly admission: Admission<Client>;
  readonly #port: RespPort;
  /** It may go on and waits for its time. */
  isQueued = false;

  constructor(
    port: RespPort,
    socket: Socket,
    session: RespSession,
    unreadMax: number,
    table: ConnectionTable<Client>,
  ) {
    super(socket, unreadMax);
    this.#port = port;
    this.session = session;
    session.outputBytes = () => this.unreadBytes;
    this.admission = table.add(this);
  }

  protected onReady(): void {
    this.#port.unpause(this);
  }

  protected onOverflow(bytes: number): void {
    this.#port.reportSlow(this, bytes);
  }
}

export class RespPort {
  readonly #options: RespPortOptions;
  readonly service: RespService;
  readonly #table: ConnectionTable<Client>;
  readonly #clients = new Map<RespSession, Client>();
  #listener: Listener | undefined;
  /** Clients that wait for the log to take appends again. */
  #congested: Client[] = [];
  /** Clients with more than UNREAD_BYTES_MAX to read. */
  readonly #behind = new Set<Client>();
  /** Clients that were held back and may go on, first come, first served. */
  readonly #queue: Client[] = [];
  #isTurnAwaited = false;
  #overflowed = 0;
  bytesReceived = 0;
  bytesSent = 0;

  constructor(
    options: RespPortOptions,
    createService: (closeOther: (session: RespSession) => void) => RespService,
  ) {
    this.#options = options;
    this.service = createService((session) => this.#clients.get(session)?.close());
    this.#table = new ConnectionTable({
      clock: options.clock,
      limits: options.limits,
      onClosing: ({ session }, reason) =>
        options.log.info(`closed a connection that is ${reason}`, { remote: session.address }),
    });
  }

  get connections(): number {
    return this.#clients.size;
  }

  get figures() {
    const { refused, closedIdle, closedStalled } = this.#table.figures;
    return {
      connections: this.#clients.size,
      refused,
      closedIdle,
      closedAsSlow: closedStalled + this.#overflowed,
      bytesReceived: this.bytesReceived,
      bytesSent: this.bytesSent,
    };
  }

  /** Starts to listen; returns the port. */
  async listen(): Promise<number> {
    const { net, host, port, tls } = this.#options;
    this.#listener = await net.listen<Client | undefined>({
      host,
      port,
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
      socket.write(Buffer.from("-ERR max number of clients reached\r\n"));
      socket.end();
      return undefined;
    }
    const session = this.service.open(
      socket.remoteAddress,
      `${this.#options.host}:${this.#listener?.port ?? 0}`,
    );
    const client = new Client(this, socket, session, unreadBytesMax(this.#options.limits()), this.#table);
    this.#clients.set(session, client);
    return client;
  }

  #receive(client: Client, chunk: Uint8Array): void {
    if (client.isClosing) return;
    this.bytesReceived += chunk.byteLength;
    this.#table.touch(client.admission);
    this.#settle(client, this.service.receive(client.session, chunk));
  }

  /** Logs and sends what a call into the engine left behind, and obeys its flags. */
  #settle(client: Client, flags: number): void {
    const { engine } = this.service;
    const { durable, gate } = this.#options;
    let isPromise = false;
    if (engine.effectsLength > 0) {
      const { position } = durable;
      durable.commit();
      isPromise = durable.position !== position;
    }
    const replies = engine.replies();
    if (replies.byteLength > 0) {
      this.bytesSent += replies.byteLength;
      gate.reply(client.held, replies, isPromise);
    }
    if (flags !== 0) {
      if ((flags & RespFlag.Close) !== 0) client.close();
      client.hasMore = (flags & RespFlag.More) !== 0;
    }
    if (client.hasMore || client.unreadBytes > UNREAD_BYTES_MAX) this.#holdBack(client);
    if (durable.isCongested) {
      client.pause();
      this.#congested.push(client);
    }
  }

  /** Reads nothing more from a client until it has read its replies. */
  #holdBack(client: Client): void {
    client.pause();
    if (client.unreadBytes > UNREAD_BYTES_MAX) {
      this.#behind.add(client);
      this.#limitUnread();
    }
    // Everything may have left already; going on in a later turn lets the other clients have theirs.
    if (client.unreadBytes === 0) this.unpause(client);
  }

  /** Closes the client that is furthest behind when all that are behind leave too much memory unread. */
  #limitUnread(): void {
    if (this.#behind.size < 2) return; // one may always read the longest value
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

  /** Goes on with a client that was held back, in a later turn and when its time comes. */
  unpause(client: Client): void {
    if (client.isQueued) return;
    client.isQueued = true;
    this.#queue.push(client);
    this.#serveQueueLater();
  }

  #serveQueueLater(): void {
    if (this.#isTurnAwaited) return;
    this.#isTurnAwaited = true;
    this.#options.clock.endOfTurn(() => {
      this.#isTurnAwaited = false;
      const end = this.bytesSent + TURN_BYTES_MAX;
      // Each at most once, so that the turn ends whatever they ask for.
      for (let count = this.#queue.length; count > 0 && this.bytesSent < end; count--)
        this.#goOn(this.#queue.shift() as Client);
      if (this.#queue.length > 0) this.#serveQueueLater();
    });
  }

  #goOn(client: Client): void {
    client.isQueued = false;
    if (!client.isPaused || client.isClosing || client.held.isClosed || client.unreadBytes > 0) return;
    this.#behind.delete(client);
    if (this.#options.durable.isCongested) {
      this.#congested.push(client);
      return;
    }
    if (client.hasMore) {
      client.hasMore = false;
      this.#settle(client, this.service.resume(client.session));
      if (client.hasMore || client.unreadBytes > 0) return;
    }
    client.isPaused = false;
    client.socket.resume();
  }

  /** The log takes appends again. */
  onLogDrain(): void {
    const congested = this.#congested;
    this.#congested = [];
    for (const client of congested) if (client.unreadBytes === 0) this.unpause(client);
  }

  reportSlow(client: Client, bytes: number): void {
    this.#overflowed++;
    this.#options.log.warn("closed a client that does not read its replies", {
      remote: client.session.address,
      unreadBytes: bytes,
    });
  }

  #closed(client: Client, error: Error | undefined): void {
    if (client.held.isClosed) return;
    this.#clients.delete(client.session);
    this.#table.remove(client);
    this.#behind.delete(client);
    client.held.isClosed = true;
    client.isClosing = true;
    client.outbox.close();
    this.service.close(client.session);
    if (error !== undefined)
      this.#options.log.trace("connection lost", { remote: client.session.address, reason: error.message });
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
