/**
 * Where clients of the client protocol come in: WebSockets on the HTTP port, framed TCP on a port of its own.
 *
 * Invariant: no more than `limits.connections` at once over both; one that is idle or takes none of what waits for it for too
 * long is closed.
 */
import type { Log } from "../../../core/logging/log.ts";
import type { World } from "../../../core/role.ts";
import type { TlsMaterial } from "../../../core/seams/net.ts";
import { ConnectionTable } from "../../../core/sockets/connections.ts";
import type { WebSocketPeer, WebSocketSeat } from "../../../core/sockets/web-socket.ts";
import { CONNECT_PATH } from "../../client-wire/messages.ts";
import { WireError } from "../../wire/bytes.ts";
import { FrameType } from "../../wire/frame.ts";
import { FramedListener, type Host, type ListenerLimits, type Visitor } from "../../wire/listener.ts";
import { FramedCarrier, WebSocketCarrier } from "./carrier.ts";
import { Conversation, type ConversationLimits, type ConversationShared } from "./conversation.ts";

/** The name that a framed client's handshake asks for. */
export const FRONTEND_GROUP = "frontend";

export type ClientLimits = ListenerLimits & ConversationLimits;

export interface ClientPortsOptions {
  world: Pick<World, "net" | "clock">;
  log: Log;
  tls: TlsMaterial | undefined;
  allowedOrigins: readonly string[];
  limits(): ClientLimits;
  shared: ConversationShared;
}

interface WebSocketMember {
  socket: WebSocketPeer;
  outbox: WebSocketPeer;
}

export class ClientPorts {
  readonly #options: ClientPortsOptions;
  readonly #table: ConnectionTable<WebSocketMember>;
  readonly #conversations = new Set<Conversation>();
  #listener: FramedListener | undefined;

  constructor(options: ClientPortsOptions) {
    const { clock } = options.world;
    this.#options = options;
    this.#table = new ConnectionTable({
      clock,
      limits: () => this.#limitsBeside(this.#framed),
      onClosing: ({ socket }, reason) =>
        options.log.warn(`a client is closed: it is ${reason}`, { client: socket.remoteAddress }),
    });
  }

  /** The limits of one kind of carrier: what the other one has is taken. */
  #limitsBeside(taken: number): ClientLimits {
    const limits = this.#options.limits();
    return { ...limits, connections: limits.connections - taken };
  }

  get size(): number {
    return this.#conversations.size;
  }

  get #framed(): number {
    return this.#conversations.size - this.#table.size;
  }

  /** For the HTTP server. */
  get seat(): WebSocketSeat {
    const { requestBytesMax, outboxBytesMax } = this.#options.limits();
    return {
      path: CONNECT_PATH,
      allowedOrigins: this.#options.allowedOrigins,
      limits: { messageBytesMax: requestBytesMax, outboxBytesMax },
      open: (peer) => this.#open(peer),
    };
  }

  #open(peer: WebSocketPeer) {
    if (!this.#table.hasRoom()) return undefined;
    const { shared, log } = this.#options;
    const onOverflow = () =>
      log.warn("a client does not read what it is sent and is closed", { client: peer.remoteAddress });
    const conversation = new Conversation(shared, new WebSocketCarrier(peer, onOverflow));
    const member = { socket: peer, outbox: peer };
    const admission = this.#table.add(member);
    this.#conversations.add(conversation);
    return {
      message: (bytes: Uint8Array | undefined) => {
        this.#table.touch(admission);
        conversation.receive(bytes);
      },
      drain: () => conversation.drained(),
      close: () => {
        this.#table.remove(member);
        this.#conversations.delete(conversation);
        conversation.closed();
      },
    };
  }

  /** Opens the framed port; resolves with its number. */
  listen(host: string, port: number): Promise<number> {
    const { world, log, tls } = this.#options;
    this.#listener = new FramedListener({
      world,
      log: log.child("framed"),
      host,
      port,
      tls,
      limits: () => this.#limitsBeside(this.#table.size),
      token: undefined, // the hello of the client protocol has it
      admit: (visitor) => this.#admit(visitor),
    });
    return this.#listener.listen();
  }

  #admit({ link, hello: { group, peer } }: Visitor): Host | string {
    if (peer !== undefined || (group !== "" && group !== FRONTEND_GROUP))
      return `this is a frontend, "${group}" was asked for`;
    const conversation = new Conversation(this.#options.shared, new FramedCarrier(link));
    this.#conversations.add(conversation);
    return {
      welcome: { replica: 0, replicas: 1, view: 0, group: FRONTEND_GROUP },
      onFrame: (type, payload) => {
        if (type !== FrameType.message) throw new WireError(`frames of type ${type} are not for this port`);
        conversation.receive(payload);
      },
      onDrain: () => conversation.drained(),
      onClose: () => {
        this.#conversations.delete(conversation);
        conversation.closed();
      },
    };
  }

  get figures() {
    const { connections, refused, closedIdle, closedStalled } = this.#table.figures;
    return { webSockets: connections, framed: this.#framed, refused, closedIdle, closedStalled };
  }

  /** Ends the connections of those whose token does not count any more. */
  recheck(): void {
    for (const conversation of [...this.#conversations]) conversation.recheck();
  }

  /** Tells everybody to go to another frontend. */
  dismiss(): void {
    this.#listener?.stopListening();
    for (const conversation of [...this.#conversations]) conversation.dismiss();
  }

  close(): void {
    this.#table.close();
    this.#listener?.close();
    for (const conversation of this.#conversations) conversation.closed();
    this.#conversations.clear();
  }
}
