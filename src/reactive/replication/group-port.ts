/**
 * The port on which one process takes visitors of its replicas: clients and other replicas, of one group or of several.
 *
 * Invariant: a visitor names its group in its first frame and belongs to it from then on; who names a group that is not here is told
 * which ones are. It listens from the first group that joins until the last one has left.
 */
import type { RoleContext } from "../../core/role.ts";
import { WireError } from "../wire/bytes.ts";
import type { Hello, Welcome } from "../wire/handshake.ts";
import { FramedListener, type Host, type ListenerLimits, type Visitor } from "../wire/listener.ts";

/** The longest payload of another replica: the longest request that there may be, and what a message puts around it. */
export const PEER_PAYLOAD_BYTES_MAX = (64 + 1) << 20;

export interface GroupPortOptions {
  context: Pick<RoleContext<unknown>, "clock" | "net" | "log" | "tls" | "announcePort">;
  host: string;
  port: number;
  /** Undefined: everybody may come in. */
  token: string | undefined;
  limits: ListenerLimits;
}

/** A group that is served here. */
export interface PortMember {
  readonly group: string;
  welcome(): Omit<Welcome, "payloadBytesMax">;
  /** Why this other replica is refused, if it is. */
  refusalOf(peer: NonNullable<Hello["peer"]>): string | undefined;
  /** The payload is only valid during the call. May throw WireError: the connection is closed. */
  onFrame(visitor: Visitor, type: number, payload: Uint8Array): void;
}

export class GroupPort {
  readonly #options: GroupPortOptions;
  readonly #listener: FramedListener;
  readonly #members = new Map<string, PortMember>();
  /** May be changed at any time. */
  limits: ListenerLimits;
  #listening: Promise<void> | undefined;

  constructor(options: GroupPortOptions) {
    const { context, host, port, token, limits } = options;
    this.#options = options;
    this.limits = limits;
    this.#listener = new FramedListener({
      world: context,
      log: context.log.child("port"),
      host,
      port,
      tls: context.tls,
      limits: () => this.limits,
      token,
      admit: (visitor) => this.#admit(visitor),
    });
  }

  /** Resolves when visitors of the group can come in. Throws NX_LISTEN_IN_USE, NX_LISTEN_DENIED. */
  join(member: PortMember): Promise<void> {
    this.#members.set(member.group, member);
    this.#listening ??= this.#listen();
    return this.#listening;
  }

  async #listen(): Promise<void> {
    this.#options.context.announcePort("port", await this.#listener.listen());
  }

  /** What visitors must show, and replicas here show to others. */
  get token(): string | undefined {
    return this.#options.token;
  }

  get figures() {
    return this.#listener.figures;
  }

  #admit(visitor: Visitor): Host | string {
    const { group, peer } = visitor.hello;
    const member = this.#find(visitor.hello);
    if (member === undefined) {
      const groups = [...this.#members.keys()].map((name) => `"${name}"`);
      return `this is group ${groups.join(" and ")}, "${group}" was asked for`;
    }
    const refusal = peer && member.refusalOf(peer);
    if (refusal !== undefined) return refusal;
    return {
      welcome: member.welcome(),
      ...(peer !== undefined && { payloadBytesMax: PEER_PAYLOAD_BYTES_MAX }),
      onFrame: (type, payload) => {
        if (this.#members.get(member.group) !== member)
          throw new WireError(`group "${member.group}" has left`);
        member.onFrame(visitor, type, payload);
      },
    };
  }

  /** A client that names none means the only one that there is. */
  #find({ group, peer }: Hello): PortMember | undefined {
    const isAny = group === "" && peer === undefined && this.#members.size === 1;
    return isAny ? this.#members.values().next().value : this.#members.get(group);
  }

  /** Open connections stay. */
  stopListening(): void {
    this.#listener.stopListening();
  }

  leave(group: string): void {
    this.#members.delete(group);
    if (this.#members.size === 0) this.#listener.close();
  }
}
