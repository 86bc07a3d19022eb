/**
 * A plain client of the client protocol, for tests and measurements: it sends requests, gathers runs and acknowledges them, and
 * nothing else. What a run brings is laid over what it knew, so `view` is what a closure would see.
 */
import { decodeServerMessage, encodeClientMessage } from "../../src/reactive/client-wire/codec.ts";
import {
  type ClientMessage,
  CONNECT_PATH,
  type FailureCode,
  type Run,
  type ServerMessage,
} from "../../src/reactive/client-wire/messages.ts";
import {
  decodeValue,
  encodeOperations,
  type Operation,
  type Value,
} from "../../src/reactive/shard/operations.ts";
import type { Access, Level } from "../../src/reactive/shard/transaction.ts";

type Requests = Extract<ClientMessage, { request: number }>;
type WithoutRequest<Message> = Message extends unknown ? Omit<Message, "request"> : never;
export type Question = WithoutRequest<Requests>;

export class FailedError extends Error {
  readonly code: FailureCode;

  constructor(code: FailureCode, text: string) {
    super(`${code}: ${text}`);
    this.code = code;
  }
}

export interface PlainClientOptions {
  token?: string;
  client?: number;
  unackedMax?: number;
  /** Runs are acknowledged as they come, unless this says otherwise. */
  acknowledges?: boolean;
  headers?: Record<string, string>;
  isTls?: boolean;
}

/** One run, with all that the watch reads. */
export interface SeenRun {
  at: number;
  run: Run;
  view: Map<string, Value>;
  /** When it arrived, by the monotonic clock. */
  arrivedMs: number;
}

export const bytesOf = (text: string) => new TextEncoder().encode(text);
export const textOf = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

/** A value as a test compares it. */
export function plain(value: Value | undefined): unknown {
  switch (value?.type) {
    case "bytes":
      return textOf(value.bytes);
    case "counter":
      return Number(value.count);
    case "list":
    case "set":
      return value.elements.map(textOf);
    case "map":
      return Object.fromEntries(value.entries.map(([field, content]) => [textOf(field), textOf(content)]));
    default:
      return undefined;
  }
}

export class PlainClient {
  readonly client: number;
  welcome: Extract<ServerMessage, { type: "welcome" }> | undefined;
  readonly runs: SeenRun[] = [];
  readonly progress: number[] = [];
  acknowledges: boolean;
  onRun: (seen: SeenRun) => void = () => {};
  /** Why the connection ended. */
  readonly ended: Promise<{ code: number; failure: FailedError | undefined }>;
  readonly #socket: WebSocket;
  readonly #views = new Map<number, Map<string, Value>>();
  readonly #answers = new Map<
    number,
    { resolve(message: ServerMessage): void; reject(error: Error): void }
  >();
  #request = 0;
  #number = 0;
  #failure: FailedError | undefined;
  /** Why the connection is gone. */
  #gone: Error | undefined;

  static async connect(port: number, options: PlainClientOptions = {}): Promise<PlainClient> {
    const client = new PlainClient(port, options);
    await client.#greeted.promise;
    return client;
  }

  readonly #greeted = Promise.withResolvers<void>();

