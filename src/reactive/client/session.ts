/**
 * The client's way to the store: a connection to one of several frontends, replaced when it ends, and requests that outlive
 * connections.
 *
 * Invariant: a request is repeated on the next connection when its answer was lost. That is safe for all of them: reads and
 * watches change nothing, and a commit names its transaction, so that it is executed once however often it arrives. What is
 * not answered by its deadline fails with `UnavailableError`, or `OutcomeUnknownError` where something may have happened.
 */
import type { ServerMessage } from "../client-wire/messages.ts";
import type { Clock } from "../../core/seams/clock.ts";
import { sleep } from "../../core/seams/clock.ts";
import type { Random } from "../../core/seams/random.ts";
import { type Backoff, backoffMs } from "./backoff.ts";
import { type Answer, Connection, LostError, type Request, type Welcome } from "./connection.ts";
import { deferred } from "./deferred.ts";
import { ClosedError, RequestError, UnavailableError } from "./errors.ts";
import type { OpenSocket } from "./socket.ts";

export interface SessionOptions {
  /** Their addresses; at least one. */
  frontends: readonly string[];
  client: number;
  token: string;
  open: OpenSocket;
  clock: Clock;
  random: Random;
  /** A connection can be used: everything that lives longer than connections is said again. */
  onConnected(welcome: Welcome): void;
  onDisconnected(reason: string): void;
  /** No frontend will have this client any more. */
  onRefused(error: RequestError): void;
  onRuns(message: Extract<ServerMessage, { type: "runs" }>): void;
  onProgress(timestamp: number): void;
}

const reconnecting: Backoff = { firstMs: 50, maxMs: 2000 };
const repeating: Backoff = { firstMs: 20, maxMs: 1000 };
/** A frontend that says this often in a row that it can do nothing is left for another one. */
const REFUSALS_MAX = 3;

/** What a frontend says when the same request may succeed later, here or elsewhere. */
const passing = new Set(["unavailable", "unknownOutcome", "stopping", "busy"]);

export class Session {
  readonly #options: SessionOptions;
  readonly #waiting = new Set<() => void>();
  #connection: Connection | undefined;
  #next: number;
  /** Since the last one that could be used. */
  #failedConnections = 0;
  #refusals = 0;
  #lastTrouble = "no frontend was reached yet";
  /** Nothing will work any more. */
  #end: Error | undefined;

  constructor(options: SessionOptions) {
    this.#options = options;
    // Clients spread over the frontends.
    this.#next = options.random.integer(options.frontends.length);
    this.#connect();
  }

  get isConnected(): boolean {
    return this.#connection?.isUsable === true;
  }

  /** Why there is no connection. */
  get trouble(): string {
    return this.#lastTrouble;
  }

  /** Answered by whichever frontend is there. `deadlineMs`: on the monotonic clock. `onSend`: it may arrive from here on. */
  async request(request: Request, deadlineMs: number, onSend?: () => void): Promise<Answer> {
    const { clock, random } = this.#options;
    for (let attempt = 1; ; attempt++) {
      const connection = await this.#usable(deadlineMs);
      try {
        onSend?.();
        const answer = await this.#withDeadline(connection.request(request), deadlineMs);
        this.#refusals = 0;
        return answer;
      } catch (error) {
        if (error instanceof RequestError && passing.has(error.code)) {
          this.#lastTrouble = error.message;
          this.#refusals += 1;
          if (this.#refusals % REFUSALS_MAX === 0) connection.close();
        } else if (!(error instanceof LostError)) throw error;
        this.#assertTime(deadlineMs);
        await sleep(clock, backoffMs(attempt, repeating, random.float()));
      }
    }
  }

  /** Over the connection that is there, once. Rejects with LostError or RequestError. */
  ask(request: Request): Promise<Answer> {
    return this.#connection?.request(request) ?? Promise.reject(new LostError(this.#lastTrouble));
  }

  /** Asks for nothing back, and is lost where there is no connection, or one that does not understand it. */
  tell(message: { type: "ack"; at: number } | { type: "leave"; line: number }): void {
    if (message.type === "ack" || this.hasTurns) this.#connection?.send(message);
  }

  /** A transaction that was refused can stand in line. */
  get hasTurns(): boolean {
    return this.#connection?.hasTurns === true;
  }

  /** Resolves when a connection can be used. */
  async connected(deadlineMs: number): Promise<void> {
    await this.#usable(deadlineMs);
  }

  close(error: Error = new ClosedError()): void {
    if (this.#end !== undefined) return;
    this.#end = error;
    this.#connection?.close();
    this.#wake();
  }

  #connect(): void {
    if (this.#end !== undefined) return;
    const { frontends, client, token, open, clock } = this.#options;
    const url = frontends[this.#next % frontends.length] as string;
    this.#next += 1;
    const connection: Connection = new Connection({
      ...{ url, client, token, open, clock },
      onWelcome: (welcome) => {
        this.#failedConnections = 0;
        this.#options.onConnected(welcome);
        this.#wake();
      },
      onRuns: (message) => this.#options.onRuns(message),
      onProgress: (timestamp) => this.#options.onProgress(timestamp),
      onEnd: (reason, failure) => this.#ended(reason, failure),
    });
    this.#connection = connection;
  }

  #ended(reason: string, failure: RequestError | undefined): void {
    this.#connection = undefined;
    this.#lastTrouble = failure?.message ?? reason;
    if (this.#end !== undefined) return;
    // Another token is needed, or another program: the same words would be refused for ever.
    if (failure?.code === "denied" || failure?.code === "protocol") {
      this.close(failure);
      this.#options.onRefused(failure);
    }
    this.#options.onDisconnected(this.#lastTrouble);
    if (this.#end !== undefined) return;
    this.#failedConnections += 1;
    const { frontends, clock, random } = this.#options;
    const rounds = Math.floor(this.#failedConnections / frontends.length);
    const delayMs = rounds === 0 ? 0 : backoffMs(rounds, reconnecting, random.float());
    clock.after(delayMs, () => this.#connect());
  }

  async #usable(deadlineMs: number): Promise<Connection> {
    for (;;) {
      if (this.#end !== undefined) throw this.#end;
      if (this.#connection?.isUsable === true) return this.#connection;
      this.#assertTime(deadlineMs);
      await this.#change(deadlineMs);
    }
  }

  /** Until something about the connection has changed, or the deadline has passed. */
  #change(deadlineMs: number): Promise<void> {
    const { clock } = this.#options;
    return new Promise((resolve) => {
      const timer = clock.after(Math.max(0, deadlineMs - clock.monotonicMs()), done);
      const waiting = this.#waiting;
      waiting.add(done);
      function done(): void {
        timer.cancel();
        waiting.delete(done);
        resolve();
      }
    });
  }

  #wake(): void {
    for (const done of [...this.#waiting]) done();
  }

  #assertTime(deadlineMs: number): void {
    if (this.#options.clock.monotonicMs() >= deadlineMs) throw new UnavailableError(this.#lastTrouble);
  }

  async #withDeadline(answer: Promise<Answer>, deadlineMs: number): Promise<Answer> {
    const { clock } = this.#options;
    const { promise, reject } = deferred<never>();
    const timer = clock.after(Math.max(0, deadlineMs - clock.monotonicMs()), () =>
      reject(new UnavailableError("the frontend did not answer in time")),
    );
    try {
      return await Promise.race([answer, promise]);
    } finally {
      timer.cancel();
    }
  }
}
