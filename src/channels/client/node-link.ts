/**
 * What a client has with one node: a few connections, and the requests that wait for one of them.
 *
 * A connection is opened when a request needs it and kept. One that is lost is opened again after a pause that doubles
 * with each failure, with a random part, so that many clients do not return at the same moment. Invariant: every
 * request ends, with its answer, with the error that it met, or when its time is over; at most `queueBytesMax` wait.
 * Requests are never sent twice from here: whether one may be repeated is for the caller to say.
 */
import { NxError } from "../../core/errors.ts";
import type { Clock, Timer } from "../../core/seams/clock.ts";
import type { Random } from "../../core/seams/random.ts";

/** A connection of some protocol to one node. */
export interface NodeConnection {
  readonly isClosed: boolean;
  close(): void;
}

export interface NodeLinkOptions<Connection extends NodeConnection> {
  clock: Clock;
  random: Random;
  /** For messages: `127.0.0.1:10000`. */
  name: string;
  open(): Promise<Connection>;
  /** Connections at most. */
  connections: number;
  /** Requests under way on one connection: 1 where answers come in the order of requests. */
  requestsPerConnection: number;
  /** Bytes of the requests that wait; more are refused with NX_CLIENT_BUSY. */
  queueBytesMax: number;
  /** From the call to the answer. */
  timeoutMs: number;
  /** A connection that is not usable by then counts as failed. */
  openTimeoutMs: number;
  backoffMinMs: number;
  backoffMaxMs: number;
}

interface Waiting<Connection> {
  bytes: number;
  start(slot: Slot<Connection>): void;
  fail(error: Error): void;
}

interface Slot<Connection> {
  connection: Connection | undefined;
  isOpening: boolean;
  active: number;
}

export class NodeLink<Connection extends NodeConnection> {
  readonly #options: NodeLinkOptions<Connection>;
  readonly #slots: Slot<Connection>[];
  readonly #queue = new Set<Waiting<Connection>>();
  #queuedBytes = 0;
  #failures = 0;
  #lastFailure: Error | undefined;
  #pause: Timer | undefined;
  #isClosed = false;

