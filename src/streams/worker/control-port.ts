/**
 * The control listener of a worker. At the leader it takes members in; at any other worker it says where the leader is.
 *
 * Invariant: a message counts only behind a hello with the right secret. A member that was silent for too long is
 * disconnected, which is how the leader learns of a host that lost its power.
 */
import type { Log } from "../../core/logging/log.ts";
import type { World } from "../../core/role.ts";
import type { Timer } from "../../core/seams/clock.ts";
import type { Listener, Socket, TlsMaterial } from "../../core/seams/net.ts";
import { Outbox } from "../../core/sockets/outbox.ts";
import { jsonFrame, JsonFrameReader, MESSAGE_BYTES_MAX } from "../links/json-frames.ts";
import { isProof } from "../links/secret.ts";
import type { Leader } from "./leader.ts";
import type { Session } from "./leader-types.ts";
import { PING_MS, SILENCE_MS } from "./member.ts";
import { readToLeader } from "./message-shapes.ts";
import type { Hello, ToMember } from "./messages.ts";

export interface ControlPortOptions {
  world: Pick<World, "clock" | "net">;
  log: Log;
  host: string;
  port: number;
  tls: TlsMaterial | undefined;
  secret: string;
  /** Undefined: another worker is the leader. */
  leader(): Leader | undefined;
  /** Its control address, for those who ask here. */
  leaderAddress(): string;
  /** A leader that moved says where it is. */
  onLeaderMoved(address: string): void;
}

const OUTBOX_BYTES_MAX = 64 << 20;
/** Of somebody who may be anybody. */
const HELLO_BYTES_MAX = 64 << 10;

class Connection implements Session {
  readonly socket: Socket;
  readonly outbox: Outbox;
  readonly reader = new JsonFrameReader(() =>
    this.name === undefined ? HELLO_BYTES_MAX : MESSAGE_BYTES_MAX,
  );
  name: string | undefined;
  heardAtMs: number;

  constructor(socket: Socket, nowMs: number) {
    this.socket = socket;
    this.outbox = new Outbox(socket, { bytesMax: OUTBOX_BYTES_MAX });
    this.heardAtMs = nowMs;
  }

  send(message: ToMember): void {
    this.outbox.send(jsonFrame(message));
  }

  close(): void {
    this.outbox.end();
  }
}

export const helloWords = ({ name, incarnation, plan }: Pick<Hello, "name" | "incarnation" | "plan">) =>
  ["hello", name, incarnation, plan] as const;
export const newsWords = (control: string) => ["leaderAt", control] as const;

export class ControlPort {
  readonly #options: ControlPortOptions;
  readonly #connections = new Set<Connection>();
  #listener: Listener | undefined;
  #timer: Timer | undefined;

  constructor(options: ControlPortOptions) {
    this.#options = options;
  }

  async listen(): Promise<number> {
    const { world, host, port, tls, log } = this.#options;
    const { clock } = world;
    this.#listener = await world.net.listen<Connection>({
      host,
      port,
      ...(tls !== undefined && { tls }),
      handlers: {
        open: (socket) => {
          const connection = new Connection(socket, clock.monotonicMs());
          this.#connections.add(connection);
          return connection;
        },
        data: (socket, connection, chunk) => {
          connection.heardAtMs = clock.monotonicMs();
          try {
            connection.reader.feed(chunk, (message) => this.#hear(connection, message));
          } catch (error) {
            log.warn(`a control connection was closed: ${(error as Error).message}`, {
              remote: socket.remoteAddress,
            });
            socket.terminate();
          }
        },
        drain: (_socket, connection) => connection.outbox.drain(),
        close: (_socket, connection) => {
          connection.outbox.close();
          this.#connections.delete(connection);
          if (connection.name !== undefined) this.#options.leader()?.lost(connection, connection.name);
        },
      },
    });
    this.#timer = clock.every(PING_MS, () => this.#ping());
    return this.#listener.port;
  }

  #ping(): void {
    const nowMs = this.#options.world.clock.monotonicMs();
    for (const connection of this.#connections) {
      if (nowMs - connection.heardAtMs > SILENCE_MS) connection.socket.terminate();
      else connection.send({ type: "ping" });
    }
  }

  #hear(connection: Connection, message: unknown): void {
    const { secret, leader, onLeaderMoved } = this.#options;
    const said = readToLeader(message);
    if (said.type === "leaderAt") {
      // There is one leader: who has it hears of no other.
      const isNews = leader() === undefined && isProof(said.proof, secret, newsWords(said.control));
      if (isNews) onLeaderMoved(said.control);
      connection.close();
    } else if (said.type === "hello") this.#greet(connection, said);
    else if (connection.name !== undefined) leader()?.hear(connection, connection.name, said);
  }

  #greet(connection: Connection, hello: Hello): void {
    const { secret, leader, leaderAddress, log } = this.#options;
    if (!isProof(hello.proof, secret, helloWords(hello))) {
      log.warn("a worker was refused: its secret is another one", { name: hello.name });
      this.#refuse(connection, "its secret is another one", true);
      return;
    }
    const here = leader();
    if (here === undefined) {
      const control = leaderAddress();
      if (control !== "") connection.send({ type: "leaderAt", control });
      connection.close();
      return;
    }
    connection.name = hello.name;
    const reason = here.greet(connection, hello);
    if (reason === undefined) return;
    log.warn(`a worker was refused: ${reason}`, { name: hello.name });
    this.#refuse(connection, reason, !/not running yet|under way/.test(reason));
  }

  #refuse(connection: Connection, reason: string, isFinal: boolean): void {
    connection.name = undefined;
    connection.send({ type: "refused", reason, isFinal });
    connection.close();
  }

  close(): void {
    this.#timer?.cancel();
    this.#listener?.stop();
    for (const { socket } of this.#connections) socket.terminate();
  }
}
