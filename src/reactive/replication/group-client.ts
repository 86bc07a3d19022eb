/**
 * A client of a replicated group: finds the primary, repeats what is not answered, and gets each command done once.
 *
 * Invariant: a command's promise resolves with the group's reply, or rejects; `OutcomeUnknownError` means that it may or
 * may not have been executed, and only then. Any number of commands may be under way; their order among each other is
 * not promised. What is under way when this process ends is of unknown outcome. What is longer than the group takes is never sent:
 * it would end the connection, each time again.
 */
import type { World } from "../../core/role.ts";
import type { Timer } from "../../core/seams/clock.ts";
import type { ConnectOptions } from "../../core/seams/net.ts";
import { LimitError, OutcomeUnknownError, RefusedError } from "../failures.ts";
import { ByteReader } from "../wire/bytes.ts";
import { COMMAND_HEADER_BYTES, ResultStatus, type Result } from "./client-codec.ts";
import {
  DialedLine,
  type LineListener,
  LocalLine,
  type LocalReplica,
  type ReplicaLine,
} from "./replica-line.ts";
import { WINDOW_MAX } from "./sessions.ts";

export interface GroupClientOptions {
  world: Pick<World, "net" | "clock" | "random">;
  /** Of all replicas, in the order of the group's configuration. */
  replicas: readonly { host: string; port: number }[];
  /** The group's name, or "" for any. */
  group: string;
  token?: string;
  tls?: ConnectOptions<unknown>["tls"];
  /** A replica that does not answer for this long is left for the next one; longer, when none has answered. */
  attemptMs?: number;
  /** A command or query without answer for this long is given up. */
  timeoutMs?: number;
  payloadBytesMax?: number;
  /** The replica that is in this process, which is asked without a connection. */
  here?: { index: number; replica: LocalReplica };
}

interface Call {
  kind: "command" | "query";
  body: Uint8Array;
  /** Infinity: the group answers when it has something to say. */
  deadlineMs: number;
  /** Copies that may be on their way. */
  copies: number;
  resolve(body: Uint8Array): void;
  reject(error: Error): void;
}

const OUTBOX_BYTES_MAX = 64 << 20;
/** Of commands under way, but for a single one: they must find room in the outbox when all of them are sent again. */
const UNDER_WAY_BYTES_MAX = OUTBOX_BYTES_MAX / 2;
const TICK_MS = 25;
const PATIENCE_MAX = 32;
/** Between two visits of the same replica that says it is not the primary. */
const REDIRECT_MS = 20;

export class GroupClient {
  readonly #options: GroupClientOptions;
  readonly #lines: ReplicaLine[];
  readonly #attemptMs: number;
  readonly #timeoutMs: number;
  #target = 0;
  #session = 0;
  #registration = 0;
  /** Of commands: the group keeps their replies by it, in a window. */
  #nextNumber = 1;
  /** Queries have numbers of their own: nothing of them is kept, so they use up nothing of the window. */
  #nextQuery = 1;
  /** Commands that have a number, and queries, by the numbers of each. */
  readonly #commands = new Map<number, Call>();
  readonly #queries = new Map<number, Call>();
  #commandBytes = 0;
  /** The longest payload that the group takes, once it has said so. */
  #payloadBytesMax = Number.POSITIVE_INFINITY;
  /** Queries that may wait. */
  #patient = 0;
  /** Commands that wait for a session, or for room in the window. */
  #waiting: Call[] = [];
  #lastAnswerMs: number;
  #resendTimer: Timer | undefined;
  readonly #ticker: Timer;
  /** Replicas that were left because they did not answer, since the last answer. */
  #silences = 0;
  #isClosed = false;
  #view: number | undefined;

  constructor(options: GroupClientOptions) {
    const { clock } = options.world;
    this.#options = options;
    this.#attemptMs = options.attemptMs ?? 300;
    this.#timeoutMs = options.timeoutMs ?? 30_000;
    this.#lastAnswerMs = clock.monotonicMs();
    this.#lines = options.replicas.map((address, index) => this.#open(index, address));
    this.#ticker = clock.every(TICK_MS, () => this.#tick());
  }

  /** Which replica is believed to be the primary, for people. */
  get primary(): number {
    return this.#target;
  }

  /** The last view whose primary answered; undefined before the first answer. */
  get view(): number | undefined {
    return this.#view;
  }

  /** Orders a command and resolves with its reply. */
  command(body: Uint8Array): Promise<Uint8Array> {
    return this.#call("command", body);
  }

