/**
 * One connection of a sender with its feed: connects, sends at the given rate, connects again when it breaks.
 *
 * The rate is an open loop: batch number n is due at start + n x interval whatever happened before, and its latency counts
 * from that moment. Without an interval it is a closed loop: as much as the connection takes.
 *
 * Invariant: at most `UNSENT_BYTES_MAX` wait for the kernel, so a worker that does not read slows the sender down and does
 * not grow it. What "done" means is the protocol's: RawLine and AckedLine say it.
 */
import { oncePerTurn, type Timer } from "../../core/seams/clock.ts";
import type { World } from "../../core/role.ts";
import type { Log } from "../../core/logging/log.ts";
import { LatencyHistogram } from "../../core/load/histogram.ts";
import type { Outbox } from "../../core/sockets/outbox.ts";
import { Redial } from "../../core/sockets/redial.ts";
import { ByteWriter } from "../wire/bytes.ts";
import type { Feed } from "./feed.ts";

export interface Address {
  host: string;
  port: number;
}

export interface LineOptions {
  world: Pick<World, "net" | "clock">;
  log: Log;
  /** What the line is called in logs and reports; also the name of its stream. */
  name: string;
  address: Address;
  feed: Feed;
  /** Records sent in one go. */
  batch: number;
  /** Between two batches; 0: no pause. */
  intervalMs: number;
  reconnectMs: number;
  /** Everything was sent, and acknowledged where that exists. */
  onDone(): void;
}

export interface LineFigures {
  name: string;
  isConnected: boolean;
  isDone: boolean;
  /** Records of the feed; null: no end. */
  records: number | null;
  /** Records sent so far, those sent again included once. */
  sent: number;
  /** Records that need not be sent again. */
  settled: number;
  sentAgain: number;
  bytesSent: number;
  connects: number;
  throttled: number;
  trouble: string | null;
}

const UNSENT_BYTES_MAX = 256 * 1024;
const TURN_RECORDS_MAX = 4096;
const ROUNDING_MS = 1e-6;

interface Batch {
  /** Number of the record behind its last one. */
  until: number;
  startMs: number;
}

export abstract class Line {
  protected readonly options: LineOptions;
  readonly latency = new LatencyHistogram();
  protected readonly writer = new ByteWriter(64 * 1024);
  /** The record to send next. */
  protected next = 0;
  readonly #redial: Redial;
  #highest = 0;
  #settled = 0;
  #sentAgain = 0;
  #bytesSent = 0;
  #throttled = 0;
  #trouble: string | null = null;
  #startMs: number | undefined;
  #batches: Batch[] = [];
  #timer: Timer | undefined;
  #isStopped = false;
  protected isDone = false;
  protected address: Address;
  readonly #pumpSoon: () => void;

