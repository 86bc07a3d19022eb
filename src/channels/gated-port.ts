/**
 * A listener whose clients talk to an engine in C: sockets on one side, the engine on the other, the reply gate in
 * between. Every protocol of a node has one; what differs is what a chunk means (`feed`, `resume`, `obey`).
 *
 * Invariant: one call into C per readable chunk; what it changed is handed to the log before its replies are handed
 * to the gate; a connection that does not read its replies is not read from, so it cannot make memory grow.
 * A crash closes the connections; clients see no acknowledgement that was not durable.
 */
import type { Clock } from "../core/seams/clock.ts";
import { type ConnectionLimits, ConnectionTable } from "../core/sockets/connections.ts";
import { SpareBuffers } from "../core/sockets/spare-buffers.ts";
import type { Log } from "../core/logging/log.ts";
import type { KeepAlive, Listener, Net, Socket, TlsMaterial } from "../core/seams/net.ts";
import type { RestPace } from "../core/seams/turn-rest.ts";
import { FairTurns } from "./fair-turns.ts";
import { PortClient } from "./port-client.ts";
import type { ReplyGate } from "./reply-gate.ts";

export interface PortLimits extends ConnectionLimits {
  /** The longest reply to one command, but for a single value, which may always be read. */
  outboxBytesMax: number;
  /** The longest value, whoever wrote it: it must fit the outbox. */
  valueBytesMax: number;
}

/** What a port must know of the state that its engine changes. */
export interface PortState {
  readonly position: number;
  /** Clients must wait before they send more. */
  readonly isCongested: boolean;
  /** Moves the effects of what was just executed into the log. */
  commit(): void;
}

/** What every engine leaves behind after a call. */
export interface PortEngine {
  readonly effectsLength: number;
  /** Valid until the next call. */
  replies(): Uint8Array;
}

export interface PortOptions {
  net: Net;
  clock: Clock;
  log: Log;
  host: string;
  port: number;
  tls: TlsMaterial | undefined;
  durable: PortState;
  gate: ReplyGate;
  /** New connections that may wait to be accepted. */
  backlog?: number;
  keepAlive?: KeepAlive;
  /** How it rests under load; absent: briefly. */
  restPace?: RestPace;
  limits(): PortLimits;
}

/** Replies that wait for one client before it is no longer read from. */
const UNREAD_BYTES_MAX = 256 * 1024;
/**
 * Bytes that the kernel takes of one connection beyond what its peer has room for: else it would take several megabytes for
 * each client that does not read. With half as many, replies of a mebibyte cost those that do read a tenth more.
 */
const UNSENT_BYTES_MAX = 1024 * 1024;
/** Memory that stays with a port for the next clients that are slow to read. */
const SPARE_BYTES_MAX = 32 * 1024 * 1024;
/** All clients that are held back may together leave this many times `outboxBytesMax` unread. */
const UNREAD_TOTAL_FACTOR = 16;

export abstract class GatedPort<Connection> {
  readonly #options: PortOptions;
  readonly #table: ConnectionTable<PortClient<Connection>>;
  #listener: Listener | undefined;
  /** Clients that wait for the log to take appends again. */
  #congested: PortClient<Connection>[] = [];
  /** Clients with more than UNREAD_BYTES_MAX to read. */
  readonly #behind = new Set<PortClient<Connection>>();
  /** For what clients have not read yet. */
  readonly #spares = new SpareBuffers(SPARE_BYTES_MAX);
  readonly #turns: FairTurns<PortClient<Connection>>;
  #overflowed = 0;
  bytesReceived = 0;
  bytesSent = 0;

