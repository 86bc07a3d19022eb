/**
 * Holds replies until everything they could have seen is durable.
 *
 * Invariant: a byte leaves only when the log position that was current at its making is synced, and bytes of one
 * connection leave in order. So no client ever sees a write (its own acknowledgement or another's value) that
 * power loss could still undo. A crash drops what is held; nothing of it was promised to anyone.
 *
 * Cost: one comparison when nothing is pending, one copy into the connection's own buffer when something is.
 */

/** Where released bytes go, and who is told that a connection has room again. */
export interface ReplySink {
  /** Takes all of `bytes` at once (sends or keeps them); `bytes` is only valid during the call. */
  send(bytes: Uint8Array): void;
}

const EMPTY = new Uint8Array(0);
/** Kept between replies, so that a busy connection does not allocate. */
const KEEP_BYTES_MAX = 64 * 1024;

/** The bytes of one connection that wait, with the positions they wait for. */
class HeldReplies {
  readonly sink: ReplySink;
  isWaiting = false;
  isClosed = false;
  #bytes = EMPTY;
  #length = 0;
  /** Runs of bytes and the position each waits for, ascending. Two at most: the group in flight and the one gathering. */
  readonly #ends: number[] = [];
  readonly #positions: number[] = [];

  constructor(sink: ReplySink) {
    this.sink = sink;
  }

  get length(): number {
    return this.#length;
  }

  /** `inFlight`: the position that the sync under way will make durable; runs beyond it end up in one group. */
  hold(bytes: Uint8Array, position: number, inFlight: number): void {
    const needed = this.#length + bytes.byteLength;
    if (needed > this.#bytes.byteLength) {
      const larger = new Uint8Array(Math.max(needed, this.#bytes.byteLength * 2, 1024));
      larger.set(this.#bytes.subarray(0, this.#length));
      this.#bytes = larger;
    }
    this.#bytes.set(bytes, this.#length);
    this.#length = needed;
    const last = this.#positions.length - 1;
    if (last >= 0 && (this.#positions[last] === position || (this.#positions[last] as number) > inFlight)) {
      this.#positions[last] = position;
      this.#ends[last] = needed;
    } else {
      this.#positions.push(position);
      this.#ends.push(needed);
    }
  }

  /** Sends what `durable` covers; true when something still waits. */
  release(durable: number): boolean {
    let end = 0;
    while (this.#positions.length > 0 && (this.#positions[0] as number) <= durable) {
      end = this.#ends.shift() as number;
      this.#positions.shift();
    }
    if (end === 0) return this.#length > 0;
    // The buffer is detached first: `send` may lead to new replies on this connection.
    const bytes = this.#bytes;
    const rest = this.#length - end;
    if (rest > 0) {
      this.sink.send(bytes.subarray(0, end));
      bytes.copyWithin(0, end, this.#length);
      this.#length = rest;
      for (let index = 0; index < this.#ends.length; index++) this.#ends[index] = (this.#ends[index] as number) - end;
      return true;
    }
    this.#length = 0;
    this.sink.send(bytes.subarray(0, end));
    if (this.#length === 0 && bytes.byteLength > KEEP_BYTES_MAX) this.#bytes = EMPTY;
    return this.#length > 0;
  }
}

export type { HeldReplies };

/** What the gate must know of a log. */
export interface Durability {
  /** Position after the last append. */
  readonly position: number;
  /** Position that the write or sync under way will make durable. */
  readonly inFlightPosition: number;
  /** Everything up to here survives power loss. */
  readonly durablePosition: number;
}

export class ReplyGate {
  readonly #log: Durability;
  #waiting: HeldReplies[] = [];

  constructor(log: Durability) {
    this.#log = log;
  }

  /** Call once per connection; keep the result beside it. */
  admit(sink: ReplySink): HeldReplies {
    return new HeldReplies(sink);
  }

  /** Sends `bytes`, or holds them until the log's current position is durable. */
  reply(held: HeldReplies, bytes: Uint8Array): void {
    const { position, durablePosition } = this.#log;
    if (held.length === 0 && position <= durablePosition) {
      held.sink.send(bytes);
      return;
    }
    held.hold(bytes, position, this.#log.inFlightPosition);
    if (held.isWaiting) return;
    held.isWaiting = true;
    this.#waiting.push(held);
  }

  /** To be called whenever the log's durable position has moved. */
  onDurable(durable: number): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const held of waiting) {
      held.isWaiting = false;
      if (held.isClosed || !held.release(durable) || held.isWaiting) continue;
      held.isWaiting = true;
      this.#waiting.push(held);
    }
  }

  /** The connection is gone: what it waits for is dropped. */
  dismiss(held: HeldReplies): void {
    held.isClosed = true;
  }
}
