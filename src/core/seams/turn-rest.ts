/**
 * A listener's short rest at the end of a busy turn of the event loop, in which requests gather.
 *
 * To fall asleep in epoll and be woken by the next request costs more than to serve it: 20 µs and more on a virtual
 * machine, where a request is 4. When requests of many connections come a few microseconds apart, a server would fall
 * asleep and be woken for every few of them. So it sleeps for the time in which a few more come, by a timer, which costs the
 * clients that send them nothing.
 *
 * Invariant: no turn begins more than its pace's `usMax` later than it might. There is no rest while requests are far
 * apart, while few connections send any, or when a turn has just answered most of those that do: the next requests begin
 * with its answers, and with a server that is behind nothing is gained. Nor is there one against the owner's will. Nothing
 * is kept here, so a crash changes nothing.
 */
import type { Clock } from "./clock.ts";

/** How long a listener rests, and how often: longer and rarer rests cost less and make the slowest requests slower. */
export interface RestPace {
  /** One rest, at most. */
  readonly usMax: number;
  /** A rest is for the requests of this share of the connections that send, and of no more than so many. */
  readonly awaitedShare: number;
  readonly awaitedMax: number;
  /** A turn that served a larger share, or more, has spread the cost of waking already. */
  readonly servedShare: number;
  readonly servedMax: number;
}

export const restPaces = {
  /** The slowest of a hundred requests hardly notice. */
  brief: { usMax: 80, awaitedShare: 1 / 10, awaitedMax: 10, servedShare: 1 / 12, servedMax: 3 },
  /** Fewer than half as many sleeps, where the cost counts more than a tenth of a millisecond. */
  long: { usMax: 160, awaitedShare: 0.3, awaitedMax: 20, servedShare: 0.4, servedMax: 20 },
} as const satisfies Record<string, RestPace>;

/** Requests further apart than this are served as they come: a rest would spare too little. */
const GAP_US_MAX = 20;
/** Connections that send, at least. Of fewer, too many would wait for each other. */
const ACTIVE_MIN = 24;
/** A thread that works for more of the time hardly ever sleeps, so there is little to spare. */
const BUSY_SHARE_MAX = 0.93;
/** Chunks after which the pace is measured again. */
const WINDOW = 256;

export type TurnClock = Pick<Clock, "monotonicMs" | "endOfTurn">;

/** What is kept for a connection. */
export interface Sender {
  /** The window in which it was last heard. */
  heardIn: number;
}

/** The thread that serves. */
export interface Thread {
  rest(microseconds: number): void;
  threadCpuMs(): number;
}

export class TurnRest {
  readonly #clock: TurnClock;
  readonly #thread: Thread;
  readonly #mayRest: () => boolean;
  readonly #pace: RestPace;
  /** Of the window before this one; 0: no rest. */
  #restUs = 0;
  #servedMax = 0;
  #window = 1;
  #heard = 0;
  #active = 0;
  #beganMs: number;
  #cpuMs: number;
  /** Chunks of this turn. */
  #turn = 0;
  readonly #endTurn = () => this.#end();

  /** `mayRest` is asked before each rest. */
  constructor(clock: TurnClock, thread: Thread, mayRest: () => boolean, pace: RestPace) {
    this.#clock = clock;
    this.#thread = thread;
    this.#mayRest = mayRest;
    this.#pace = pace;
    this.#beganMs = clock.monotonicMs();
    this.#cpuMs = thread.threadCpuMs();
  }

  /** To be called with each chunk that arrives. */
  heard(sender: Sender): void {
    if (sender.heardIn !== this.#window) {
      sender.heardIn = this.#window;
      this.#active++;
    }
    if (this.#restUs > 0 && this.#turn++ === 0) this.#clock.endOfTurn(this.#endTurn);
    if (++this.#heard === WINDOW) this.#measure(this.#clock.monotonicMs());
  }

  #measure(nowMs: number): void {
    const gapUs = ((nowMs - this.#beganMs) * 1000) / this.#heard;
    const cpuMs = this.#thread.threadCpuMs();
    const isIdleAtTimes = cpuMs - this.#cpuMs <= BUSY_SHARE_MAX * (nowMs - this.#beganMs);
    this.#cpuMs = cpuMs;
    const isWorthIt = isIdleAtTimes && gapUs <= GAP_US_MAX && this.#active >= ACTIVE_MIN;
    const { usMax, awaitedShare, awaitedMax, servedShare, servedMax } = this.#pace;
    const awaited = Math.min(awaitedMax, awaitedShare * this.#active);
    this.#restUs = isWorthIt ? Math.min(usMax, Math.ceil(awaited * gapUs)) : 0;
    this.#servedMax = Math.min(servedMax, servedShare * this.#active);
    this.#window++;
    this.#heard = this.#active = 0;
    this.#beganMs = nowMs;
  }

  #end(): void {
    const served = this.#turn;
    this.#turn = 0;
    // What was measured before a lull says nothing about the time after it.
    const nowMs = this.#clock.monotonicMs();
    if ((nowMs - this.#beganMs) * 1000 > WINDOW * GAP_US_MAX) this.#measure(nowMs);
    if (this.#restUs > 0 && served <= this.#servedMax && this.#mayRest()) this.#thread.rest(this.#restUs);
  }
}
