/**
 * The listener for clients of the neo protocol, whatever the kind of node: sockets on one side, a C engine on the other,
 * the handshake before and the reply gate in between.
 *
 * Invariant: nothing of a client reaches the engine before it is authenticated; one call into C per readable chunk; what
 * it changed is handed to the log before its answers are handed to the gate. Streams speak only when their client has
 * read what they said before, and beside them the client's other requests are served: it is never paused for a stream.
 * A crash closes the connections; clients see no acknowledgement that was not durable.
 */
import { oncePerTurn, type Timer } from "../core/seams/clock.ts";
import type { Socket } from "../core/seams/net.ts";
import type { Random } from "../core/seams/random.ts";
import { type NeoConnection, NeoFlag } from "../native/neo.ts";
import { GatedPort, type PortEngine, type PortOptions } from "./gated-port.ts";
import type { PortClient } from "./port-client.ts";
import { SWARM_KEEP_ALIVE } from "./wire/legacy/protocol.ts";
import { ADMINISTRATOR } from "./wire/neo/credentials.ts";
import { Handshake } from "./wire/neo/handshake.ts";

/** The engine of a kind of node. */
export interface NeoPortEngine extends PortEngine {
  connect(mayAdministrate: boolean): NeoConnection;
  disconnect(connection: NeoConnection): void;
  feed(connection: NeoConnection, chunk: Uint8Array, nowMs: number): number;
  pump(connection: NeoConnection, nowMs: number): number;
  waits(connection: NeoConnection, nowMs: number): boolean;
  takeUrgency(): boolean;
  readonly hasEvents: boolean;
  takeEvents(): string[];
}

export interface NeoPortOptions extends PortOptions {
  random: Random;
  /** New connections that may wait to be accepted. */
  backlog: number;
  engine: NeoPortEngine;
  credentials(): ReadonlyMap<string, Uint8Array>;
}

/** How often streams are looked at: changes come through other ports, too. */
const PUMP_MS = 5;
const HANDSHAKE_MS_MAX = 10_000;

/** Of one client: its handshake, and its connection of the engine once that is accepted. */
interface NeoSession {
  handshake?: Handshake;
  handshakeTimer?: Timer;
  connection?: NeoConnection | undefined;
}

type Client = PortClient<NeoSession>;

export class NeoPort extends GatedPort<NeoSession> {
  protected readonly engine: NeoPortEngine;
  protected readonly answerBytesMax = 4 * 1024 * 1024;
  readonly #options: NeoPortOptions;
  readonly #streaming = new Set<Client>();
  readonly #planStreams: () => void;
  #timer: Timer | undefined;
  #rejected = 0;

  constructor(options: NeoPortOptions) {
    // A client that does not read is suspended, which it may be for as long as it likes.
    super({ ...options, keepAlive: SWARM_KEEP_ALIVE }, true);
    this.#options = options;
    this.engine = options.engine;
    this.#planStreams = oncePerTurn(options.clock, () => this.#pumpStreams());
  }

  override get figures() {
    return { ...super.figures, streaming: this.#streaming.size, rejected: this.#rejected };
  }

  // --- the handshake ---------------------------------------------------------------------------------------------

  protected connect(_socket: Socket): NeoSession {
    return {};
  }

  protected override onOpened(client: Client): void {
    const { clock, credentials, random } = this.#options;
    const session = client.connection;
    session.handshake = new Handshake({
      credentials: credentials(),
      random,
      nowMs: () => clock.nowMs(),
      send: (bytes) => client.outbox.send(bytes),
    });
    session.handshakeTimer = clock.after(HANDSHAKE_MS_MAX, () => {
      this.#reject(client, `no handshake within ${HANDSHAKE_MS_MAX / 1000} s`);
    });
  }

  /** What follows an accepted handshake is the engine's. */
  protected override admit(client: Client, chunk: Uint8Array): Uint8Array {
    const session = client.connection;
    if (session.connection !== undefined) return chunk;
    const handshake = session.handshake as Handshake;
    const rest = handshake.feed(chunk);
    if (handshake.state === "rejected") this.#reject(client, handshake.reason);
    if (handshake.state === "accepted") {
      session.handshakeTimer?.cancel();
      session.connection = this.engine.connect(handshake.name === ADMINISTRATOR);
    }
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

  // --- requests --------------------------------------------------------------------------------------------------

  protected feed({ connection }: NeoSession, chunk: Uint8Array): number {
    return this.engine.feed(connection as NeoConnection, chunk, this.#options.clock.nowMs());
  }

  protected resume({ connection }: NeoSession): number {
    return this.engine.pump(connection as NeoConnection, this.#options.clock.nowMs());
  }

  protected override isStopped(_client: Client, flags: number): boolean {
    return (flags & NeoFlag.Stopped) !== 0;
  }

  protected override isWatched(client: Client): boolean {
    return client.hasMore || this.#streaming.has(client);
  }

  protected obey(client: Client, flags: number): void {
    client.hasMore = (flags & NeoFlag.More) !== 0;
    this.#setStreaming(client, (flags & NeoFlag.Streaming) !== 0);
    if ((flags & NeoFlag.Close) !== 0) client.close();
  }

  protected afterCall(client: Client): void {
    if (this.engine.hasEvents)
      for (const text of this.engine.takeEvents())
        this.#options.log.warn(text, { remote: client.socket.remoteAddress });
    if (this.#streaming.size > 0 && this.engine.takeUrgency()) this.#planStreams();
  }

  // --- streams ---------------------------------------------------------------------------------------------------

  #setStreaming(client: Client, isStreaming: boolean): void {
    if (this.#streaming.has(client) === isStreaming) return;
    if (isStreaming) {
      this.#streaming.add(client);
      this.#timer ??= this.#options.clock.every(PUMP_MS, () => this.#pumpStreams());
      return;
    }
    this.#endStreaming(client);
  }

  #endStreaming(client: Client): void {
    this.#streaming.delete(client);
    if (this.#streaming.size > 0) return;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #pumpStreams(): void {
    const nowMs = this.#options.clock.nowMs();
    this.engine.takeUrgency();
    for (const client of [...this.#streaming]) {
      const { connection } = client.connection;
      if (client.unreadBytes > 0 || client.isClosing || connection === undefined) continue;
      if (this.engine.waits(connection, nowMs)) this.settle(client, this.resume(client.connection));
    }
  }

  // --- life ------------------------------------------------------------------------------------------------------

  protected override onGone(client: Client): void {
    client.connection.handshakeTimer?.cancel();
    this.#endStreaming(client);
  }

  protected disconnect(session: NeoSession): void {
    if (session.connection !== undefined) this.engine.disconnect(session.connection);
    session.connection = undefined;
  }
}
