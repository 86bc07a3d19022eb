/**
 * The listener for clients of the legacy swarm protocol, of any node that speaks it.
 *
 * A bulk request advances only when its last batches have left; a stream (Listen, Consume) is looked after when its
 * flush period is over or it has much to send, and only when its client has read what it was sent before. A
 * client may stop reading for as long as it likes: that is how the protocol suspends.
 */
import type { Timer } from "../core/seams/clock.ts";
import type { Socket } from "../core/seams/net.ts";
import { CHANNEL_GONE, LegacyFlag } from "../native/legacy.ts";
import { GatedPort, type PortEngine, type PortOptions } from "./gated-port.ts";
import type { PortClient } from "./port-client.ts";
import { SWARM_KEEP_ALIVE } from "./wire/legacy/protocol.ts";

/** An engine of the legacy protocol, whatever kind of node it serves. */
export interface LegacyPortEngine<Connection> extends PortEngine {
  readonly hasEvents: boolean;
  connect(): Connection;
  disconnect(connection: Connection): void;
  feed(connection: Connection, chunk: Uint8Array, nowMs: number): number;
  resume(connection: Connection, nowMs: number): number;
  /** Sends what waits for a streaming connection. */
  pump(connection: Connection, nowMs: number): number;
  /** What waits for it, or CHANNEL_GONE. */
  waiting(connection: Connection): number;
  /** Some stream has much to send or ends. Reading it forgets it. */
  takeUrgency(): boolean;
  takeEvents(): string[];
  setAddress(address: string, port: number): void;
}

export interface LegacyPortOptions<Connection> extends PortOptions {
  engine: LegacyPortEngine<Connection>;
  backlog: number;
  /** What streams send is gathered for this long. */
  writeFlushMs: number;
  /** LegacyFlag.Task: the engine has one. */
  onTask?(): void;
  /** After each call into the engine. */
  afterCall?(): void;
}

/** Streams with this much to send do not wait for the flush period. */
const URGENT_ITEMS = 4096;
/** How often streams are looked at, at most. */
const PUMP_MS_MAX = 20;

export class LegacyPort<Connection> extends GatedPort<Connection> {
  protected readonly engine: LegacyPortEngine<Connection>;
  protected readonly answerBytesMax = 4 * 1024 * 1024;
  readonly #options: LegacyPortOptions<Connection>;
  /** Clients that stream, with the time of their last flush. */
  readonly #streams = new Map<PortClient<Connection>, number>();
  #pumpTimer: Timer | undefined;
  #isPumping = false;

  constructor(options: LegacyPortOptions<Connection>) {
    super({ ...options, keepAlive: SWARM_KEEP_ALIVE }, true);
    this.#options = options;
    this.engine = options.engine;
  }

  override get figures() {
    return { ...super.figures, listeners: this.#streams.size };
  }

  protected override onListening(port: number): void {
    this.engine.setAddress(this.#options.host, port);
  }

  protected connect(_socket: Socket): Connection {
    return this.engine.connect();
  }

  protected disconnect(connection: Connection): void {
    this.engine.disconnect(connection);
  }

  protected feed(connection: Connection, chunk: Uint8Array): number {
    return this.engine.feed(connection, chunk, this.#options.clock.nowMs());
  }

  protected resume(connection: Connection): number {
    return this.engine.resume(connection, this.#options.clock.nowMs());
  }

  protected override isWatched(client: PortClient<Connection>): boolean {
    return this.#streams.has(client);
  }

  protected obey(client: PortClient<Connection>, flags: number): void {
    client.hasMore = (flags & LegacyFlag.More) !== 0;
    this.#setStreaming(client, (flags & LegacyFlag.Streaming) !== 0);
    if ((flags & LegacyFlag.Close) !== 0) client.close();
    if ((flags & LegacyFlag.Task) !== 0) this.#options.onTask?.();
  }

  protected afterCall(client: PortClient<Connection>): void {
    if (this.engine.hasEvents) this.#reportEvents(client);
    this.#options.afterCall?.();
    this.pumpUrgent();
  }

  #reportEvents(client?: PortClient<Connection>): void {
    for (const text of this.engine.takeEvents())
      this.#options.log.warn(text, client === undefined ? {} : { remote: client.socket.remoteAddress });
  }

  // --- streams ---------------------------------------------------------------------------------------------------

  #setStreaming(client: PortClient<Connection>, isStreaming: boolean): void {
    if (this.#streams.has(client) === isStreaming) return;
    if (!isStreaming) {
      this.#streams.delete(client);
      this.#stopIdlePump();
      return;
    }
    const { clock, writeFlushMs } = this.#options;
    this.#streams.set(client, clock.monotonicMs());
    this.#pumpTimer ??= clock.every(Math.max(1, Math.min(writeFlushMs, PUMP_MS_MAX)), () =>
      this.#pump(this.engine.takeUrgency()),
    );
  }

  #stopIdlePump(): void {
    if (this.#streams.size > 0) return;
    this.#pumpTimer?.cancel();
    this.#pumpTimer = undefined;
  }

  /** Looks after the streams at once, if the engine says that one of them should not wait. */
  pumpUrgent(): void {
    if (this.#streams.size > 0 && !this.#isPumping && this.engine.takeUrgency()) this.#pump(true);
  }

  /** Sends to the streams whose time has come, or who have much to be sent. */
  #pump(isUrgent: boolean): void {
    const { clock, writeFlushMs } = this.#options;
    const now = clock.monotonicMs();
    this.#isPumping = true;
    for (const [client, flushedAtMs] of [...this.#streams]) {
      if (client.unreadBytes > 0 || client.isClosing) continue;
      const isDue = now - flushedAtMs >= writeFlushMs;
      const isAsked = isDue || isUrgent || writeFlushMs > PUMP_MS_MAX;
      const waiting = isAsked ? this.engine.waiting(client.connection) : 0;
      if (waiting === 0 || (!isDue && waiting < URGENT_ITEMS && waiting !== CHANNEL_GONE)) continue;
      this.#streams.set(client, now);
      this.settle(client, this.engine.pump(client.connection, clock.nowMs()));
    }
    this.#isPumping = false;
    this.#reportEvents();
  }

  protected override onGone(client: PortClient<Connection>): void {
    this.#streams.delete(client);
    this.#stopIdlePump();
  }

  override closeAll(): void {
    this.#pumpTimer?.cancel();
    this.#pumpTimer = undefined;
    super.closeAll();
  }
}