  /**
   * A linearizable read that is not logged. `mayWait`: the group may leave it unanswered for as long as it likes, so its silence
   * is no sign that the primary is gone; whoever asks so finds that out by other questions.
   */
  query(body: Uint8Array, { mayWait = false }: { mayWait?: boolean } = {}): Promise<Uint8Array> {
    return this.#call("query", body, mayWait);
  }

  #call(kind: Call["kind"], body: Uint8Array, mayWait = false): Promise<Uint8Array> {
    if (this.#isClosed) return Promise.reject(new RefusedError("the client is closed"));
    const nowMs = this.#options.world.clock.monotonicMs();
    // An idle group owes no answer.
    if (this.#owed === 0) this.#lastAnswerMs = nowMs;
    return new Promise((resolve, reject) => {
      const deadlineMs = mayWait ? Number.POSITIVE_INFINITY : nowMs + this.#timeoutMs;
      const call: Call = { kind, body, deadlineMs, copies: 0, resolve, reject };
      if (kind === "query") this.#begin(this.#queries, call);
      else {
        this.#waiting.push(call);
        this.#admit();
      }
    });
  }

  /** Calls whose answer is due. */
  get #owed(): number {
    return this.#commands.size + this.#queries.size + this.#waiting.length - this.#patient;
  }

  #begin(calls: Map<number, Call>, call: Call): void {
    const number = calls === this.#queries ? this.#nextQuery++ : this.#nextNumber++;
    calls.set(number, call);
    if (call.deadlineMs === Number.POSITIVE_INFINITY) this.#patient++;
    if (calls === this.#commands) this.#commandBytes += call.body.byteLength;
    this.#send(number, call);
  }

  /** It is under way no more. */
  #end(calls: Map<number, Call>, number: number): Call | undefined {
    const call = calls.get(number);
    if (call === undefined) return undefined;
    calls.delete(number);
    if (call.deadlineMs === Number.POSITIVE_INFINITY) this.#patient--;
    if (calls === this.#commands) this.#commandBytes -= call.body.byteLength;
    return call;
  }

  /** Numbers commands as far as there is a session and a window. */
  #admit(): void {
    if (this.#session === 0) {
      if (this.#waiting.length > 0 && this.#registration === 0) this.#register();
      return;
    }
    for (let [next] = this.#waiting; next !== undefined && this.#hasRoom(next); [next] = this.#waiting) {
      this.#waiting.shift();
      this.#begin(this.#commands, next);
    }
  }

