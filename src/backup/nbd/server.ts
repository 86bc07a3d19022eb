/**
 * An NBD server: a listener, a handshake for each client, then its export's device.
 *
 * TLS begins in the middle of a connection (STARTTLS). The runtime cannot make a server's plain socket into a TLS one, so
 * from there on the bytes go through a listener with TLS on the loopback of this process, and the handshake goes on at its
 * inside.
 *
 * Invariant: a client that says nothing during the handshake, does not read, or sends what is no NBD, is closed; what one
 * client makes wait is bounded, and no other waits for it.
 */
import type { Log } from "../../core/logging/log.ts";
import type { Clock, Timer } from "../../core/seams/clock.ts";
import type { Listener, Net, Socket, SocketHandlers, TlsMaterial } from "../../core/seams/net.ts";
import { ConnectionTable } from "../../core/sockets/connections.ts";
import { Outbox } from "../../core/sockets/outbox.ts";
import type { NbdTransmission } from "../../native/nbd.ts";
import type { NbdDevice, NbdExport, NbdPeer } from "./device.ts";
import { type Chosen, Negotiation, transmissionOf } from "./negotiation.ts";
import { TlsTunnel } from "./tls-tunnel.ts";

export interface NbdServerOptions {
  net: Net;
  clock: Clock;
  log: Log;
  host: string;
  port: number;
  /** Demanded of every client when it is there. */
  tls: TlsMaterial | undefined;
  connectionsMax: number;
  exports(): ReadonlyMap<string, NbdExport>;
}

const HANDSHAKE_TIMEOUT_MS = 10_000;
/** Of a client that does not take what waits for it. */
const STALL_TIMEOUT_MS = 60_000;
const OUTBOX_HIGH_BYTES = 4 << 20;
/** One feed makes at most 64 MiB and one answer of 32 MiB, what a volume answers late as much again. */
const OUTBOX_BYTES_MAX = 256 << 20;

class NbdConnection implements NbdPeer {
  readonly socket: Socket;
  readonly outbox: Outbox;
  readonly admission;
  readonly #server: NbdServer;
  readonly #negotiation: Negotiation | undefined;
  readonly #holds = new Set<string>();
  readonly #timer: Timer;
  #tunnel: TlsTunnel | undefined;
  #transmission: NbdTransmission | undefined;
  #device: NbdDevice | undefined;
  exportName: string | undefined;

