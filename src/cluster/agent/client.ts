/**
 * The operator's end of a conversation with an agent: questions out, answers, events and errors in.
 *
 * Invariant: every question settles. It is answered, fails with the agent's error, or fails with the reason
 * why the connection ended; what it was asked to do may then have happened or not, and only a new connection
 * can tell.
 */
import { NxError } from "../../core/errors.ts";
import type { ByteStream } from "./byte-stream.ts";
import { encodeFrame, FrameKind, FrameReader, type Frame } from "./frame.ts";
import { agentError, methods, type AgentEvent, type Method, type Params, type Result } from "./messages.ts";

export interface CallOptions<Name extends Method> {
  block?: Uint8Array;
  onEvent?(event: AgentEvent<Name>): void;
  /** Asks the agent to end this question early. */
  signal?: AbortSignal;
}

export interface Answer<Name extends Method> {
  result: Result<Name>;
  block: Uint8Array;
}

interface Waiting {
  method: Method;
  onEvent(event: unknown): void;
  resolve(frame: Frame): void;
  reject(error: Error): void;
}

/** Why a connection ended, in words for people: ssh's own, for example. */
export type EndReason = (noise: string) => Promise<Error> | Error;

export class AgentClient {
  readonly host: string;
  readonly #stream: ByteStream;
  readonly #waiting = new Map<number, Waiting>();
  readonly #reader = new FrameReader();
  #lastNumber = 0;
  #end: Error | undefined;
  /** As the agent said it in its first answer; empty when it did not. */
  machineId = "";
  /** Bytes handed to the connection, for those who measure. */
  sentBytes = 0;
  /** Resolves when the connection is over, with the reason. */
  readonly ended: Promise<Error>;

  constructor(host: string, stream: ByteStream, whyEnded: EndReason) {
    this.host = host;
    this.#stream = stream;
    this.ended = this.#read(whyEnded);
  }

  get isOpen(): boolean {
    return this.#end === undefined;
  }

  /** Asks and waits for the answer. Throws what the agent threw, or why the connection ended. */
  async call<Name extends Method>(
    method: Name,
    params: Params<Name>,
    { block, onEvent, signal }: CallOptions<Name> = {},
  ): Promise<Answer<Name>> {
    if (this.#end !== undefined) throw this.#end;
    const number = ++this.#lastNumber;
    const shape = methods[method];
    const answered = new Promise<Frame>((resolve, reject) => {
      const hear = (event: unknown) => {
        if ("event" in shape) onEvent?.(shape.event.parse(event) as AgentEvent<Name>);
      };
      this.#waiting.set(number, { method, resolve, reject, onEvent: hear });
    });
    answered.catch(() => undefined); // it may fail while we are still writing
    const cancel = () => void this.call("cancel", { number }).catch(() => undefined);
    signal?.addEventListener("abort", cancel, { once: true });
    try {
      const question = { kind: FrameKind.question, number, body: { method, params } } as const;
      await this.#write(encodeFrame(block === undefined ? question : { ...question, block }));
      if (signal?.aborted === true) cancel();
      const frame = await answered;
      return { result: shape.result.parse(frame.body) as Result<Name>, block: frame.block };
    } catch (error) {
      throw error instanceof NxError ? error : this.#protocolError(method, error as Error);
    } finally {
      signal?.removeEventListener("abort", cancel);
      this.#waiting.delete(number);
    }
  }

  close(): void {
    this.#end ??= new NxError("NX_HOST_LOST", `${this.host}: the connection was closed`);
    this.#stream.close();
  }

  async #write(bytes: Uint8Array): Promise<void> {
    this.sentBytes += bytes.byteLength;
    try {
      await this.#stream.write(bytes);
    } catch {
      throw await this.ended;
    }
  }

  async #read(whyEnded: EndReason): Promise<Error> {
    try {
      for await (const chunk of this.#stream.incoming) {
        for (const frame of this.#reader.feed(chunk)) this.#take(frame);
      }
    } catch (error) {
      this.#stream.close();
      this.#end ??= error instanceof NxError ? this.#at(error) : undefined;
    }
    this.#end ??= await whyEnded(this.#reader.noise);
    for (const { reject } of this.#waiting.values()) reject(this.#end);
    this.#waiting.clear();
    return this.#end;
  }

  #take({ kind, number, body, block }: Frame): void {
    const waiting = this.#waiting.get(number);
    if (waiting === undefined) return; // nobody waits any more
    try {
      if (kind === FrameKind.event) waiting.onEvent(body);
      else if (kind === FrameKind.answer) waiting.resolve({ kind, number, body, block });
      else if (kind === FrameKind.error) {
        const { code, message, hint } = agentError.parse(body);
        waiting.reject(
          new NxError(code, `${this.host}: ${message}`, { ...(hint !== undefined && { hint }) }),
        );
      }
    } catch (error) {
      waiting.reject(this.#protocolError(waiting.method, error as Error));
    }
  }

  #at(error: NxError): NxError {
    return new NxError(error.code, `${this.host}: ${error.message}`, { cause: error });
  }

  #protocolError(method: Method, cause: Error): NxError {
    return new NxError(
      "NX_AGENT_PROTOCOL",
      `${this.host}: the answer to "${method}" is not as agreed: ${cause.message}`,
      { hint: "is the agent of another version? deploying again brings it up to date", cause },
    );
  }
}
