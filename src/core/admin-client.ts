/**
 * Asks a running instance over its admin endpoint: HTTP on the unix socket `<dataDir>/admin.sock`, or over TCP where the
 * instance has an adminPort.
 *
 * Invariant: an answer comes within the timeout or NX_NOT_RUNNING says why there is none; the caller never hangs on an
 * instance that accepted the connection and went silent, and never keeps an answer of unbounded length.
 */
import { connectReason } from "./connect-reason.ts";
import { errnoOf, NxError } from "./errors.ts";

const BODY_LENGTH_MAX = 64 * 1024 * 1024;

export interface AdminAnswer {
  status: number;
  body: string;
}

/** Where an admin endpoint is and how to be let in. */
export type AdminTarget =
  | { socket: string }
  | {
      /** `https://host:port`, without a path. */
      url: string;
      token?: string;
      tls?: { ca?: string; cert?: string; key?: string };
    };

/**
 * GET `path` (`/readyz`) from a target, or from a socket by its path. Throws NX_NOT_RUNNING when nobody answers, or at more than
 * `lengthMax` characters.
 */
export function adminGet(
  target: AdminTarget | string,
  path: string,
  timeoutMs: number,
  lengthMax = BODY_LENGTH_MAX,
): Promise<AdminAnswer> {
  return adminRequest(target, path, timeoutMs, { lengthMax });
}

/** POST a JSON value. Throws NX_NOT_RUNNING when nobody answers. */
export function adminPost(
  target: AdminTarget | string,
  path: string,
  value: unknown,
  timeoutMs: number,
): Promise<AdminAnswer> {
  return adminRequest(target, path, timeoutMs, { method: "POST", body: JSON.stringify(value) });
}

async function adminRequest(
  target: AdminTarget | string,
  path: string,
  timeoutMs: number,
  { lengthMax = BODY_LENGTH_MAX, ...request }: { method?: string; body?: string; lengthMax?: number },
): Promise<AdminAnswer> {
  const to = typeof target === "string" ? { socket: target } : target;
  const where = "socket" in to ? to.socket : to.url;
  const common = { ...request, signal: AbortSignal.timeout(timeoutMs), redirect: "error" as const };
  try {
    const response =
      "socket" in to
        ? await fetch(`http://localhost${path}`, { ...common, unix: to.socket })
        : await fetch(`${to.url}${path}`, {
            ...common,
            ...(to.tls !== undefined && { tls: to.tls }),
            ...(to.token !== undefined && { headers: { authorization: `Bearer ${to.token}` } }),
          });
    return { status: response.status, body: await boundedText(response, lengthMax) };
  } catch (error) {
    throw new NxError("NX_NOT_RUNNING", `${where}: ${reasonOf(error, timeoutMs)}`, {
      hint: isSilent(error)
        ? "its process is there, but stuck, stopped or very busy: look at its log, and restart it if it stays so"
        : "start the instance, or check its data directory with `node-x config show`",
      cause: error,
    });
  }
}

async function boundedText(response: Response, lengthMax: number): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk, { stream: true });
    if (text.length > lengthMax) throw new Error("the answer is too long");
  }
  return text + decoder.decode();
}

/** Somebody has the socket open and says nothing. */
const isSilent = (error: unknown) => (error as { name?: string }).name === "TimeoutError";

function reasonOf(error: unknown, timeoutMs: number): string {
  const { code, message } = error as { code?: string; message?: string };
  if (isSilent(error)) return `no answer within ${timeoutMs} ms`;
  if (errnoOf(error) === "ENOENT" || code === "FailedToOpenSocket") return "nobody listens on this socket";
  return connectReason(error) ?? message ?? String(error);
}
