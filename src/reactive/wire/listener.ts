/**
 * The listening side of the reactive family's protocol: admits connections, shakes hands, hands frames to the role.
 *
 * Invariant: no more than `limits.connections` at once; a connection that does not introduce itself in time, is too slow
 * to take its answers, idle for too long or sends what is no frame is closed, and costs the others nothing. What was
 * accepted has shown the token, where one is wanted.
 */
import type { Log } from "../../core/logging/log.ts";
import type { World } from "../../core/role.ts";
import type { Timer } from "../../core/seams/clock.ts";
import type { Listener, Socket, TlsMaterial } from "../../core/seams/net.ts";
import { ConnectionTable, type Admission, type ConnectionLimits } from "../../core/sockets/connections.ts";
import { FrameType } from "./frame.ts";
import {
  FailureCode,
  HELLO_BYTES_MAX,
  isSameToken,
  readHello,
  writeWelcome,
  type Hello,
  type Welcome,
} from "./handshake.ts";
import { Link } from "./link.ts";

export interface ListenerLimits extends ConnectionLimits {
  outboxBytesMax: number;
  /** Of one frame's payload. */
  requestBytesMax: number;
}

/** A connection whose handshake is read. */
export interface Visitor {
  readonly link: Link;
  readonly hello: Hello;
}

/** Who serves one visitor, from its handshake to its end. */
export interface Host {
  readonly welcome: Omit<Welcome, "payloadBytesMax">;
  /** The longest payload that this visitor may send, where it is not `requestBytesMax`. */
  readonly payloadBytesMax?: number;
  /** One frame; the payload is only valid during the call. May throw WireError: the connection is closed. */
  onFrame(type: number, payload: Uint8Array): void;
  /** The kernel took bytes that had waited. */
  onDrain?(): void;
  onClose?(): void;
}

export interface FramedListenerOptions {
  world: Pick<World, "net" | "clock">;
  log: Log;
  host: string;
  port: number;
  tls: TlsMaterial | undefined;
  limits(): ListenerLimits;
  /** Undefined: everybody may come in. */
  token: string | undefined;
  /** Who serves this visitor, or why nobody does. */
  admit(visitor: Visitor): Host | string;
}

const HANDSHAKE_MS = 10_000;

interface Member {
  readonly socket: Socket;
  readonly outbox: Link["outbox"];
  readonly link: Link;
  /** Undefined before the handshake. */
  host: Host | undefined;
  admission: Admission<Member> | undefined;
  handshakeTimer: Timer | undefined;
}

export class FramedListener {
  readonly #options: FramedListenerOptions;
  readonly #table: ConnectionTable<Member>;
  #listener: Listener | undefined;
  #garbled = 0;

  constructor(options: FramedListenerOptions) {
    this.#options = options;
    const { clock } = options.world;
    this.#table = new ConnectionTable<Member>({ clock, limits: () => options.limits() });
  }

  /** The port that it listens on. */
  async listen(): Promise<number> {
    const { world, host, port, tls } = this.#options;
    this.#listener = await world.net.listen<Member | undefined>({
      host,
      port,
      ...(tls !== undefined && { tls }),
      handlers: {
        open: (socket) => this.#open(socket),
        data: (_socket, member, chunk) => this.#data(member, chunk),
        drain: (_socket, member) => this.#drain(member),
        close: (_socket, member) => this.#close(member),
      },
    });
    return this.#listener.port;
  }

  get figures() {
    return { ...this.#table.figures, garbled: this.#garbled };
  }

  #open(socket: Socket): Member | undefined {
    const { limits, world, log } = this.#options;
    if (!this.#table.hasRoom()) {
      socket.terminate();
      return undefined;
    }
    const payloadBytesMax = () => {
      if (member.host === undefined) return HELLO_BYTES_MAX;
      return member.host.payloadBytesMax ?? limits().requestBytesMax;
    };
    const link = new Link(world.clock, socket, payloadBytesMax, {
      bytesMax: limits().outboxBytesMax,
      onOverflow: (bytes) =>
        log.warn("a client does not read its answers and is closed", { client: socket.remoteAddress, bytes }),
    });
    const member: Member = {
      socket,
      outbox: link.outbox,
      link,
      host: undefined,
      admission: undefined,
      handshakeTimer: undefined,
    };
    member.admission = this.#table.add(member);
    member.handshakeTimer = world.clock.after(HANDSHAKE_MS, () => link.terminate());
    return member;
  }

  #data(member: Member | undefined, chunk: Uint8Array): void {
    if (member?.admission === undefined || member.link.isClosed) return;
    this.#table.touch(member.admission);
    const wrong = member.link.receive(chunk, (type, payload) => this.#frame(member, type, payload));
    if (wrong === undefined) return;
    this.#garbled++;
    this.#options.log.warn(`a connection is closed: ${wrong}`, { client: member.socket.remoteAddress });
    member.link.fail(FailureCode.protocol, wrong);
  }

  #frame(member: Member, type: number, payload: Uint8Array): void {
    if (member.host !== undefined && type === FrameType.ping) member.link.send(FrameType.pong, () => {});
    else if (member.host !== undefined) member.host.onFrame(type, payload);
    else if (type === FrameType.hello) this.#greet(member, readHello(payload));
    else member.link.fail(FailureCode.protocol, "a connection begins with a hello");
  }

  #greet(member: Member, hello: Hello): void {
    const { token, admit, limits, log } = this.#options;
    const client = member.socket.remoteAddress;
    if (token !== undefined && !isSameToken(hello.token, token)) {
      log.warn("a connection with a wrong token is refused", { client });
      member.link.fail(FailureCode.denied, "the token is not the one that is wanted here");
      return;
    }
    const host = admit({ link: member.link, hello: { ...hello, token: "" } });
    if (typeof host === "string") {
      log.warn(`a connection is refused: ${host}`, { client });
      member.link.fail(FailureCode.otherGroup, host);
      return;
    }
    member.handshakeTimer?.cancel();
    member.host = host;
    member.link.send(FrameType.welcome, (writer) =>
      writeWelcome(writer, { ...host.welcome, payloadBytesMax: limits().requestBytesMax }),
    );
  }

  #drain(member: Member | undefined): void {
    member?.link.outbox.drain();
    member?.host?.onDrain?.();
  }

  #close(member: Member | undefined): void {
    if (member === undefined) return;
    member.handshakeTimer?.cancel();
    member.link.isClosed = true;
    member.link.outbox.close();
    this.#table.remove(member);
    member.host?.onClose?.();
  }

  stopListening(): void {
    this.#listener?.stop();
    this.#listener = undefined;
  }

  close(): void {
    this.stopListening();
    this.#table.close();
  }
}
