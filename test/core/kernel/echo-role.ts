/**
 * A role that nobody ships: it sends back what it receives. It proves the kernel without the help of any real role.
 *
 * What a client sends can misbehave on purpose: `crash!` throws in the handler, `reject!` leaves a rejection unhandled,
 * `fatal!` reports a fatal failure, `spin!` blocks the event loop for ever. Each word must be a whole chunk.
 */
import type { Hono } from "hono";
import type { z } from "zod";
import { reloadableKeys } from "../../../src/core/config/keys.ts";
import { integer, key, limits, port, roleSchema } from "../../../src/core/config/schema.ts";
import { ConnectionTable, type Admission, type Connection } from "../../../src/core/sockets/connections.ts";
import { NxError } from "../../../src/core/errors.ts";
import type { Listener, Socket } from "../../../src/core/seams/net.ts";
import { Outbox } from "../../../src/core/sockets/outbox.ts";
import { defineRole, type Role, type RoleContext, type RunningRole } from "../../../src/core/role.ts";

export const echoConfig = roleSchema({
  port: port(0, "Port of the echo."),
  drainMs: key(integer(0, { min: 0 }), "Draining takes this long.", { isReloadable: true }),
  greeting: key(integer(0, { min: 0 }), "A number that only a reload changes.", { isReloadable: true }),
  limits: limits({}),
});
type EchoConfig = z.output<typeof echoConfig>;

class EchoConnection implements Connection {
  readonly socket: Socket;
  readonly outbox: Outbox;
  readonly admission: Admission<EchoConnection>;

  constructor(node: EchoNode, socket: Socket) {
    this.socket = socket;
    this.outbox = new Outbox(socket, {
      bytesMax: node.config.limits.outboxBytesMax,
      highBytes: 64 * 1024,
      onHigh: () => node.config.greeting !== 7 && socket.pause(), // 7: keeps reading whatever waits
      onLow: () => socket.resume(),
      onOverflow: (bytes) =>
        node.context.log.warn("closed a slow client", { remote: socket.remoteAddress, bytes }),
    });
    this.admission = node.table.add(this);
  }
}

class EchoNode implements RunningRole<EchoConfig> {
  readonly context: RoleContext<EchoConfig>;
  readonly table: ConnectionTable<EchoConnection>;
  config: EchoConfig;
  #listener: Listener | undefined;
  bytes = 0;

  constructor(context: RoleContext<EchoConfig>) {
    this.context = context;
    this.config = context.config;
    this.table = new ConnectionTable({
      clock: context.clock,
      limits: () => this.config.limits,
      onClosing: ({ socket }, reason) =>
        context.log.info(`closed as ${reason}`, { remote: socket.remoteAddress }),
    });
  }

  async listen(): Promise<void> {
    const { net, config, tls, announcePort } = this.context;
    this.#listener = await net.listen<EchoConnection | undefined>({
      host: config.host,
      port: config.port,
      ...(tls !== undefined && { tls }),
      handlers: {
        open: (socket) => {
          if (this.table.hasRoom()) return new EchoConnection(this, socket);
          socket.end();
          return undefined;
        },
        data: (_socket, connection, chunk) => connection !== undefined && this.#receive(connection, chunk),
        drain: (_socket, connection) => connection?.outbox.drain(),
        close: (_socket, connection) => {
          if (connection === undefined) return;
          connection.outbox.close();
          this.table.remove(connection);
        },
      },
    });
    announcePort("port", this.#listener.port);
  }

  #receive(connection: EchoConnection, chunk: Uint8Array): void {
    this.table.touch(connection.admission);
    this.bytes += chunk.byteLength;
    if (chunk.byteLength <= 16) this.#misbehave(new TextDecoder().decode(chunk));
    connection.outbox.send(chunk);
  }

  #misbehave(word: string): void {
    if (word === "crash!") throw new Error("asked to crash");
    if (word === "reject!") void Promise.reject(new Error("nobody catches this"));
    if (word === "fatal!")
      this.context.fatal(new NxError("NX_DISK_FAILED", "sync of store/1.log failed: EIO"));
    if (word === "spin!") for (;;);
  }

  notReady = () => (this.config.greeting === 13 ? ["13 is not a good number"] : []);
  stats = () => ({ bytes: this.bytes, ...this.table.figures });
  keyFigure = () => `${this.bytes} bytes`;
  statsLine = () => `bytes_received:${this.bytes}`;
  admin(app: Hono): void {
    app.get("/echo/bytes", (context) => context.text(String(this.bytes)));
    app.get("/echo/boom", () => {
      throw new Error("a page with a defect");
    });
  }

  reload(config: EchoConfig): void {
    this.config = config;
    // Too late, as a badly written role may do it: something of the new configuration is in force already.
    if (config.greeting === 666) throw new Error("this number is refused");
  }

  async drain(): Promise<void> {
    this.context.log.info("draining begins");
    await new Promise<void>((resolve) => this.context.clock.after(this.config.drainMs, resolve));
  }

  async stop(): Promise<void> {
    this.#listener?.stop();
    this.table.close();
  }
}

/** What `start` waits for: before its listener is up, and behind that. */
export interface EchoHolds {
  hold?: Promise<void>;
  holdServing?: Promise<void>;
}

export function createEcho({ hold, holdServing }: EchoHolds = {}) {
  const echo = defineRole({
    name: "echo",
    summary: "Sends back what it receives",
    durability: "keeps no data",
    config: echoConfig,
    reloadable: reloadableKeys(echoConfig),
    async start(context) {
      const node = new EchoNode(context);
      context.progress("loading echoes: 37 %");
      try {
        await hold;
        await node.listen();
        await holdServing;
      } catch (error) {
        await node.stop();
        throw error;
      }
      return node;
    },
  });
  return echo as unknown as Role;
}