  /** `maySuspend`: a client may leave its replies unread for as long as it likes. */
  constructor(options: PortOptions, maySuspend: boolean) {
    this.#options = options;
    const { clock, limits, log } = options;
    this.#turns = new FairTurns(clock, (client) => this.#goOn(client));
    this.#table = new ConnectionTable({
      clock,
      limits: maySuspend ? () => ({ ...limits(), stallTimeoutMs: 0 }) : limits,
      onClosing: (client, reason) =>
        log.info(`closed a connection that is ${reason}`, { remote: this.remoteOf(client) }),
    });
  }

  // --- what a protocol brings ------------------------------------------------------------------------------------

  protected abstract readonly engine: PortEngine;
  /** Beside the longest reply: what one call into the engine may leave. */
  protected abstract readonly answerBytesMax: number;
  /** A new connection of the engine. */
  protected abstract connect(socket: Socket): Connection;
  protected abstract disconnect(connection: Connection): void;
  /** Hands a chunk to the engine; returns its flags. */
  protected abstract feed(connection: Connection, chunk: Uint8Array): number;
  /** Goes on after `hasMore`. */
  protected abstract resume(connection: Connection): number;
  /** Obeys flags: sets `hasMore`, closes. Called when there are any, and always for a client that is `watched`. */
  protected abstract obey(client: PortClient<Connection>, flags: number): void;
  /** After each call, once its replies are on their way. */
  protected abstract afterCall(client: PortClient<Connection>): void;
  protected onOpened(_client: PortClient<Connection>): void {}
  /** The client is gone; its connection still stands. */
  protected onGone(_client: PortClient<Connection>): void {}
  /** There is no room for it. */
  protected refuse(socket: Socket): void {
    socket.terminate();
  }
  protected onListening(_port: number): void {}
  /** What of a chunk is for the engine: nothing, before a handshake that the protocol begins with. */
  protected admit(_client: PortClient<Connection>, chunk: Uint8Array): Uint8Array {
    return chunk;
  }
  /** Not a byte may be fed before the engine has gone on. */
  protected isStopped(client: PortClient<Connection>, _flags: number): boolean {
    return client.hasMore;
  }
  protected isWatched(_client: PortClient<Connection>): boolean {
    return false;
  }
  protected remoteOf(client: PortClient<Connection>): string {
    return client.socket.remoteAddress;
  }

  // --- figures ---------------------------------------------------------------------------------------------------

  get connections(): number {
    return this.#table.size;
  }

  get figures() {
    const { refused, closedIdle, closedStalled } = this.#table.figures;
    return {
      connections: this.#table.size,
      refused,
      closedIdle,
      closedAsSlow: closedStalled + this.#overflowed,
      bytesReceived: this.bytesReceived,
      bytesSent: this.bytesSent,
    };
  }

  protected get address(): string {
    return `${this.#options.host}:${this.#listener?.port ?? 0}`;
  }

  // --- sockets ---------------------------------------------------------------------------------------------------

  /** Starts to listen; returns the port. */
  async listen(): Promise<number> {
    const { net, host, port, tls, backlog, keepAlive, restPace, gate } = this.#options;
    this.#listener = await net.listen<PortClient<Connection> | undefined>({
      host,
      port,
      ...(backlog !== undefined && { backlog }),
      ...(keepAlive !== undefined && { keepAlive }),
      ...(tls !== undefined && { tls }),
      ...(restPace !== undefined && { restPace }),
      unsentBytesMax: UNSENT_BYTES_MAX,
      // Who waits for the log must not wait longer.
      mayRest: () => !gate.isHolding,
      handlers: {
        open: (socket) => this.#open(socket),
        data: (_socket, client, chunk) => client !== undefined && this.#receive(client, chunk),
        drain: (_socket, client) => client?.outbox.drain(),
        close: (_socket, client, error) => client !== undefined && this.#closed(client, error),
      },
    });
    this.onListening(this.#listener.port);
    return this.#listener.port;
  }

  #open(socket: Socket): PortClient<Connection> | undefined {
    if (!this.#table.hasRoom()) {
      this.refuse(socket);
      return undefined;
    }
    const { outboxBytesMax, valueBytesMax } = this.#options.limits();
    // It is held back, so what waits is at most the replies of one call: small ones, then one as long as any may be.
    const bytesMax = Math.max(outboxBytesMax, valueBytesMax) + this.answerBytesMax;
    const client = new PortClient<Connection>(
      this,
      socket,
      this.connect(socket),
      bytesMax,
      this.#spares,
      this.#table,
    );
    this.onOpened(client);
    return client;
  }

  #receive(client: PortClient<Connection>, chunk: Uint8Array): void {
    if (client.isClosing) return;
    this.bytesReceived += chunk.byteLength;
    this.#table.touch(client.admission);
    const bytes = this.admit(client, chunk);
    if (bytes.byteLength === 0) return;
    if (client.kept !== undefined || this.#turns.mustWait(client.seat)) this.#keep(client, bytes);
    else this.settle(client, this.feed(client.connection, bytes));
  }

  /** Until its time comes: long replies to some must not come before the short ones of others in the same turn. */
  #keep(client: PortClient<Connection>, bytes: Uint8Array): void {
    client.kept = Buffer.concat(client.kept === undefined ? [bytes] : [client.kept, bytes]);
    client.pause();
    if (client.unreadBytes === 0) this.goOnLater(client);
  }

  /** Logs and sends what a call into the engine left behind, and obeys its flags. */
  protected settle(client: PortClient<Connection>, flags: number): void {
    const { durable, gate } = this.#options;
    const { engine } = this;
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
      this.#turns.replied(client.seat, replies.byteLength);
    }
    if (flags !== 0 || this.isWatched(client)) this.obey(client, flags);
    client.isStopped = this.isStopped(client, flags);
    if (client.isStopped || client.unreadBytes > UNREAD_BYTES_MAX) this.#holdBack(client);
    else if (client.hasMore && client.unreadBytes === 0) this.goOnLater(client);
    if (durable.isCongested) {
      client.pause();
      this.#congested.push(client);
    }
    this.afterCall(client);
  }

  // --- back-pressure ---------------------------------------------------------------------------------------------

  /** Reads nothing more from a client until it has read its replies. */
  #holdBack(client: PortClient<Connection>): void {
    client.pause();
    this.#countUnread(client);
    // Everything may have left already; going on in a later turn lets the other clients have theirs.
    if (client.unreadBytes === 0) this.goOnLater(client);
  }

  /** What could leave is not left unread. */
  #countUnread(client: PortClient<Connection>): void {
    if (client.outbox.hasPart || client.unreadBytes <= UNREAD_BYTES_MAX) return;
    this.#behind.add(client);
    this.#limitUnread();
  }

  /** Closes the client that is furthest behind when all that are behind leave too much memory unread. */
  #limitUnread(): void {
    if (this.#behind.size < 2) return; // one may always read the longest value
    let total = 0;
    let furthest: PortClient<Connection> | undefined;
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

  partOf(bytes: number): number {
    return this.#turns.claim(bytes);
  }

  /** Goes on with a client that was held back or has more to be told, in a later turn and when its time comes. */
  goOnLater(client: PortClient<Connection>): void {
    this.#turns.enqueue(client);
  }

  /** Sends the next part of what waits for it, in a later turn. */
  goOnNext(client: PortClient<Connection>): void {
    this.#turns.enqueueFirst(client);
  }

  #sendPart(client: PortClient<Connection>): void {
    client.outbox.drain();
    this.#countUnread(client);
  }

  #goOn(client: PortClient<Connection>): void {
    if (client.outbox.hasPart) {
      this.#sendPart(client);
      return;
    }
    if (client.isClosing || client.held.isClosed || client.unreadBytes > 0) return;
    if (!client.isPaused && !client.hasMore) return;
    this.#behind.delete(client);
    if (this.#options.durable.isCongested) {
      this.#congested.push(client);
      return;
    }
    if (client.hasMore) {
      client.hasMore = false;
      this.settle(client, this.resume(client.connection));
      if (client.isStopped || client.unreadBytes > 0) return;
    }
    const { kept } = client;
    if (kept !== undefined && !client.isClosing) {
      client.kept = undefined;
      this.settle(client, this.feed(client.connection, kept));
      if (client.isStopped || client.unreadBytes > 0) return;
    }
    if (!client.isPaused) return;
    client.isPaused = false;
    client.socket.resume();
  }

  /** The log takes appends again. */
  onLogDrain(): void {
    const congested = this.#congested;
    this.#congested = [];
    for (const client of congested) if (client.unreadBytes === 0) this.goOnLater(client);
  }

  reportSlow(client: PortClient<Connection>, bytes: number): void {
    this.#overflowed++;
    this.#options.log.warn("closed a client that does not read its replies", {
      remote: this.remoteOf(client),
      unreadBytes: bytes,
    });
  }

  // --- life ------------------------------------------------------------------------------------------------------

  #closed(client: PortClient<Connection>, error: Error | undefined): void {
    if (client.held.isClosed) return;
    this.#table.remove(client);
    this.#behind.delete(client);
    this.onGone(client);
    client.held.close();
    client.isClosing = true;
    client.outbox.close();
    this.disconnect(client.connection);
    if (error !== undefined)
      this.#options.log.trace("connection lost", { remote: this.remoteOf(client), reason: error.message });
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