  constructor(options: LineOptions) {
    this.options = options;
    this.address = options.address;
    this.#pumpSoon = oncePerTurn(options.world.clock, () => this.pump());
    this.#redial = new Redial({
      world: options.world,
      address: () => this.address,
      retryMs: options.reconnectMs,
      outbox: {
        bytesMax: Number.POSITIVE_INFINITY,
        highBytes: UNSENT_BYTES_MAX,
        onLow: () => this.pump(),
        onDrained: () => {
          this.drained();
          this.pump();
        },
      },
      onOpen: () => this.opened(),
      onData: (chunk) => this.received(chunk),
      onDown: (reason) => this.#down(reason),
    });
  }

  get figures(): LineFigures {
    const { name, feed } = this.options;
    return {
      name,
      isConnected: this.#redial.socket !== undefined,
      isDone: this.isDone,
      records: Number.isFinite(feed.records) ? feed.records : null,
      sent: this.#highest,
      settled: this.#settled,
      sentAgain: this.#sentAgain,
      bytesSent: this.#bytesSent,
      connects: this.#redial.connections,
      throttled: this.#throttled,
      trouble: this.#trouble,
    };
  }

  // --- what a protocol adds ----------------------------------------------------------------------------------------

  /** The connection is there. */
  protected abstract opened(): void;
  protected abstract received(chunk: Uint8Array): void;
  protected abstract closed(): void;
  /** How many records may be sent now; 0 stops until `pump` is called again. */
  protected abstract room(): number;
  /** Appends record `index` in the form of the protocol. */
  protected abstract writeRecord(index: number): void;
  /** Every record of the feed was sent. */
  protected abstract exhausted(): void;
  /** The kernel took everything. */
  protected abstract drained(): void;

  // --- connection ----------------------------------------------------------------------------------------------------

  start(): void {
    this.#redial.dial();
  }

  protected get outbox(): Outbox | undefined {
    return this.#redial.outbox;
  }

  #down(reason: string): void {
    this.closed();
    if (this.#trouble === null) this.options.log.warn(`${this.options.name}: ${reason}`, { ...this.address });
    this.#trouble = reason;
  }

  /** Gives the connection up and comes back later. */
  protected fail(reason: string): void {
    if (this.#redial.socket !== undefined) this.#redial.fail(reason);
  }

  // --- sending -------------------------------------------------------------------------------------------------------

  /** The protocol may send records: at once, or again after it could not. */
  protected pump(): void {
    const { world, feed, batch, intervalMs } = this.options;
    const { outbox } = this;
    if (outbox === undefined || this.#isStopped || this.isDone) return;
    this.#trouble = null;
    const nowMs = world.clock.monotonicMs();
    this.#startMs ??= nowMs - (this.next / batch) * intervalMs;
    const due = intervalMs === 0 ? feed.records : Math.min(feed.records, this.#dueBy(nowMs));
    const room = outbox.length > UNSENT_BYTES_MAX ? 0 : this.room();
    const until = Math.min(due, this.next + room, this.next + TURN_RECORDS_MAX);
    if (until < due && room === 0) this.#throttled++;
    if (until > this.next) this.#send(until, nowMs);
    if (this.next >= feed.records) this.exhausted();
    else if (room > 0 && this.next < due) this.#pumpSoon();
    else if (this.next >= due) this.#pumpAt(this.#startMs + Math.floor(this.next / batch) * intervalMs);
  }

  /** Records that are due: the first batch at once. */
  #dueBy(nowMs: number): number {
    const { batch, intervalMs } = this.options;
    // A timer that fires a rounding error early must not find nothing to do.
    const elapsedMs = nowMs - (this.#startMs as number) + ROUNDING_MS;
    return (Math.floor(elapsedMs / intervalMs) + 1) * batch;
  }

  #send(until: number, nowMs: number): void {
    const { batch, intervalMs } = this.options;
    this.writer.clear();
    for (let index = this.next; index < until; index++) this.writeRecord(index);
    const startMs =
      intervalMs === 0 ? nowMs : (this.#startMs as number) + Math.floor(this.next / batch) * intervalMs;
    this.#batches.push({ until, startMs });
    this.#sentAgain += Math.max(0, Math.min(until, this.#highest) - this.next);
    this.#highest = Math.max(this.#highest, until);
    this.next = until;
    this.transmit();
    if (this.outbox?.length === 0) this.drained();
  }

  /** Hands over what the writer holds. */
  protected transmit(): void {
    const bytes = this.writer.done();
    this.#bytesSent += bytes.byteLength;
    this.outbox?.send(bytes);
  }

  /** All records below `until` need not be sent again. */
  protected settle(until: number): void {
    if (until <= this.#settled) return;
    this.#settled = until;
    const nowMs = this.options.world.clock.monotonicMs();
    let done = 0;
    for (const batch of this.#batches) {
      if (batch.until > until) break;
      this.latency.record(nowMs - batch.startMs);
      done++;
    }
    this.#batches.splice(0, done);
  }

  protected get settled(): number {
    return this.#settled;
  }

  /** Sends again from record `index`. */
  protected rewind(index: number): void {
    this.next = index;
    this.#batches = [];
    if (index < this.#settled) this.#settled = index;
    this.#highest = Math.max(this.#highest, index);
  }

  #pumpAt(whenMs: number): void {
    this.#timer?.cancel();
    const { clock } = this.options.world;
    this.#timer = clock.after(Math.max(0, whenMs - clock.monotonicMs()), () => this.pump());
  }

  /** Nothing is left to do; the connection ends once the kernel has everything. */
  protected finish(): void {
    if (this.isDone) return;
    this.isDone = true;
    this.#timer?.cancel();
    this.#redial.end();
    this.options.onDone();
  }

  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
    this.#redial.close();
  }
}