  constructor(server: NbdServer, socket: Socket, isInside: boolean) {
    this.#server = server;
    this.socket = socket;
    this.outbox = new Outbox(socket, {
      bytesMax: OUTBOX_BYTES_MAX,
      highBytes: OUTBOX_HIGH_BYTES,
      onHigh: () => this.#answersWait(true),
      onLow: () => this.#answersWait(false),
      onDrained: () => this.#goOn(),
    });
    this.admission = server.table.add(this);
    const { tls, clock } = server.options;
    this.#negotiation = new Negotiation({
      exports: server.options.exports,
      tls: isInside ? "done" : tls === undefined ? "none" : "required",
      send: (bytes) => this.outbox.send(bytes),
    });
    this.#timer = clock.after(HANDSHAKE_TIMEOUT_MS, () => this.terminate("the handshake took too long"));
    // The inside of a TLS connection goes on where the outside stopped, and there the client's flags were sent before.
    if (isInside) this.#negotiation.resume();
    else this.#negotiation.begin();
  }

  get transmission(): NbdTransmission {
    return this.#transmission as NbdTransmission;
  }

  data(chunk: Uint8Array): void {
    this.#server.table.touch(this.admission);
    if (this.#tunnel !== undefined) return this.#tunnel.send(chunk);
    if (this.#device !== undefined) return this.#feed(chunk);
    const step = (this.#negotiation as Negotiation).feed(chunk);
    if (step.kind === "end") return this.end(step.reason);
    if (step.kind === "chosen") return this.#begin(step.chosen);
    if (step.kind !== "tls") return;
    this.#timer.cancel();
    this.#tunnel = new TlsTunnel(this.#server.options.net, this.#server.insidePort, this.socket, this.outbox);
  }

  #answersWait(isOn: boolean): void {
    if (this.#tunnel === undefined) this.hold("answers wait", isOn);
    else this.#tunnel.holdInside(isOn);
  }

  #begin(chosen: Chosen): void {
    this.#timer.cancel();
    this.exportName = chosen.name;
    this.#transmission = transmissionOf(this.#server.nextId(), chosen);
    this.#device = chosen.export.open(this);
    if (chosen.rest.byteLength > 0) this.#feed(chosen.rest);
  }

  #feed(chunk: Uint8Array): void {
    const outcome = (this.#device as NbdDevice).feed(chunk);
    if (outcome === "broken") this.terminate("a request that is none");
    else if (outcome === "ended") this.end("the client left");
    else if (this.transmission.hasBacklog) this.hold("a backlog", true);
  }

  /** Requests that were put aside, because many answers waited. */
  #goOn(): void {
    if (this.#transmission?.hasBacklog !== true || this.#transmission.isClosed) return;
    this.#feed(new Uint8Array(0));
    if (!this.#transmission.hasBacklog) this.hold("a backlog", false);
    else if (this.outbox.length === 0) queueMicrotask(() => this.#goOn());
  }

  send(): void {
    const { out } = this.transmission;
    if (out.length === 0) return;
    this.outbox.send(out.view());
    out.clear();
    if (this.outbox.length === 0 && this.transmission.hasBacklog) queueMicrotask(() => this.#goOn());
  }

  sendBytes(bytes: Uint8Array): void {
    this.outbox.send(bytes);
  }

  hold(reason: string, isOn: boolean): void {
    const before = this.#holds.size;
    if (isOn) this.#holds.add(reason);
    else this.#holds.delete(reason);
    if (before === 0 && this.#holds.size > 0) this.socket.pause();
    if (before > 0 && this.#holds.size === 0) this.socket.resume();
  }

  end(reason: string): void {
    this.#server.options.log.info(`NBD client leaves: ${reason}`, { remote: this.socket.remoteAddress });
    this.outbox.end();
  }

  terminate(reason: string): void {
    this.#server.options.log.warn(`NBD client closed: ${reason}`, { remote: this.socket.remoteAddress });
    this.socket.terminate();
  }

  closed(): void {
    this.#timer.cancel();
    this.outbox.close();
    this.#server.table.remove(this);
    this.#tunnel?.close();
    this.#device?.close();
    this.#transmission?.close();
    this.#device = undefined;
  }
}

export class NbdServer {
  readonly options: NbdServerOptions;
  readonly table: ConnectionTable<NbdConnection>;
  insidePort = 0;
  #listeners: Listener[] = [];
  #lastId = 0;

  constructor(options: NbdServerOptions) {
    this.options = options;
    this.table = new ConnectionTable<NbdConnection>({
      clock: options.clock,
      // Each TLS client is two connections: the one that it made, and the inside.
      limits: () => ({
        connections: options.connectionsMax * (options.tls === undefined ? 1 : 2),
        idleTimeoutMs: 0,
        stallTimeoutMs: STALL_TIMEOUT_MS,
      }),
    });
  }

  nextId(): number {
    this.#lastId = (this.#lastId + 1) >>> 0;
    return this.#lastId;
  }

  #handlers(isInside: boolean): SocketHandlers<NbdConnection | undefined> {
    return {
      open: (socket) => {
        if (this.table.hasRoom()) return new NbdConnection(this, socket, isInside);
        socket.terminate();
        return undefined;
      },
      data: (_socket, connection, chunk) => connection?.data(chunk),
      drain: (_socket, connection) => connection?.outbox.drain(),
      close: (_socket, connection) => connection?.closed(),
    };
  }

  async listen(): Promise<number> {
    const { net, host, port, tls } = this.options;
    if (tls !== undefined) {
      const inside = await net.listen({ host: "127.0.0.1", port: 0, tls, handlers: this.#handlers(true) });
      this.insidePort = inside.port;
      this.#listeners.push(inside);
    }
    const outside = await net.listen({ host, port, handlers: this.#handlers(false) });
    this.#listeners.push(outside);
    return outside.port;
  }

  /** Closes the clients of an export that goes. */
  closeExport(name: string): void {
    for (const connection of this.table)
      if (connection.exportName === name) connection.terminate(`the export ${name} goes`);
  }

  /** An export has another size from now on; what clients know of it changes when they connect again. */
  resizeExport(name: string, bytes: number): void {
    for (const connection of this.table)
      if (connection.exportName === name) connection.transmission.resize(bytes);
  }

  stopListening(): void {
    for (const listener of this.#listeners.splice(0)) listener.stop();
  }

  close(): void {
    this.stopListening();
    this.table.close();
  }
}
