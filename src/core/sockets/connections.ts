/**
 * The open connections of a role: how many there may be, which of them sit idle, which peers no longer read.
 *
 * One timer serves all of them: time is counted in ticks, and a connection only notes the tick of its last traffic, so
 * being busy costs one assignment. A connection is therefore closed up to one tick after its time, never before.
 *
 * Invariant: no more than `connections` are admitted at once. Whoever was added is in the table until `remove`, or until
 * the table itself closed the connection.
 */
import type { Clock, Timer } from "../seams/clock.ts";
import type { Outbox } from "./outbox.ts";
import type { Socket } from "../seams/net.ts";

export interface ConnectionLimits {
  connections: number;
  /** A connection without traffic for this long is closed. 0: never. */
  idleTimeoutMs: number;
  /** A connection whose peer takes none of the bytes that wait for it for this long is closed. 0: never. */
  stallTimeoutMs: number;
}

/** Why the table closed a connection. */
export type ClosedBecause = "idle" | "stalled";

export interface Connection {
  readonly socket: Pick<Socket, "terminate">;
  readonly outbox: Pick<Outbox, "length" | "takenBytes">;
}

/** What the table keeps about one connection. `activeTick` is written by `touch`. */
export interface Admission<Member extends Connection> {
  readonly member: Member;
  activeTick: number;
  /** Figures of the outbox when it was last seen moving. */
  takenBytes: number;
  movingTick: number;
}

export interface ConnectionTableOptions<Member extends Connection> {
  clock: Clock;
  /** Read at each tick and admission, so that a reload takes effect. */
  limits(): ConnectionLimits;
  /** Told before the table closes a connection. */
  onClosing?(member: Member, reason: ClosedBecause): void;
}

export interface ConnectionFigures {
  connections: number;
  refused: number;
  closedIdle: number;
  closedStalled: number;
}

const TICK_MS = 1000;

export class ConnectionTable<Member extends Connection> {
  readonly #options: ConnectionTableOptions<Member>;
  readonly #members = new Map<Member, Admission<Member>>();
  #timer: Timer | undefined;
  #tick = 0;
  #refused = 0;
  #closed: Record<ClosedBecause, number> = { idle: 0, stalled: 0 };

  constructor(options: ConnectionTableOptions<Member>) {
    this.#options = options;
    this.#timer = options.clock.every(TICK_MS, () => this.#advance());
  }

  get size(): number {
    return this.#members.size;
  }

  get figures(): ConnectionFigures {
    return {
      connections: this.size,
      refused: this.#refused,
      closedIdle: this.#closed.idle,
      closedStalled: this.#closed.stalled,
    };
  }

  /** True when one more connection is within the limit; else it is counted as refused. */
  hasRoom(): boolean {
    if (this.#members.size < this.#options.limits().connections) return true;
    this.#refused++;
    return false;
  }

  add(member: Member): Admission<Member> {
    const admission = { member, activeTick: this.#tick, takenBytes: 0, movingTick: this.#tick };
    this.#members.set(member, admission);
    return admission;
  }

  /** To be called with each chunk that arrives. */
  touch(admission: Admission<Member>): void {
    admission.activeTick = this.#tick;
  }

  remove(member: Member): void {
    this.#members.delete(member);
  }

  [Symbol.iterator](): IterableIterator<Member> {
    return this.#members.keys();
  }

  #advance(): void {
    this.#tick++;
    const { idleTimeoutMs, stallTimeoutMs } = this.#options.limits();
    const idleTicks = idleTimeoutMs === 0 ? Number.POSITIVE_INFINITY : Math.ceil(idleTimeoutMs / TICK_MS);
    const stallTicks = stallTimeoutMs === 0 ? Number.POSITIVE_INFINITY : Math.ceil(stallTimeoutMs / TICK_MS);
    for (const admission of this.#members.values()) {
      const { outbox } = admission.member;
      if (outbox.length === 0 || outbox.takenBytes !== admission.takenBytes) {
        admission.takenBytes = outbox.takenBytes;
        admission.movingTick = this.#tick;
      }
      if (this.#tick - admission.movingTick > stallTicks) this.#close(admission.member, "stalled");
      else if (
        this.#tick - Math.max(admission.activeTick, outbox.length > 0 ? admission.movingTick : 0) >
        idleTicks
      ) {
        this.#close(admission.member, "idle");
      }
    }
  }

  #close(member: Member, reason: ClosedBecause): void {
    this.#closed[reason]++;
    this.#members.delete(member);
    this.#options.onClosing?.(member, reason);
    member.socket.terminate();
  }

  /** Closes every connection and the timer. */
  close(): void {
    this.#timer?.cancel();
    for (const member of this.#members.keys()) member.socket.terminate();
  }
}
