/**
 * A load run against a Redis server: connections that send SET and GET as the pacing allows, and a recorder that
 * counts what comes back.
 *
 * Everything runs on one event loop; replies of one chunk share one arrival time. Invariant: a run ends when its
 * budget is spent and nothing is in flight, so requests = replies + lost. A server that sends nothing for
 * `replyTimeoutMs` while requests wait ends the run, and they are counted as lost.
 */
import type { Clock } from "../../../core/seams/clock.ts";
import { NxError } from "../../../core/errors.ts";
import { Budget, closedLoop, openLoop, type Pacing } from "../../../core/load/pacing.ts";
import { Recorder } from "../../../core/load/recorder.ts";
import type { Net } from "../../../core/seams/net.ts";
import type { Random } from "../../../core/seams/random.ts";
import { ReplyType } from "../../wire/resp/reply-scanner.ts";
import { LoadConnection, type ConnectionOwner, type Reply, type Target } from "./connection.ts";
import { Operation, operationNames, RequestBlock, Values } from "./requests.ts";

export interface Seams {
  net: Net;
  clock: Clock;
  random: Random;
}

export interface LoadOptions {
  connections: number;
  /** Requests in flight on one connection at most. */
  pipeline: number;
  keyPrefix: string;
  keys: number;
  valueBytes: number;
  /** Compare every value read with what is written under its key. */
  isVerifying: boolean;
  /** The server may be silent for this long while requests wait. */
  replyTimeoutMs: number;
}

/** One part of a run. It ends with `requests` or `seconds`, whichever comes first. */
export interface Phase {
  /** Share of reads, 0 (only SET) to 1 (only GET). */
  readShare: number;
  requests?: number;
  seconds?: number;
  /** Open loop at this rate; closed loop without it. */
  ratePerSecond?: number;
  /** Waits by timers only, which spares a CPU: up to a millisecond in the generator then counts as latency. */
  isCoarse?: boolean;
  /** Keys 0, 1, 2 … instead of random ones. */
  isSequential?: boolean;
  /** Every key was written before: a read that finds nothing is a wrong reply. */
  isPreloaded?: boolean;
  signal?: AbortSignal;
  /** Told of every latency, beside the recorder. */
  onReply?(latencyMs: number): void;
  onStart?(recorder: Recorder): void;
}

/** A due time nearer than this is waited for by turning the event loop: timers are only good to a millisecond. */
const SPIN_MS = 2;
const SILENCE_CHECK_PERIOD_MS = 500;

interface Running extends Phase {
  recorder: Recorder;
  budget: Budget;
  pacing: Pacing;
  done(): void;
}

export class RespLoad implements ConnectionOwner {
  readonly options: LoadOptions;
  readonly matches: ConnectionOwner["matches"];
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #values: Values;
  readonly #block: RequestBlock;
  readonly #connections: LoadConnection[] = [];
  #running: Running | undefined;
  #inFlight = 0;
  #nowMs = 0;
  #repliesInChunk = 0;
  #nextKey = 0;
  #turn = 0;
  #isArmed = false;