  constructor(options: NodeLinkOptions<Connection>) {
    this.#options = options;
    this.#slots = Array.from({ length: options.connections }, () => ({
      connection: undefined,
      isOpening: false,
      active: 0,
    }));
  }

  get name(): string {
    return this.#options.name;
  }

  /**
   * Runs `work` on a connection. `bytes`: what the request takes while it waits. Rejects with what `work` rejects
   * with, NX_TIMEOUT, NX_CLIENT_BUSY, or NX_CONNECT_FAILED when no connection came about in time.
   */
  run<Answer>(
    work: (connection: Connection) => Promise<Answer>,
    bytes = 0,
    timeoutMs = this.#options.timeoutMs,
  ): Promise<Answer> {
    const { clock, name, queueBytesMax } = this.#options;
    if (this.#isClosed) return Promise.reject(closedError());
    // One request alone may be longer than all that may wait.
    if (this.#queuedBytes > 0 && this.#queuedBytes + bytes > queueBytesMax)
      return Promise.reject(
        new NxError("NX_CLIENT_BUSY", `${this.#queuedBytes} bytes of requests wait for ${name}`, {
          hint: "wait for answers before sending more, or raise queueBytesMax",
        }),
      );
    return new Promise<Answer>((resolve, reject) => {
      let used: Slot<Connection> | undefined;
      const timer = clock.after(timeoutMs, () => {
        if (used === undefined) this.#forget(waiting);
        else this.#drop(used);
        reject(this.#timeoutError(timeoutMs, used !== undefined));
      });
      const waiting: Waiting<Connection> = {
        bytes,
        fail: (error) => {
          timer.cancel();
          reject(error);
        },
        start: (slot) => {
          used = slot;
          slot.active++;
          const connection = slot.connection as Connection;
          work(connection)
            .then(resolve, reject)
            .finally(() => {
              timer.cancel();
              this.#finished(slot, connection);
            });
        },
      };
      this.#queue.add(waiting);
      this.#queuedBytes += bytes;
      this.#pump();
    });
  }

  /** A connection of its own, for a stream: the caller closes it. */
  dedicated(): Promise<Connection> {
    return this.#isClosed ? Promise.reject(closedError()) : this.#openInTime();
  }

  #timeoutError(timeoutMs: number, wasSent: boolean): NxError {
    const { name } = this.#options;
    if (wasSent) return new NxError("NX_TIMEOUT", `${name} did not answer within ${timeoutMs} ms`);
    if (this.#lastFailure === undefined)
      return new NxError("NX_TIMEOUT", `no connection to ${name} was free within ${timeoutMs} ms`);
    return new NxError("NX_CONNECT_FAILED", this.#lastFailure.message, {
      hint: "is it running, and does it listen on this address?",
      cause: this.#lastFailure,
    });
  }

  #forget(waiting: Waiting<Connection>): void {
    if (this.#queue.delete(waiting)) this.#queuedBytes -= waiting.bytes;
  }

  /** An answer that did not come may still come: nothing else can be asked on this connection. */
  #drop(slot: Slot<Connection>): void {
    slot.connection?.close();
    slot.connection = undefined;
  }

  #finished(slot: Slot<Connection>, connection: Connection): void {
    slot.active--;
    if (connection.isClosed && slot.connection === connection) slot.connection = undefined;
    this.#pump();
  }

  #pump(): void {
    for (const slot of this.#slots) if (slot.connection?.isClosed === true) slot.connection = undefined;
    for (const waiting of this.#queue) {
      const slot = this.#freeSlot();
      if (slot === undefined) return;
      this.#forget(waiting);
      waiting.start(slot);
    }
  }

  /** The connection with the least to do; undefined when all are busy, and then one more is being opened. */
  #freeSlot(): Slot<Connection> | undefined {
    let best: Slot<Connection> | undefined;
    for (const slot of this.#slots)
      if (
        slot.connection !== undefined &&
        slot.active < (best?.active ?? this.#options.requestsPerConnection)
      )
        best = slot;
    if (best === undefined) this.#openOne();
    return best;
  }

  #openOne(): void {
    const opening = this.#slots.filter(({ isOpening }) => isOpening).length;
    const slot = this.#slots.find(
      (each) => each.connection === undefined && !each.isOpening && each.active === 0,
    );
    // While the node does not answer, one attempt at a time is enough.
    const isTooEarly = this.#pause !== undefined || (this.#failures > 0 && opening > 0);
    if (slot === undefined || isTooEarly || opening >= this.#queue.size || this.#isClosed) return;
    slot.isOpening = true;
    this.#openInTime().then(
      (connection) => this.#opened(slot, connection),
      (error: Error) => this.#failed(slot, error),
    );
  }

  /** A node that is gone without a word would keep us waiting for as long as the kernel is patient. */
  #openInTime(): Promise<Connection> {
    const { clock, name, open, openTimeoutMs } = this.#options;
    return new Promise((resolve, reject) => {
      let isLate = false;
      const timer = clock.after(openTimeoutMs, () => {
        isLate = true;
        reject(new NxError("NX_CONNECT_FAILED", `${name} took no connection within ${openTimeoutMs} ms`));
      });
      open()
        .then((connection) => (isLate ? connection.close() : resolve(connection)), reject)
        .finally(() => timer.cancel());
    });
  }

  #opened(slot: Slot<Connection>, connection: Connection): void {
    slot.isOpening = false;
    if (this.#isClosed) return connection.close();
    slot.connection = connection;
    this.#failures = 0;
    this.#lastFailure = undefined;
    this.#pump();
  }

  #failed(slot: Slot<Connection>, error: Error): void {
    const { clock, random, backoffMinMs, backoffMaxMs } = this.#options;
    slot.isOpening = false;
    this.#lastFailure = error;
    const pauseMs = Math.min(backoffMaxMs, backoffMinMs * 2 ** Math.min(this.#failures, 30));
    this.#failures++;
    if (this.#isClosed || this.#pause !== undefined) return;
    this.#pause = clock.after(pauseMs * (0.5 + random.float() / 2), () => {
      this.#pause = undefined;
      this.#pump();
    });
  }

  close(): void {
    this.#isClosed = true;
    this.#pause?.cancel();
    for (const waiting of [...this.#queue]) {
      this.#forget(waiting);
      waiting.fail(closedError());
    }
    for (const slot of this.#slots) this.#drop(slot);
  }
}

const closedError = () => new NxError("NX_CONNECT_FAILED", "the client was closed");
