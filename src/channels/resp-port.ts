/**
 * The listener for Redis clients, of any node that speaks RESP.
 *
 * A client that waits for a key (BLPOP …) is not held back: what it sends meanwhile waits in the engine. Invariant: who
 * was served within another client's call gets its reply in the same turn, behind what that call changed; a
 * timer ends the waiting of those whose time has come.
 */
import type { Timer } from "../core/seams/clock.ts";
import type { Socket } from "../core/seams/net.ts";
import { respDefaults, RespFlag } from "../native/resp.ts";
import { GatedPort, type PortOptions } from "./gated-port.ts";
import type { PortClient } from "./port-client.ts";
import type { RespSession } from "./wire/resp/host.ts";
import type { RespService } from "./wire/resp/service.ts";

export interface RespPortOptions extends PortOptions {
  /** After each call into the engine. */
  afterCall?(): void;
}

export class RespPort extends GatedPort<RespSession> {
  readonly service: RespService;
  protected readonly engine;
  /** Two soft limits of replies, and what may be unread before the client is held back. */
  protected readonly answerBytesMax = 2 * 1024 * 1024 + 2 * respDefaults.replySoftBytesMax;
  readonly #options: RespPortOptions;
  readonly #clients = new Map<RespSession, PortClient<RespSession>>();
  #deadlineTimer: Timer | undefined;
  #deadlineMs = 0;

  constructor(
    options: RespPortOptions,
    createService: (closeOther: (session: RespSession) => void) => RespService,
  ) {
    super(options, false);
    this.#options = options;
    this.service = createService((session) => this.#clients.get(session)?.close());
    this.engine = this.service.engine;
  }

  protected connect(socket: Socket): RespSession {
    return this.service.open(socket.remoteAddress, this.address);
  }

  protected override onOpened(client: PortClient<RespSession>): void {
    client.connection.outputBytes = () => client.unreadBytes;
    this.#clients.set(client.connection, client);
  }

  protected disconnect(session: RespSession): void {
    this.#clients.delete(session);
    this.service.close(session);
  }

  protected override refuse(socket: Socket): void {
    socket.write(Buffer.from("-ERR max number of clients reached\r\n"));
    socket.end();
  }

  protected override remoteOf({ connection }: PortClient<RespSession>): string {
    return connection.address;
  }

  protected feed(session: RespSession, chunk: Uint8Array): number {
    return this.service.receive(session, chunk);
  }

  protected resume(session: RespSession): number {
    return this.service.resume(session);
  }

  protected obey(client: PortClient<RespSession>, flags: number): void {
    if ((flags & RespFlag.Close) !== 0) client.close();
    client.hasMore = (flags & RespFlag.More) !== 0;
  }

  protected afterCall(): void {
    if (this.engine.hasWoken) this.#serveWoken();
    if (this.engine.deadlineMs !== this.#deadlineMs) this.#setDeadline();
    this.#options.afterCall?.();
  }

  /** Each serving may wake more; `settle` comes back here, which then finds none left. */
  #serveWoken(): void {
    for (let woken = this.service.woken(); woken !== undefined; woken = this.service.woken()) {
      const client = this.#clients.get(woken);
      const flags = this.service.resume(woken);
      if (client !== undefined) this.settle(client, flags);
    }
  }

  /** Another engine of the node brought something: serves who waits for it. */
  serveWaiting(): void {
    if (!this.engine.hasSignals) return;
    this.engine.serveWaiting(this.#options.clock.nowMs());
    this.#options.durable.commit();
    this.#serveWoken();
  }

  #setDeadline(): void {
    const { clock } = this.#options;
    this.#deadlineTimer?.cancel();
    this.#deadlineMs = this.engine.deadlineMs;
    if (this.#deadlineMs === 0) return;
    this.#deadlineTimer = clock.after(Math.max(1, this.#deadlineMs - clock.nowMs()), () => {
      this.#deadlineMs = 0;
      this.engine.expireBlocked(clock.nowMs());
      this.afterCall();
    });
  }

  override closeAll(): void {
    this.#deadlineTimer?.cancel();
    super.closeAll();
  }
}
