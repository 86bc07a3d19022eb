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

export async function searchLogs(
  { address = "127.0.0.1" }: Target,
  { snapshot }: Watched,
  question: LogQuestion,
  tls: { ca?: string },
): Promise<LogAnswer> {
  const { httpPort } = snapshot.ports;
  if (httpPort === undefined)
    throw new LogSearchError(`${snapshot.name} has no httpPort: it cannot be searched`);
  const { channel, limit, ignoreCase, ...rest } = question;
  const words = new URLSearchParams({ limit: String(Math.min(limit, LINES_MAX)) });
  for (const [key, value] of Object.entries(rest))
    if (value !== undefined && value !== "") words.set(key, value);
  if (ignoreCase === true && words.has("regex")) words.set("ignoreCase", "true");
  const host = address.includes(":") ? `[${address}]` : address;
  const path = `${host}:${httpPort}/channels/${encodeURIComponent(channel)}/records?${words}`;
  const exchange = { deadlineMs: DEADLINE_MS, answerBytesMax: ANSWER_BYTES_MAX, tls };
  const answer = await httpExchange({
    ...exchange,
    url: `${tls.ca === undefined ? "http" : "https"}://${path}`,
  });
  const text = new TextDecoder().decode(answer.body);
  if (answer.status !== 200)
    throw new LogSearchError(errorOf(text) ?? `${snapshot.name} answers ${answer.status}`);
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
