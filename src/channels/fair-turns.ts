/**
 * Turns of the event loop that are fair to clients with short replies, however long those are that others asked for.
 *
 * A reply of a mebibyte is copied for as long as a hundred small requests take. So a turn has room for so many bytes of
 * long replies; then the clients whose replies have been long wait for their time in later turns, first come, first
 * served, and all others are served at once as ever.
 *
 * Invariant: who waits is queued once and gets its time; a turn ends after each of them had at most one. Nothing here
 * survives a crash.
 */
import type { Clock } from "../core/seams/clock.ts";

/** Replies of one call from which on they are long: to copy them takes longer than to serve a usual chunk. */
const LONG_BYTES = 64 * 1024;
/** Long replies per turn, but for the last. */
const TURN_BYTES_MAX = 256 * 1024;
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
    if (bytes < LONG_BYTES) return;
    this.#bytes += bytes;
    this.#awaitEnd();
  }

  /** What arrived is to be kept until the client's time comes. */
  mustWait(seat: TurnSeat): boolean {
    return this.#bytes >= TURN_BYTES_MAX && seat.recentBytes >= RECENT_BYTES_MAX;
  }

  /** Lets it go on in a later turn, when its time comes. */
  enqueue(client: Client): void {
    if (client.seat.isQueued) return;
    client.seat.isQueued = true;
    this.#queue.push(client);
    this.#awaitEnd();
  }

  #awaitEnd(): void {
    if (this.#isEndAwaited) return;
    this.#isEndAwaited = true;
    this.#clock.endOfTurn(this.#endTurn);
  }

  #end(): void {
    this.#isEndAwaited = false;
    this.#bytes = 0;
    // Each at most once, so that the turn ends whatever they ask for.
    for (let count = this.#queue.length; count > 0 && this.#bytes < TURN_BYTES_MAX; count--) {
      const client = this.#queue.shift() as Client;
      client.seat.isQueued = false;
      this.#goOn(client);
    }
    if (this.#queue.length > 0) this.#awaitEnd();
  }
}