  #hasRoom({ body }: Call): boolean {
    const isShort = this.#commandBytes + body.byteLength <= UNDER_WAY_BYTES_MAX;
    return this.#nextNumber < this.#floor + WINDOW_MAX && (isShort || this.#commands.size === 0);
  }

  /** The lowest number whose reply is still wanted. Numbers only grow, so the first one is it. */
  get #floor(): number {
    return this.#commands.keys().next().value ?? this.#nextNumber;
  }

  #register(): void {
    this.#registration ||= 1 + this.#options.world.random.integer(2 ** 48 - 1);
    const request = { session: 0, number: this.#registration, floor: 0, body: new Uint8Array(0) };
    this.#lines[this.#target]?.command(request);
  }

  #send(number: number, call: Call): void {
    const { kind, body } = call;
    const bytes = COMMAND_HEADER_BYTES + body.byteLength;
    if (bytes > this.#payloadBytesMax) {
      const text = `${bytes} bytes for one group: it takes ${this.#payloadBytesMax} (its limits.requestBytesMax)`;
      this.#end(kind === "query" ? this.#queries : this.#commands, number)?.reject(
        new LimitError("tooLarge", text),
      );
      return;
    }
    call.copies += 1;
    const line = this.#lines[this.#target];
    if (kind === "query") line?.query({ number, body });
    else line?.command({ session: this.#session, number, floor: this.#floor, body });
  }

  #resendAll(): void {
    if (this.#registration !== 0) this.#register();
    for (const [number, call] of this.#commands) this.#send(number, call);
    for (const [number, call] of this.#queries) this.#send(number, call);
  }

  // --- connections -----------------------------------------------------------------------------------------------

  #open(index: number, { host, port }: { host: string; port: number }): ReplicaLine {
    const { world, group, token = "", tls, payloadBytesMax = 64 << 20, here } = this.#options;
    const listener: LineListener = {
      onOpen: (ofGroup) => {
        this.#payloadBytesMax = ofGroup;
        if (index === this.#target) this.#resendAll();
      },
      onResult: (result) => this.#onResult(index, result),
      onLost: () => {
        if (index === this.#target) this.#turnTo((index + 1) % this.#options.replicas.length);
      },
    };
    if (here?.index === index) return new LocalLine(here.replica, listener);
    const address = { world, host, port, tls, outboxBytesMax: OUTBOX_BYTES_MAX, payloadBytesMax };
    return new DialedLine(address, { group, token }, listener);
  }

  #turnTo(target: number): void {
    this.#target = target;
    this.#lastAnswerMs = this.#options.world.clock.monotonicMs();
    this.#resendTimer?.cancel();
    this.#resendAll();
  }

  #onResult(from: number, result: Result): void {
    const { session, number, status, view } = result;
    if (status === ResultStatus.notPrimary) {
      if (from === this.#target) this.#redirect(view % this.#options.replicas.length);
      return;
    }
    this.#lastAnswerMs = this.#options.world.clock.monotonicMs();
    this.#silences = 0;
    if (status === ResultStatus.ok) this.#view = Math.max(this.#view ?? 0, view);
    if (session === 0 && number === this.#registration) {
      this.#registration = 0;
      this.#session = new ByteReader(result.body).u64();
      this.#admit();
    } else if (session === 0) this.#settle(this.#queries, result);
    else if (status === ResultStatus.sessionExpired) this.#onExpired(session);
    else if (session === this.#session) {
      this.#settle(this.#commands, result);
      this.#admit();
    }
  }

  #settle(calls: Map<number, Call>, { number, status, body }: Result): void {
    const call = this.#end(calls, number);
    if (status === ResultStatus.ok) return call?.resolve(body);
    const text = new TextDecoder().decode(body);
    if (status === ResultStatus.tooLong) call?.reject(new LimitError("tooLarge", text));
    // One that refuses does not know of the others: an earlier copy may be in the log.
    else if (call?.kind === "command" && call.copies > 1) call.reject(new OutcomeUnknownError(text));
    else call?.reject(new RefusedError(text));
  }

  /** Nobody knows what became of the commands under way. */
  #onExpired(session: number): void {
    if (session !== this.#session) return;
    this.#session = 0;
    for (const call of this.#commands.values()) {
      call.reject(new OutcomeUnknownError("the group has forgotten this client's session"));
    }
    this.#commands.clear();
    this.#commandBytes = 0;
    this.#admit();
  }

  #redirect(target: number): void {
    if (target !== this.#target) {
      this.#turnTo(target);
      return;
    }
    // It will be the primary, or does not know better: asked again soon, not at once.
    this.#resendTimer?.cancel();
    this.#resendTimer = this.#options.world.clock.after(REDIRECT_MS, () => this.#resendAll());
  }

  #tick(): void {
    const nowMs = this.#options.world.clock.monotonicMs();
    if (this.#owed === 0) return;
    this.#expire(nowMs);
    // Where all were tried in vain it is the network, or what is asked, that takes long: asking faster would make it worse.
    const { length } = this.#options.replicas;
    const patience = Math.min(PATIENCE_MAX, 2 ** Math.floor(this.#silences / length));
    if (nowMs - this.#lastAnswerMs <= this.#attemptMs * patience) return;
    this.#silences += 1;
    this.#turnTo((this.#target + 1) % length);
  }

  #expire(nowMs: number): void {
    const isDue = ({ deadlineMs }: Call) => deadlineMs <= nowMs;
    for (const calls of [this.#commands, this.#queries]) {
      for (const [number, call] of calls) {
        if (isDue(call)) this.#end(calls, number)?.reject(timedOut(call, this.#timeoutMs));
      }
    }
    for (const call of this.#waiting.filter(isDue))
      call.reject(new RefusedError("no primary was found in time"));
    this.#waiting = this.#waiting.filter((call) => !isDue(call));
    this.#admit();
  }

  /** Gives up what is under way. */
  close(): void {
    this.#isClosed = true;
    this.#ticker.cancel();
    this.#resendTimer?.cancel();
    for (const line of this.#lines) line.stop();
    for (const call of [...this.#commands.values(), ...this.#queries.values()]) {
      call.reject(new OutcomeUnknownError("the client was closed"));
    }
    for (const call of this.#waiting) call.reject(new RefusedError("the client was closed"));
    this.#commands.clear();
    this.#queries.clear();
    this.#waiting = [];
  }
}

function timedOut({ kind }: Call, timeoutMs: number): Error {
  const reason = `no answer within ${timeoutMs / 1000} s`;
  return kind === "query" ? new RefusedError(reason) : new OutcomeUnknownError(reason);
}