  private constructor(seams: Seams, options: LoadOptions) {
    this.#clock = seams.clock;
    this.#random = seams.random;
    this.options = options;
    this.#values = new Values(options.valueBytes, seams.random);
    this.#block = new RequestBlock(
      { keyPrefix: options.keyPrefix, requestsMax: options.pipeline },
      this.#values,
    );
    this.matches = options.isVerifying
      ? (key, chunk, start, end, offset) => this.#values.matches(key, chunk, start, end, offset)
      : undefined;
  }

  /** Opens all connections. Throws NX_CONNECT_FAILED when the server is absent or refuses. */
  static async connect(seams: Seams, target: Target, options: LoadOptions): Promise<RespLoad> {
    const load = new RespLoad(seams, options);
    try {
      // The first one alone: a server that is absent is reported once.
      for (let opened = 0; opened < options.connections; opened = load.#connections.length) {
        const batch = Math.min(opened === 0 ? 1 : 100, options.connections - opened);
        const connecting = Array.from({ length: batch }, () =>
          LoadConnection.open(seams, target, load, options.pipeline),
        );
        const settled = await Promise.allSettled(connecting);
        for (const one of settled) if (one.status === "fulfilled") load.#connections.push(one.value);
        const failed = settled.find((one) => one.status === "rejected");
        if (failed !== undefined) throw failed.reason;
      }
    } catch (error) {
      load.close();
      throw error;
    }
    return load;
  }

  /** Asks on the first connection, between phases. */
  async ask(words: readonly string[]): Promise<string> {
    const [connection] = this.#connections;
    if (connection?.isOpen !== true) throw new NxError("NX_CONNECT_FAILED", "the connection is closed");
    return await connection.ask(words);
  }

  close(): void {
    for (const connection of this.#connections) connection.close();
  }

  /** Runs one phase to its end. Never throws: what went wrong is in the recorder. */
  run(phase: Phase): Promise<Recorder> {
    return new Promise((resolve) => {
      const startMs = this.#clock.monotonicMs();
      const { requests = Number.POSITIVE_INFINITY, seconds = Number.POSITIVE_INFINITY, signal } = phase;
      const recorder = new Recorder(operationNames, startMs);
      const budget = new Budget(requests, startMs + seconds * 1000);
      const expire = () => {
        budget.stop();
        this.#endIfDone();
      };
      const timers = [this.#clock.every(SILENCE_CHECK_PERIOD_MS, () => this.#checkSilence())];
      if (Number.isFinite(seconds)) timers.push(this.#clock.after(seconds * 1000, expire));
      signal?.addEventListener("abort", expire, { once: true });
      const pacing = phase.ratePerSecond === undefined ? closedLoop : openLoop(phase.ratePerSecond, startMs);
      const done = () => {
        for (const timer of timers) timer.cancel();
        signal?.removeEventListener("abort", expire);
        resolve(recorder);
      };
      this.#nextKey = 0;
      this.#nowMs = startMs;
      this.#running = { ...phase, recorder, budget, pacing, done };
      phase.onStart?.(recorder);
      if (signal?.aborted === true) budget.stop();
      this.#pump(this.#running);
      this.#endIfDone();
    });
  }

  // --- sending ---------------------------------------------------------------------------------------------------

  /** Gives what is due to connections with room, in turns; arranges to be called again when time brings the next. */
  #pump(running: Running): void {
    const nowMs = this.#clock.monotonicMs();
    let due = running.pacing.allowance(nowMs);
    while (due > 0) {
      const connection = this.#nextWithRoom();
      if (connection === undefined) return;
      const share = Math.max(1, Math.ceil(due / this.#connections.length));
      const sent = this.#issue(running, connection, Math.min(share, connection.room));
      if (sent === 0) return;
      due -= sent;
    }
    this.#arm(running, nowMs);
  }

  #nextWithRoom(): LoadConnection | undefined {
    const { length } = this.#connections;
    for (let tried = 0; tried < length; tried++) {
      const connection = this.#connections[this.#turn] as LoadConnection;
      this.#turn = (this.#turn + 1) % length;
      if (connection.room > 0) return connection;
    }
    return undefined;
  }

  #arm(running: Running, nowMs: number): void {
    if (this.#isArmed) return;
    this.#isArmed = true;
    const waitMs = running.pacing.waitMs(nowMs);
    const wake = () => {
      this.#isArmed = false;
      if (this.#running !== undefined) this.#pump(this.#running);
    };
    if (running.isCoarse === true && waitMs > 0) this.#clock.after(Math.ceil(waitMs), wake);
    else if (waitMs > SPIN_MS) this.#clock.after(waitMs - SPIN_MS / 2, wake);
    else this.#clock.endOfTurn(wake);
  }

  /** Sends up to `wanted` requests as one block; returns how many the budget granted. */
  #issue(running: Running, connection: LoadConnection, wanted: number): number {
    const nowMs = this.#clock.monotonicMs();
    const granted = running.budget.take(wanted, nowMs);
    if (granted === 0) return 0;
    for (let request = 0; request < granted; request++) {
      const operation = this.#operation(running.readShare);
      const key = running.isSequential === true ? this.#nextKey++ : this.#random.integer(this.options.keys);
      this.#block.append(operation, key);
      connection.expect(operation, key, running.pacing.take(nowMs));
    }
    const bytes = this.#block.take();
    running.recorder.requests += granted;
    running.recorder.bytesSent += bytes.length;
    this.#inFlight += granted;
    connection.send(bytes);
    return granted;
  }

  #operation(readShare: number): number {
    if (readShare === 0) return Operation.set;
    return readShare === 1 || this.#random.float() < readShare ? Operation.get : Operation.set;
  }

  // --- receiving: ConnectionOwner --------------------------------------------------------------------------------

  chunkBegins(bytes: number): void {
    this.#nowMs = this.#clock.monotonicMs();
    this.#repliesInChunk = 0;
    if (this.#running !== undefined) this.#running.recorder.bytesReceived += bytes;
  }

  replied(operation: number, sentMs: number, reply: Reply): void {
    this.#inFlight -= 1;
    const running = this.#running;
    if (running === undefined) return;
    this.#repliesInChunk += 1;
    const latencyMs = this.#nowMs - sentMs;
    running.recorder.reply(operation, latencyMs);
    running.onReply?.(latencyMs);
    this.#judge(running.recorder, operation, reply, running.isPreloaded === true);
  }

  #judge(recorder: Recorder, operation: number, reply: Reply, isPreloaded: boolean): void {
    const { type } = reply;
    if (type === ReplyType.error) {
      recorder.error(reply.error);
    } else if (operation === Operation.set) {
      if (type !== ReplyType.simple)
        recorder.error(`SET was answered with type "${String.fromCharCode(type)}"`);
    } else if (type === ReplyType.null) {
      recorder.misses += 1;
      if (isPreloaded) recorder.mismatches += 1;
    } else if (type !== ReplyType.bulk) {
      recorder.error(`GET was answered with type "${String.fromCharCode(type)}"`);
    } else if (this.matches !== undefined) {
      recorder.verified += 1;
      if (!reply.isMatch || reply.length !== this.options.valueBytes) recorder.mismatches += 1;
    }
  }

  chunkEnded(connection: LoadConnection): void {
    const running = this.#running;
    if (running === undefined) return;
    if (this.#repliesInChunk > 0) running.recorder.timeline.count(this.#repliesInChunk, this.#nowMs);
    if (running.pacing !== closedLoop) this.#pump(running);
    // A whole block at a time: all its replies first.
    else if (connection.inFlight === 0) this.#issue(running, connection, this.options.pipeline);
    this.#endIfDone();
  }

  closed(unanswered: number, reason: string): void {
    this.#inFlight -= unanswered;
    const running = this.#running;
    if (running === undefined) return;
    running.recorder.lost += unanswered;
    running.recorder.error(reason);
    if (this.#connections.every((connection) => !connection.isOpen)) running.budget.stop();
    this.#endIfDone();
  }

  // --- the end ---------------------------------------------------------------------------------------------------

  #endIfDone(): void {
    const running = this.#running;
    if (running === undefined || this.#inFlight > 0 || !running.budget.isSpent(this.#clock.monotonicMs()))
      return;
    this.#running = undefined;
    running.done();
  }

  #checkSilence(): void {
    const { replyTimeoutMs } = this.options;
    if (this.#inFlight === 0 || this.#clock.monotonicMs() - this.#nowMs < replyTimeoutMs) return;
    this.#running?.budget.stop();
    this.#running?.recorder.error(`no reply within ${replyTimeoutMs / 1000} s`);
    for (const connection of this.#connections) if (connection.inFlight > 0) connection.terminate();
  }
}
