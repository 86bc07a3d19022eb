/**
 * Asks a running instance over its admin endpoint: HTTP on the unix socket `<dataDir>/admin.sock`.
 *
 * Invariant: an answer comes within the timeout or NX_NOT_RUNNING says why there is none; the caller never
 * hangs on an instance that accepted the connection and went silent.
 */
import { errnoOf, NxError } from "./errors.ts";

const BODY_BYTES_MAX = 64 * 1024 * 1024;

export interface AdminAnswer {
  status: number;
  body: string;
}

/** GET `path` (`/readyz`). Throws NX_NOT_RUNNING when nobody answers on the socket. */
export async function adminGet(socket: string, path: string, timeoutMs: number): Promise<AdminAnswer> {
  try {
    const response = await fetch(`http://localhost${path}`, {
      unix: socket,
      signal: AbortSignal.timeout(timeoutMs),
      redirect: "error",
    });
    const body = await response.text();
    if (body.length > BODY_BYTES_MAX) throw new Error("the answer is too long");
    return { status: response.status, body };
  } catch (error) {
    throw new NxError("NX_NOT_RUNNING", `${socket}: ${reasonOf(error, timeoutMs)}`, {
      hint: "start the instance, or check its data directory with `node-x config show`",
      cause: error,
    });
  }
}

function reasonOf(error: unknown, timeoutMs: number): string {
  const { name, code, message } = error as { name?: string; code?: string; message?: string };
  if (name === "TimeoutError") return `no answer within ${timeoutMs} ms`;
  if (errnoOf(error) === "ENOENT" || code === "FailedToOpenSocket") return "nobody listens on this socket";
  return message ?? String(error);
}
