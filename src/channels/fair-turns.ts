/**
 * Turns of the event loop that are fair to clients with short replies, however long those are that others asked for.
 *
 * A reply of a mebibyte is copied for as long as a hundred small requests take. So a turn has room for so many bytes of
 * long replies; the rest of a longer one, and the clients whose replies have been long, wait for their time in later
 * turns, first come, first served, and all others are served at once as ever.
 *
 * Invariant: who waits is queued once and gets its time; a turn ends after each of them had at most one. Nothing here
 * survives a crash.
 */
import type { Clock } from "../core/seams/clock.ts";

/** Replies of one call from which on they are long: to copy them takes longer than to serve a usual chunk. */
const LONG_BYTES = 64 * 1024;
/** Of long replies that leave in one turn, but for the last part, while there are clients with short ones. */
const TURN_BYTES_MAX = 256 * 1024;
/** And while there are none: shorter turns cost more of them. */
const LONELY_TURN_BYTES_MAX = 4 * 1024 * 1024;
/** Turns without a short reply after which there are no such clients: some milliseconds. */
const LONELY_TURNS = 64;
/** A client with more recent replies than that is one of those that wait. */
const RECENT_BYTES_MAX = 2 * LONG_BYTES;

/** What is kept for each client. */
export class TurnSeat {
  isQueued = false;
  /** Bytes of its replies, those of the last calls most. Of one that was not heard yet it is assumed that they are long. */
  recentBytes = RECENT_BYTES_MAX;
}

export class FairTurns<Client extends { readonly seat: TurnSeat }> {
  readonly #clock: Pick<Clock, "endOfTurn">;
  readonly #goOn: (client: Client) => void;
  readonly #queue: Client[] = [];
  /** Of long replies, since the last end of a turn. */
  #bytes = 0;
  /** Turns with long replies since the last short one. */
  #lonelyTurns = 0;
  #isEndAwaited = false;
  readonly #endTurn = () => this.#end();

  /** `goOn`: its time has come. */
  constructor(clock: Pick<Clock, "endOfTurn">, goOn: (client: Client) => void) {
    this.#clock = clock;
    this.#goOn = goOn;
  }

  /** One call for `seat` left so many bytes of replies. */
  replied(seat: TurnSeat, bytes: number): void {
    seat.recentBytes = seat.recentBytes / 2 + bytes;
    if (bytes < LONG_BYTES) {
      this.#lonelyTurns = 0;
      return;
    }
    this.#count(bytes);
  }

  /** How many of so many bytes of a long reply may leave in this turn; they are counted. */
  claim(bytes: number): number {
    if (this.#isFull) return 0;
    const part = Math.min(bytes, this.#bytesMax);
    this.#count(part);
    return part;
  }

  #count(bytes: number): void {
    this.#bytes += bytes;
    this.#awaitEnd();
  }

  /** What arrived is to be kept until the client's time comes. */
  mustWait(seat: TurnSeat): boolean {
    return this.#isFull && seat.recentBytes >= RECENT_BYTES_MAX;
  }

  /** Lets it go on in a later turn, when its time comes. */
  enqueue(client: Client): void {
    if (client.seat.isQueued) return;
    client.seat.isQueued = true;
    this.#queue.push(client);
    this.#awaitEnd();
  }

  /** Lets one that has begun its reply go on with it in the next turn: few may hold what has yet to leave. */
  enqueueFirst(client: Client): void {
    if (client.seat.isQueued) return;
    client.seat.isQueued = true;
    this.#queue.unshift(client);
    this.#awaitEnd();
  }

  get #bytesMax(): number {
    return this.#lonelyTurns < LONELY_TURNS ? TURN_BYTES_MAX : LONELY_TURN_BYTES_MAX;
  }

  get #isFull(): boolean {
    return this.#bytes >= this.#bytesMax;
  }

  #awaitEnd(): void {
    if (this.#isEndAwaited) return;
    this.#isEndAwaited = true;
    this.#clock.endOfTurn(this.#endTurn);
  }

  #end(): void {
    this.#isEndAwaited = false;
    this.#bytes = 0;
    this.#lonelyTurns++;
    // Each at most once, so that the turn ends whatever they ask for.
    for (let count = this.#queue.length; count > 0 && !this.#isFull; count--) {
      const client = this.#queue.shift() as Client;
      client.seat.isQueued = false;
      this.#goOn(client);
    }
    if (this.#queue.length > 0) this.#awaitEnd();
  }
}
