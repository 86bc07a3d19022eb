/**
 * Calls etcd over the JSON gateway that every member has on its client port.
 *
 * Invariant: everything that is sent through here may be sent twice: the engine's transactions carry their own name. So a call goes
 * to one member after the other until one answers, and only when none does in time is it given up: with RefusedError where nothing can
 * have happened, with OutcomeUnknownError where something may have. The password and tokens are in no message, log or address.
 */
import type { Clock } from "../../../core/seams/clock.ts";
import { sleep } from "../../../core/seams/clock.ts";
import { httpExchange, httpFollow } from "../../../core/sockets/http-client.ts";
import { OutcomeUnknownError, RefusedError } from "../../failures.ts";
import { failureOf, NoAnswerError, TokenError } from "./answers.ts";
import type { Methods, WatchAnswer } from "./messages.ts";
import { LineReader } from "./line-reader.ts";

export interface GatewayOptions {
  clock: Clock;
  /** `http://HOST:PORT` of each member. */
  endpoints: readonly string[];
  tls?: { ca?: string; cert?: string; key?: string } | undefined;
  credentials?: { name: string; password: string } | undefined;
  /** A member that has not answered for this long is left for the next one. */
  attemptMs: number;
  /** A call without an answer for this long is given up. */
  timeoutMs: number;
}

export interface WatchOptions {
  key: string;
  rangeEnd: string;
  startRevision: number;
  signal: AbortSignal;
  onAnswer(answer: WatchAnswer): void;
}

/** What the engine needs of etcd; tests put faults between. */
export interface Etcd {
  /** `read`: nothing is done by it. */
  call<Path extends keyof Methods>(
    path: Path,
    request: Methods[Path][0],
    kind: "read" | "write",
  ): Promise<Methods[Path][1]>;
  /** Resolves or rejects when the watch has ended, whoever ended it. */
  watch(options: WatchOptions): Promise<void>;
}

const ANSWER_BYTES_MAX = 1 << 30;
/** Before the members are asked again when all were asked in vain. */
const ROUND_MS = 50;

export class Gateway implements Etcd {
  readonly #options: GatewayOptions;
  /** The member that answered last. */
  #target = 0;
  #token: Promise<string> | undefined;
  #trouble: string | undefined;
  readonly #ending = new AbortController();
  readonly figures = { calls: 0, movedOn: 0, logins: 0 };

  constructor(options: GatewayOptions) {
    this.#options = options;
  }

