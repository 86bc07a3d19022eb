/**
 * Moves a service's snapshot from one replica to another, one chunk at a time, asked for by the receiver.
 *
 * Invariant: the receiver builds beside its own state, and hands over only what arrived whole and in order from one
 * stream. A lost message is asked for again, as is what the sender cannot answer while its journal or another replica reads
 * a snapshot; a sender that fell silent, or began anew, fails the transfer. Nothing here
 * survives a crash, nothing needs to: the transfer begins again.
 */
import type { Clock, Timer } from "../../core/seams/clock.ts";
import type { Random } from "../../core/seams/random.ts";
import type { Service, ServiceRestorer } from "./service.ts";
import type { PeerMessage } from "./types.ts";

type GetSnapshot = Extract<PeerMessage, { type: "getSnapshot" }>;
type SnapshotChunk = Extract<PeerMessage, { type: "snapshotChunk" }>;
type Send = (to: number, message: PeerMessage) => void;

/** A stream that nobody asks for is given up after this. */
const IDLE_MS = 10_000;
/** Who has all of it writes it down, and then asks for what followed. */
const HELD_MS = 60_000;
/** The receiver asks this often before it gives up. */
const ATTEMPTS_MAX = 30;

interface Sending {
  transfer: number;
  op: number;
  chunks: AsyncIterator<Uint8Array> | Iterator<Uint8Array>;
  close(): void;
  /** The chunk that was sent last, for those who did not get it. */
  last: SnapshotChunk | undefined;
  isReading: boolean;
  idleTimer: Timer;
}

export class SnapshotSender {
  readonly #service: Service;
  readonly #clock: Clock;
  readonly #send: Send;
  /** Called with the oldest op that a receiver has, or will have; infinity: nobody fetches. */
  readonly #onHold: (op: number) => void;
  readonly #sendings = new Map<number, Sending>();

  constructor(service: Service, clock: Clock, send: Send, onHold: (op: number) => void = () => {}) {
    this.#service = service;
    this.#clock = clock;
    this.#send = send;
    this.#onHold = onHold;
  }

  /** Rejects when the service's stream fails. */
  async onRequest(from: number, { transfer, index }: GetSnapshot): Promise<void> {
    let sending = this.#sendings.get(from);
    if (index === 0 && sending?.transfer !== transfer) sending = this.#begin(from, transfer);
    if (sending?.transfer !== transfer || sending.isReading) return;
    this.#awaitNext(from, sending);
    const lastIndex = sending.last?.index ?? -1;
    if (index === lastIndex + 1 && sending.last?.isLast !== true) {
      sending.isReading = true;
      const next = await Promise.resolve(sending.chunks.next()).catch((error: unknown) => {
        // It was closed meanwhile.
        if (this.#sendings.get(from) === sending) throw error;
      });
      sending.isReading = false;
      if (next === undefined) return;
      const { done, value } = next;
      if (done === true) {
        sending.close();
        this.#awaitNext(from, sending, HELD_MS);
      }
      const bytes = done === true ? new Uint8Array(0) : value;
      sending.last = { type: "snapshotChunk", transfer, index, op: sending.op, isLast: done === true, bytes };
    }
    if (sending.last?.index === index) this.#send(from, sending.last);
  }

  #begin(to: number, transfer: number): Sending | undefined {
    this.#end(to);
    if (!this.#service.canBeRead) return undefined;
    const { op, chunks, close } = this.#service.snapshot();
    const isAsync = Symbol.asyncIterator in chunks;
    const sending: Sending = {
      transfer,
      op,
      chunks: isAsync ? chunks[Symbol.asyncIterator]() : chunks[Symbol.iterator](),
      close,
      last: undefined,
      isReading: false,
      idleTimer: this.#clock.after(IDLE_MS, () => this.#end(to)),
    };
    this.#sendings.set(to, sending);
    this.#hold();
    return sending;
  }

  #awaitNext(
    from: number,
    sending: Sending,
    forMs = sending.last?.isLast === true ? HELD_MS : IDLE_MS,
  ): void {
    sending.idleTimer.cancel();
    sending.idleTimer = this.#clock.after(forMs, () => this.#end(from));
  }

  #hold(): void {
    this.#onHold(Math.min(Number.POSITIVE_INFINITY, ...[...this.#sendings.values()].map(({ op }) => op)));
  }

  #end(to: number): void {
    const sending = this.#sendings.get(to);
    sending?.idleTimer.cancel();
    sending?.close();
    if (this.#sendings.delete(to)) this.#hold();
  }

  close(): void {
    for (const to of [...this.#sendings.keys()]) this.#end(to);
  }
}

export interface ReceiverOptions {
  service: Service;
  clock: Clock;
  random: Random;
  retryMs: number;
  send: Send;
  /** Everything has arrived; `take` makes it the state. */
  onReady(op: number): void;
  onFailed(reason: string): void;
}

export class SnapshotReceiver {
  readonly #options: ReceiverOptions;
  #from = -1;
  #transfer = 0;
  #index = 0;
  #attempts = 0;
  #op = 0;
  #restorer: ServiceRestorer | undefined;
  #timer: Timer | undefined;

  constructor(options: ReceiverOptions) {
    this.#options = options;
  }

  begin(from: number): void {
    this.abandon();
    this.#from = from;
    this.#transfer = 1 + this.#options.random.integer(2 ** 48 - 1);
    this.#index = 0;
    this.#restorer = this.#options.service.restore();
    this.#ask(1);
  }

  #ask(attempt: number): void {
    const { clock, retryMs, send } = this.#options;
    this.#attempts = attempt;
    this.#timer?.cancel();
    this.#timer = clock.after(retryMs, () => {
      if (this.#attempts >= ATTEMPTS_MAX) this.#fail("the sender does not answer");
      else this.#ask(this.#attempts + 1);
    });
    send(this.#from, { type: "getSnapshot", transfer: this.#transfer, index: this.#index });
  }

  onChunk(from: number, { transfer, index, op, isLast, bytes }: SnapshotChunk): void {
    if (from !== this.#from || transfer !== this.#transfer || index !== this.#index) return;
    if (this.#restorer === undefined) return;
    try {
      if (!isLast) this.#restorer.add(bytes);
    } catch (error) {
      this.#fail((error as Error).message);
      return;
    }
    this.#index++;
    if (!isLast) {
      this.#ask(1);
      return;
    }
    this.#timer?.cancel();
    this.#transfer = 0;
    this.#op = op;
    this.#options.onReady(op);
  }

  /** Makes what arrived the service's state; returns its op. */
  take(): number {
    this.#restorer?.finish(this.#op);
    this.#restorer = undefined;
    return this.#op;
  }

  #fail(reason: string): void {
    this.abandon();
    this.#options.onFailed(reason);
  }

  abandon(): void {
    this.#timer?.cancel();
    this.#restorer?.abandon();
    this.#restorer = undefined;
    this.#transfer = 0;
  }
}
