/**
 * Holds replies until everything they could have seen is durable.
 *
 * Invariant: a byte leaves only when the log position that was current at its making is synced, and bytes of one
 * connection leave in order. So no client ever sees a write (its own acknowledgement or another's value) that
 * power loss could still undo. The one exception: while the disk is full, replies that acknowledge nothing pass although
 * unacknowledged writes wait in memory; the alternative would be to stop reads too. A crash drops what is held; nothing
 * of it was promised to anyone.
 *
 * Cost: one comparison when nothing is pending, one copy into the connection's own buffer when something is.
 */
import { GrowingBuffer } from "../core/sockets/growing-buffer.ts";
import type { SpareBuffers } from "../core/sockets/spare-buffers.ts";

/** A connection, as the gate sees it. */
export interface ReplySink {
  /** Takes all of `bytes` at once (sends or keeps them); `bytes` is only valid during the call. */
  send(bytes: Uint8Array): void;
  /** Nothing of this connection is held any more. */
  onReleased(): void;
}

/** What the gate must know of a log. */
export interface Durability {
  /** Position after the last append. */
  readonly position: number;
  /** Everything up to here survives power loss. */
  readonly durablePosition: number;
  /** The log cannot sync for now, and says when it can again: replies that acknowledge nothing may pass. */
  readonly isStalled: boolean;
}

/** Runs of one connection beyond this are merged: their replies then wait for the later position. */
const RUNS_MAX = 16;

/** The bytes of one connection that wait, with the positions they wait for. */
export class HeldReplies {
  readonly sink: ReplySink;
  isWaiting = false;
  readonly #buffer: GrowingBuffer;
  #isClosed = false;
  #length = 0;
  /** Runs of bytes, in order: where each ends and the position it waits for. */
  readonly #ends: number[] = [];
  readonly #positions: number[] = [];
  /** Whether a run acknowledges a write of its own, and so waits whatever happens. */
  readonly #isPromise: boolean[] = [];

  /** `spares`: where larger buffers come from; absent: each is made anew. */
  constructor(sink: ReplySink, spares?: SpareBuffers) {
    this.sink = sink;
    this.#buffer = new GrowingBuffer(spares);
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** The connection is gone: drops what waits. */
  close(): void {
    this.#isClosed = true;
    this.#buffer.close();
    this.#length = 0;
  }

  get length(): number {
    return this.#length;
  }

  hold(bytes: Uint8Array, position: number, isPromise: boolean): void {
    const needed = this.#length + bytes.byteLength;
    if (needed > this.#buffer.bytes.byteLength) this.#buffer.makeRoom(needed, 0, this.#length);
    this.#buffer.bytes.set(bytes, this.#length);
    this.#length = needed;
    const last = this.#positions.length - 1;
    if (last >= 0 && (this.#positions[last] === position || last >= RUNS_MAX)) {
      this.#positions[last] = position;
      this.#ends[last] = needed;
      this.#isPromise[last] ||= isPromise;
    } else {
      this.#positions.push(position);
      this.#ends.push(needed);
      this.#isPromise.push(isPromise);
    }
  }

  /** Sends what `durable` covers, and with `isStalled` also what promises nothing; true when something still waits. */
  release(durable: number, isStalled: boolean): boolean {
    let runs = 0;
    while (runs < this.#positions.length && this.#mayPass(runs, durable, isStalled)) runs++;
    if (runs === 0) return this.#length > 0;
    if (runs === this.#positions.length) {
      this.#releaseAll();
      return false;
    }
    const end = this.#ends[runs - 1] as number;
    this.#positions.splice(0, runs);
    this.#ends.splice(0, runs);
    this.#isPromise.splice(0, runs);
    const { bytes } = this.#buffer;
    this.sink.send(bytes.subarray(0, end));
    bytes.copyWithin(0, end, this.#length);
    this.#length -= end;
    for (let index = 0; index < this.#ends.length; index++)
      this.#ends[index] = (this.#ends[index] as number) - end;
    return true;
  }

  /** The common case: one sync covers everything that waits, and nothing has to move. */
  #releaseAll(): void {
    this.#positions.length = 0;
    this.#ends.length = 0;
    this.#isPromise.length = 0;
    this.sink.send(this.#buffer.bytes.subarray(0, this.#length));
    this.#length = 0;
    this.#buffer.clear();
  }

  #mayPass(run: number, durable: number, isStalled: boolean): boolean {
    return (this.#positions[run] as number) <= durable || (isStalled && this.#isPromise[run] === false);
  }
}

export class ReplyGate {
  readonly #log: Durability;
  #waiting: HeldReplies[] = [];

  constructor(log: Durability) {
    this.#log = log;
  }

  /** Somebody's replies wait for the log. */
  get isHolding(): boolean {
    return this.#waiting.length > 0;
  }

  /**
   * Sends `bytes`, or holds them until the log's current position is durable. `isPromise` says that they acknowledge
   * a change, made just now.
   */
  reply(held: HeldReplies, bytes: Uint8Array, isPromise: boolean): void {
    const { position, durablePosition } = this.#log;
    if (held.length === 0 && (position <= durablePosition || (this.#log.isStalled && !isPromise))) {
      held.sink.send(bytes);
      return;
    }
    held.hold(bytes, position, isPromise);
    if (held.isWaiting) return;
    held.isWaiting = true;
    this.#waiting.push(held);
  }

  /** To be called whenever the log's durable position has moved, and when the log stalls. */
  onProgress(): void {
    const { durablePosition, isStalled } = this.#log;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const held of waiting) {
      held.isWaiting = false;
      if (held.isClosed) continue;
      if (held.release(durablePosition, isStalled)) {
        held.isWaiting = true;
        this.#waiting.push(held);
      } else {
        held.sink.onReleased();
      }
    }
  }
}