  get endpoint(): string {
    const { endpoints } = this.#options;
    return endpoints[this.#target % endpoints.length] as string;
  }

  /** Why no member answered a call when all were asked; undefined: one has since. */
  get trouble(): string | undefined {
    return this.#trouble;
  }

  async call<Path extends keyof Methods>(
    path: Path,
    request: Methods[Path][0],
    kind: "read" | "write",
  ): Promise<Methods[Path][1]> {
    const { clock, timeoutMs } = this.#options;
    const deadlineMs = clock.monotonicMs() + timeoutMs;
    let mayBeDone = false;
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#attempt(path, request, deadlineMs - clock.monotonicMs());
      } catch (error) {
        // An earlier attempt may have been carried out, whatever a later one is told.
        if (error instanceof RefusedError && mayBeDone) throw new OutcomeUnknownError(error.message);
        if (!(error instanceof NoAnswerError)) throw error;
        mayBeDone ||= kind === "write" && !error.isUnsent;
        if (clock.monotonicMs() >= deadlineMs || this.#ending.signal.aborted)
          throw mayBeDone ? new OutcomeUnknownError(error.message) : new RefusedError(error.message);
        if (attempt % this.#options.endpoints.length !== 0) continue;
        this.#trouble = error.message;
        await sleep(clock, ROUND_MS);
      }
    }
  }

  /** Asks the present member; one that does not answer is left for the next. Throws NoAnswerError, and what failureOf says. */
  async #attempt<Path extends keyof Methods>(
    path: Path,
    request: Methods[Path][0],
    leftMs: number,
  ): Promise<Methods[Path][1]> {
    const { endpoint } = this;
    try {
      const answer = await this.#authorized((headers) =>
        this.#exchange(endpoint, path, request, headers, leftMs),
      );
      this.#trouble = undefined;
      return answer;
    } catch (error) {
      if (error instanceof NoAnswerError) this.#leave(endpoint);
      throw error;
    }
  }

  #leave(endpoint: string): void {
    if (this.endpoint !== endpoint) return;
    this.#target = (this.#target + 1) % this.#options.endpoints.length;
    this.figures.movedOn += 1;
  }

  async #exchange<Path extends keyof Methods>(
    endpoint: string,
    path: Path,
    request: Methods[Path][0],
    headers: Record<string, string>,
    leftMs: number,
  ): Promise<Methods[Path][1]> {
    const { attemptMs, tls } = this.#options;
    this.figures.calls += 1;
    const answer = await httpExchange({
      url: `${endpoint}/v3${path}`,
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: new TextEncoder().encode(JSON.stringify(request)),
      deadlineMs: Math.max(1, Math.ceil(Math.min(attemptMs, leftMs))),
      answerBytesMax: ANSWER_BYTES_MAX,
      signal: this.#ending.signal,
      ...(tls !== undefined && { tls }),
    }).catch((error: Error) => {
      const { code } = (error.cause ?? {}) as { code?: unknown };
      throw new NoAnswerError(error.message, code === "ECONNREFUSED" || code === "ConnectionRefused");
    });
    const body = parsed(new TextDecoder().decode(answer.body));
    if (answer.status !== 200 || body === undefined) throw failureOf(answer.status, body);
    return body as Methods[Path][1];
  }

  // --- who we are ------------------------------------------------------------------------------------------------

  /** With a token, where credentials are configured; one that is not accepted any more is replaced once. */
  async #authorized<Answer>(ask: (headers: Record<string, string>) => Promise<Answer>): Promise<Answer> {
    if (this.#options.credentials === undefined)
      return ask({}).catch((error: unknown) => {
        if (!(error instanceof TokenError)) throw error;
        throw new RefusedError("etcd wants a user: configure engine.etcd.user and passwordFile");
      });
    const token = this.#logIn();
    try {
      return await ask({ authorization: await token });
    } catch (error) {
      if (!(error instanceof TokenError)) throw error;
      if (this.#token === token) this.#token = undefined;
      return ask({ authorization: await this.#logIn() }).catch((again: unknown) => {
        throw again instanceof TokenError ? new NoAnswerError("etcd does not accept its own token") : again;
      });
    }
  }

  #logIn(): Promise<string> {
    if (this.#token !== undefined) return this.#token;
    const { credentials, attemptMs } = this.#options;
    const { name, password } = credentials as { name: string; password: string };
    this.figures.logins += 1;
    const token = this.#exchange(this.endpoint, "/auth/authenticate", { name, password }, {}, attemptMs)
      .then((answer) => answer.token ?? "")
      .catch((error: Error) => {
        this.#token = undefined;
        throw error instanceof NoAnswerError ? error : new RefusedError(`${error.message} (user "${name}")`);
      });
    this.#token = token;
    return token;
  }

  // --- watches ---------------------------------------------------------------------------------------------------

  async watch({ key, rangeEnd, startRevision, signal, onAnswer }: WatchOptions): Promise<void> {
    const { endpoint } = this;
    try {
      await this.#authorized((headers) => {
        const create = { key, range_end: rangeEnd, start_revision: String(startRevision) };
        const request = { create_request: { ...create, progress_notify: true } };
        return this.#follow(endpoint, headers, request, signal, onAnswer);
      });
    } catch (error) {
      this.#leave(endpoint);
      throw error;
    }
  }

  async #follow(
    endpoint: string,
    headers: Record<string, string>,
    request: object,
    signal: AbortSignal,
    onAnswer: (answer: WatchAnswer) => void,
  ): Promise<void> {
    const { attemptMs, tls } = this.#options;
    let status = 0;
    const lines = new LineReader((line) => {
      const { result, error } = (parsed(line) ?? {}) as { result?: WatchAnswer; error?: unknown };
      if (result === undefined) throw failureOf(status, error ?? parsed(line));
      onAnswer(result);
    });
    await httpFollow(
      {
        url: `${endpoint}/v3/watch`,
        method: "POST",
        headers: { "content-type": "application/json", ...headers },
        body: new TextEncoder().encode(JSON.stringify(request)),
        beginMs: attemptMs,
        signal: AbortSignal.any([signal, this.#ending.signal]),
        ...(tls !== undefined && { tls }),
      },
      (got) => (status = got),
      (chunk) => lines.add(chunk),
    ).catch((error: Error & { cause?: unknown }) => {
      // What the reader of lines threw is wrapped as if the connection had failed.
      throw error.cause instanceof TokenError ? error.cause : error;
    });
  }

  close(): void {
    this.#ending.abort();
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
