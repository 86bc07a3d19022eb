/**
 * The page's search box: a question about a channel, put to the log store that has it.
 *
 * Invariant: an answer is bounded in lines, bytes and time; the store is asked at the address that its own figures tell, under
 * the path of a channel and nothing else.
 */
import { httpExchange } from "../core/sockets/http-client.ts";
import type { Target } from "../core/watch/scraper.ts";
import type { Watched } from "../core/watch/watched.ts";

export const LINES_MAX = 500;
const ANSWER_BYTES_MAX = 4 * 1024 * 1024;
const DEADLINE_MS = 20_000;

export interface LogQuestion {
  channel: string;
  contains?: string | undefined;
  regex?: string | undefined;
  ignoreCase?: boolean | undefined;
  from?: string | undefined;
  to?: string | undefined;
  limit: number;
}

export interface LogAnswer {
  /** One JSON text each, as the store sent them. */
  lines: string[];
}

/** Why there is no answer, in the store's words where it gave some. */
export class LogSearchError extends Error {}

/** Throws LogSearchError with the store's words, NX_CONNECT_FAILED when it is not reached. */
export async function searchLogs(
  { address = "127.0.0.1", endpoint }: Target,
  { snapshot }: Watched,
  question: LogQuestion,
  tls: { ca?: string },
): Promise<LogAnswer> {
  const { httpPort } = snapshot.ports;
  if (httpPort === undefined)
    throw new LogSearchError(`${snapshot.name} has no httpPort: it cannot be searched`);
  const host = address.includes(":") ? `[${address}]` : address;
  const place = `${host}:${httpPort}/channels/${encodeURIComponent(question.channel)}/records?${wordsOf(question)}`;
  // Its figures do not tell whether its ports speak TLS: what its admin endpoint speaks is the better guess.
  const schemes = "socket" in endpoint ? (["http", "https"] as const) : (["https", "http"] as const);
  let failure: unknown;
  for (const scheme of schemes) {
    try {
      return await ask(`${scheme}://${place}`, snapshot.name, scheme === "https" ? tls : {});
    } catch (error) {
      if (error instanceof LogSearchError) throw error;
      failure ??= error;
    }
  }
  throw failure;
}

function wordsOf({ channel: _, limit, ignoreCase, ...rest }: LogQuestion): URLSearchParams {
  const words = new URLSearchParams({ limit: String(Math.min(limit, LINES_MAX)) });
  for (const [key, value] of Object.entries(rest))
    if (value !== undefined && value !== "") words.set(key, value);
  if (ignoreCase === true && words.has("regex")) words.set("ignoreCase", "true");
  return words;
}

async function ask(url: string, name: string, tls: { ca?: string }): Promise<LogAnswer> {
  const answer = await httpExchange({ url, deadlineMs: DEADLINE_MS, answerBytesMax: ANSWER_BYTES_MAX, tls });
  const text = new TextDecoder().decode(answer.body);
  if (answer.status !== 200) throw new LogSearchError(errorOf(text) ?? `${name} answers ${answer.status}`);
  return { lines: text.split("\n").filter((line) => line !== "") };
}

function errorOf(text: string): string | undefined {
  try {
    const { error } = JSON.parse(text) as { error?: unknown };
    return typeof error === "string" ? error : undefined;
  } catch {
    return undefined;
  }
}
