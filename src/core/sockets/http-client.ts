/**
 * One HTTP exchange with bounds: a deadline for the whole of it and a limit for the answer.
 *
 * Built on fetch, so it runs in Bun, Node and browsers; `tls` has an effect in Bun only. Invariant: the promise settles
 * within the deadline, and never more than `answerBytesMax` is kept of what a peer sends.
 */
import { connectReason } from "../connect-reason.ts";
import { NxError } from "../errors.ts";
import { readStream } from "./request-body.ts";

export interface HttpExchange {
  url: string;
  method?: "GET" | "POST";
  headers?: Record<string, string>;
  body?: Uint8Array<ArrayBuffer>;
  deadlineMs: number;
  answerBytesMax: number;
  /** `isVerified: false` takes any certificate. `cert` and `key`: the client's own. */
  tls?: { ca?: string; cert?: string; key?: string; isVerified?: boolean };
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
  const { deadlineMs, signal } = exchange;
  const deadline = AbortSignal.timeout(deadlineMs);
  return open(exchange, signal === undefined ? deadline : AbortSignal.any([deadline, signal]));
}

type Opening = Omit<HttpExchange, "deadlineMs" | "answerBytesMax" | "signal">;

/** `isEndless`: not even the runtime, which gives an exchange some minutes, ends it. */
function open(opening: Opening, signal: AbortSignal, isEndless = false): Promise<Response> {
  const { url, method = "GET", headers, body, tls } = opening;
  const { isVerified = true, ...files } = tls ?? {};
  return fetch(url, {
    method,
    redirect: "error",
    signal,
    ...(headers !== undefined && { headers }),
    ...(body !== undefined && { body }),
    ...(isEndless && { timeout: false }),
    ...(opening.isConnectionFresh === true && { keepalive: false }),
    ...(tls !== undefined && { tls: { ...files, rejectUnauthorized: isVerified } }),
  } as BunFetchRequestInit);
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

/**
 * An answer that goes on for as long as the peer likes, handed on piece by piece; only its beginning has a deadline. Resolves when
 * the peer or `signal` ends it. Throws NX_CONNECT_FAILED; what `onChunk` throws ends it too.
 */
export async function httpFollow(
  opening: Opening & { beginMs: number; signal: AbortSignal },
  onHead: (status: number) => void,
  onChunk: (chunk: Uint8Array) => void,
): Promise<void> {
  const ending = new AbortController();
  const end = () => ending.abort();
  opening.signal.addEventListener("abort", end);
  const beginning = setTimeout(end, opening.beginMs);
  try {
    const response = await open(opening, ending.signal, true);
    clearTimeout(beginning);
    onHead(response.status);
    const reader = response.body?.getReader();
    if (reader === undefined) return;
    for (let part = await reader.read(); !part.done; part = await reader.read()) onChunk(part.value);
  } catch (error) {
    if (!opening.signal.aborted)
      throw exchangeError({ url: opening.url, deadlineMs: opening.beginMs, answerBytesMax: 0 }, error);
  } finally {
    clearTimeout(beginning);
    opening.signal.removeEventListener("abort", end);
    ending.abort();
  }
}

function exchangeError({ url, deadlineMs }: HttpExchange, error: unknown): Error {
  if (error instanceof NxError) return error;
  const { name, message } = error as Error;
  const reason =
    name === "TimeoutError"
      ? `no complete answer within ${deadlineMs} ms`
      : (connectReason(error) ?? message);
  return new NxError("NX_CONNECT_FAILED", `${url}: ${reason}`, {
    hint: "is it running, and does it listen on this address?",
    cause: error,
  });
}