  private constructor(port: number, options: PlainClientOptions) {
    const { token = "", client = 1 + Math.floor(Math.random() * 2 ** 52), unackedMax = 4, headers } = options;
    this.client = client;
    this.acknowledges = options.acknowledges ?? true;
    const scheme = options.isTls === true ? "wss" : "ws";
    this.#socket = new WebSocket(`${scheme}://127.0.0.1:${port}${CONNECT_PATH}`, {
      ...(headers !== undefined && { headers }),
      ...(options.isTls === true && { tls: { rejectUnauthorized: false } }),
    } as never);
    this.#socket.binaryType = "arraybuffer";
    const ended = Promise.withResolvers<{ code: number; failure: FailedError | undefined }>();
    this.ended = ended.promise;
    this.#socket.addEventListener("open", () =>
      this.send({ type: "hello", protocols: [1], client, token, unackedMax }),
    );
    this.#socket.addEventListener("message", ({ data }) =>
      this.#take(decodeServerMessage(new Uint8Array(data as ArrayBuffer))),
    );
    this.#socket.addEventListener("close", ({ code }) => {
      const error = this.#failure ?? new Error(`closed with ${code}`);
      this.#gone = error;
      this.#greeted.reject(error);
      for (const { reject } of this.#answers.values()) reject(error);
      this.#answers.clear();
      ended.resolve({ code, failure: this.#failure });
    });
  }

  send(message: ClientMessage): void {
    this.#socket.send(encodeClientMessage(message));
  }

  /** Sends what no message is. */
  sendRaw(data: Uint8Array<ArrayBuffer> | string): void {
    this.#socket.send(data);
  }

  async ask<Type extends ServerMessage["type"]>(
    question: Question,
    wanted: Type,
  ): Promise<Extract<ServerMessage, { type: Type }>> {
    if (this.#gone !== undefined) throw this.#gone;
    const request = ++this.#request;
    const { promise, resolve, reject } = Promise.withResolvers<ServerMessage>();
    this.#answers.set(request, { resolve, reject });
    this.send({ ...question, request } as ClientMessage);
    const answer = await promise;
    if (answer.type !== wanted) throw new Error(`wanted ${wanted}, got ${answer.type}`);
    return answer as Extract<ServerMessage, { type: Type }>;
  }

  watch(
    watch: number,
    keys: readonly string[],
    {
      at = 0,
      delayMs = 0,
      prefixes = [],
    }: { at?: number; delayMs?: number; prefixes?: readonly string[] } = {},
  ) {
    return this.ask(
      { type: "watch", watch, at, delayMs, keys: keys.map(bytesOf), prefixes: prefixes.map(bytesOf) },
      "watching",
    );
  }

  async read(keys: readonly string[], at = 0): Promise<{ at: number; values: unknown[] }> {
    const answer = await this.ask({ type: "read", at, keys: keys.map(bytesOf) }, "values");
    return {
      at: answer.at,
      values: answer.versions.map(({ type, value }) => plain(decodeValue(type, value))),
    };
  }

  /** Commits operations on keys, and what was read of them; the outcome. */
  async commit(
    operations: readonly (readonly [key: string, operation: Operation])[],
    more: { reads?: Access[]; level?: Level; snapshot?: number; number?: number } = {},
  ) {
    const number = more.number ?? ++this.#number;
    const writes = operations.map(([key, operation]): Access => ({
      key: bytesOf(key),
      reads: [],
      operations: encodeOperations([operation]),
    }));
    const { outcome } = await this.ask(
      {
        type: "commit",
        transaction: {
          id: { client: this.client, number },
          floor: 0,
          level: more.level,
          snapshot: more.snapshot ?? 0,
          accesses: [...(more.reads ?? []), ...writes],
        },
      },
      "settled",
    );
    return outcome;
  }

  /** Puts texts; throws unless that is committed. Returns the timestamp. */
  async put(values: Record<string, string>): Promise<number> {
    const outcome = await this.commit(
      Object.entries(values).map(([key, text]) => [
        key,
        { kind: "put", value: { type: "bytes", bytes: bytesOf(text) } },
      ]),
    );
    if (outcome.kind !== "committed") throw new Error(`not committed: ${JSON.stringify(outcome)}`);
    return outcome.timestamp;
  }

  runsOf(watch: number): SeenRun[] {
    return this.runs.filter(({ run }) => run.watch === watch);
  }

  #take(message: ServerMessage): void {
    if (message.type === "welcome") {
      this.welcome = message;
      this.#greeted.resolve();
    } else if (message.type === "runs") this.#run(message);
    else if (message.type === "progress") this.progress.push(message.at);
    else if (message.type === "failed" && message.request === 0)
      this.#failure = new FailedError(message.code, message.text);
    else if (message.type !== "pong") {
      const answer = this.#answers.get(message.request);
      this.#answers.delete(message.request);
      if (message.type === "failed") answer?.reject(new FailedError(message.code, message.text));
      else answer?.resolve(message);
    }
  }

  #run({ at, runs }: Extract<ServerMessage, { type: "runs" }>): void {
    for (const run of runs) {
      const view = new Map(this.#views.get(run.watch));
      for (const { key, type, value } of run.values) view.set(textOf(key), decodeValue(type, value));
      this.#views.set(run.watch, view);
      const seen = { at, run, view, arrivedMs: performance.now() };
      this.runs.push(seen);
      this.onRun(seen);
    }
    if (this.acknowledges) this.send({ type: "ack", at });
  }

  async close(): Promise<void> {
    this.#socket.close();
    await this.ended;
  }

  /** As if the process had died. */
  terminate(): void {
    (this.#socket as WebSocket & { terminate(): void }).terminate();
  }

  [Symbol.dispose](): void {
    this.terminate();
  }
}
