/**
 * One HTTP exchange with bounds: a deadline for the whole of it and a limit for the answer.
 *
 * Built on fetch, so it runs in Bun, Node and browsers; `tls` has an effect in Bun only. Invariant: the promise settles
 * within the deadline, and never more than `answerBytesMax` is kept of what a peer sends.
 */
import { NxError } from "../errors.ts";
import { readStream } from "./request-body.ts";

export interface HttpExchange {
  url: string;
  method?: "GET" | "POST";
  body?: Uint8Array<ArrayBuffer>;
  deadlineMs: number;
  answerBytesMax: number;
  /** `isVerified: false` takes any certificate. */
  tls?: { ca?: string; isVerified?: boolean };
  /** Ends the exchange early. */
  signal?: AbortSignal;
  /** Opens a connection of its own for this exchange, and closes it. */
  isConnectionFresh?: boolean;
}

export interface HttpAnswer {
  status: number;
  headers: Headers;
  body: Uint8Array<ArrayBuffer>;
}

function begin(exchange: HttpExchange): Promise<Response> {
  const { url, method = "GET", body, deadlineMs, tls, signal } = exchange;
  const deadline = AbortSignal.timeout(deadlineMs);
  const options = {
    method,
    redirect: "error" as const,
    signal: signal === undefined ? deadline : AbortSignal.any([deadline, signal]),
    ...(body !== undefined && { body }),
    ...(exchange.isConnectionFresh === true && { keepalive: false }),
    ...(tls !== undefined && {
      tls: { ...(tls.ca !== undefined && { ca: tls.ca }), rejectUnauthorized: tls.isVerified ?? true },
    }),
  };
  return fetch(url, options);
}

/** Throws NX_CONNECT_FAILED with the reason when there is no complete answer in time. */
export async function httpExchange(exchange: HttpExchange): Promise<HttpAnswer> {
  try {
    const response = await begin(exchange);
    const body = await readStream(response.body, exchange.answerBytesMax);
    if (body === undefined) throw new Error(`the answer is longer than ${exchange.answerBytesMax} bytes`);
    return { status: response.status, headers: response.headers, body };
  } catch (error) {
    throw exchangeError(exchange, error);
  }
}

/** As `httpExchange`, handing the answer's body on piece by piece. Only answers with status 200 have `onChunk` called. */
export async function httpDownload(
  exchange: HttpExchange,
  onChunk: (chunk: Uint8Array) => Promise<void>,
): Promise<{ status: number; headers: Headers; bytes: number }> {
  try {
    const response = await begin(exchange);
    const { status, headers } = response;
    let bytes = 0;
    const reader = response.body?.getReader();
    if (status !== 200) await reader?.cancel();
    else if (reader !== undefined) {
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        bytes += part.value.byteLength;
        if (bytes > exchange.answerBytesMax) {
          await reader.cancel().catch(() => undefined);
          throw new Error(`the answer is longer than ${exchange.answerBytesMax} bytes`);
        }
        await onChunk(part.value);
      }
    }
    return { status, headers, bytes };
  } catch (error) {
    throw exchangeError(exchange, error);
  }
}

function exchangeError({ url, deadlineMs }: HttpExchange, error: unknown): Error {
  if (error instanceof NxError) return error;
  const { name, message } = error as Error;
  const reason = name === "TimeoutError" ? `no complete answer within ${deadlineMs} ms` : message;
  return new NxError("NX_CONNECT_FAILED", `${url}: ${reason}`, {
    hint: "is it running, and does it listen on this address?",
    cause: error,
  });
}
