/**
 * The host's end of a conversation: reads questions, lets handlers answer them, several at a time.
 *
 * Invariant: no question goes without an answer or an error while the connection lasts, and when the operator
 * is gone (end of input) every running handler is told through its signal. A question that does not fit the
 * table of methods is refused before any handler sees it.
 */
import { errnoOf, NxError } from "../../core/errors.ts";
import type { ByteStream } from "./byte-stream.ts";
import { encodeFrame, FrameKind, FrameReader, type Frame } from "./frame.ts";
import { methods, type AgentEvent, type Method, type Params, type Result } from "./messages.ts";

export interface Question<Name extends Method> {
  params: Params<Name>;
  block: Uint8Array;
  emit(event: AgentEvent<Name>): Promise<void>;
  /** Aborted when the operator cancels or is gone. */
  signal: AbortSignal;
}

export type Handler<Name extends Method> = (
  question: Question<Name>,
) => Promise<Result<Name> | { result: Result<Name>; block: Uint8Array }>;

export type Handlers = { [Name in Exclude<Method, "cancel">]: Handler<Name> };

/** Serves until the other end closes. */
export async function serveAgent(stream: ByteStream, handlers: Handlers): Promise<void> {
  const running = new Map<number, AbortController>();
  const reader = new FrameReader();
  const answers = new Set<Promise<void>>();
  try {
    for await (const chunk of stream.incoming) {
      for (const frame of reader.feed(chunk)) {
        const answer = answerTo(frame, { stream, handlers, running });
        answers.add(answer);
        void answer.finally(() => answers.delete(answer));
      }
    }
  } finally {
    for (const controller of running.values()) controller.abort();
    await Promise.allSettled(answers);
    stream.close();
  }
}

interface Serving {
  stream: ByteStream;
  handlers: Handlers;
  running: Map<number, AbortController>;
}

async function answerTo(frame: Frame, { stream, handlers, running }: Serving): Promise<void> {
  const { number } = frame;
  const controller = new AbortController();
  const send = (kind: FrameKind, body: unknown, block?: Uint8Array) =>
    stream.write(encodeFrame({ kind, number, body, ...(block !== undefined && { block }) }));
  running.set(number, controller);
  try {
    const { method, params } = check(frame);
    if (method === "cancel") {
      running.get((params as Params<"cancel">).number)?.abort();
      await send(FrameKind.answer, {});
      return;
    }
    const handler = handlers[method] as unknown as (question: Question<Method>) => Promise<unknown>;
    const answer = await handler({
      params,
      block: frame.block,
      emit: (event) => send(FrameKind.event, event),
      signal: controller.signal,
    });
    const { result, block } = isWithBlock(answer) ? answer : { result: answer, block: undefined };
    await send(FrameKind.answer, result, block);
  } catch (thrown) {
    // When even the error cannot be sent, the operator is gone, and the end of input says so.
    await send(FrameKind.error, bodyOf(thrown)).catch(() => undefined);
  } finally {
    running.delete(number);
  }
}

function isWithBlock(answer: unknown): answer is { result: unknown; block: Uint8Array } {
  return typeof answer === "object" && answer !== null && "block" in answer;
}

function check({ kind, body }: Frame): { method: Method; params: Params<Method> } {
  const { method, params } = (body ?? {}) as { method?: unknown; params?: unknown };
  if (kind !== FrameKind.question || typeof method !== "string" || !Object.hasOwn(methods, method)) {
    throw new NxError("NX_AGENT_PROTOCOL", `the agent does not know "${String(method)}"`, {
      hint: "operator and agent are of different versions; deploying again brings the agent up to date",
    });
  }
  const parsed = methods[method as Method].params.safeParse(params);
  if (!parsed.success) {
    throw new NxError("NX_AGENT_PROTOCOL", `"${method}" was asked wrongly: ${parsed.error.message}`);
  }
  return { method: method as Method, params: parsed.data as Params<Method> };
}

function bodyOf(thrown: unknown): { code: string; message: string; hint?: string } {
  if (thrown instanceof NxError) {
    const { code, message, hint } = thrown;
    return { code, message, ...(hint !== undefined && { hint }) };
  }
  const errno = errnoOf(thrown);
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return { code: "NX_INTERNAL", message: errno === undefined ? message : `${message} (${errno})` };
}
