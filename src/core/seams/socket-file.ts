/**
 * The file of a unix socket: who may connect is said by its mode from its first moment on.
 *
 * Invariant: nothing is removed but a socket that nobody listens on. Such a file is what a crash leaves; an orderly stop
 * takes it away.
 */
import { chmodSync, lstatSync, rmSync } from "node:fs";
import { errnoOf, NxError } from "../errors.ts";

/** The kernel's limit for the path of a unix socket, without the closing zero. */
export const SOCKET_PATH_BYTES_MAX = 107;

/** Runs `bind`, which makes the file of a socket; it never had another mode than `mode`. */
export function boundWithMode<Bound>(path: string, mode: number, bind: () => Bound): Bound {
  const mask = process.umask(0o777 & ~mode);
  try {
    const bound = bind();
    chmodSync(path, mode);
    return bound;
  } finally {
    process.umask(mask);
  }
}

/** As boundWithMode, where a dead process may have left its socket. Throws NX_LISTEN_IN_USE / NX_LISTEN_DENIED. */
export async function bindSocketFile<Bound>(path: string, mode: number, bind: () => Bound): Promise<Bound> {
  const length = Buffer.byteLength(path);
  if (length > SOCKET_PATH_BYTES_MAX) {
    const what = `the path of a socket has at most ${SOCKET_PATH_BYTES_MAX} bytes, this one ${length}: ${path}`;
    throw new NxError("NX_LISTEN_DENIED", what, { hint: "choose a shorter path" });
  }
  await removeDeadSocket(path);
  try {
    return boundWithMode(path, mode, bind);
  } catch (error) {
    throw refusal(path, error);
  }
}

async function removeDeadSocket(path: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket())
    throw new NxError("NX_LISTEN_DENIED", `${path} is there already, and is no socket`, {
      hint: "choose another path, or move that file away",
    });
  try {
    const connection = await Bun.connect({ unix: path, socket: { data() {} } });
    connection.end();
  } catch (error) {
    // Whoever bound it is gone.
    if (errnoOf(error) === "ECONNREFUSED") return rmSync(path, { force: true });
    throw refusal(path, error);
  }
  throw new NxError("NX_LISTEN_IN_USE", `another process listens on the socket ${path}`, {
    hint: `stop the process that \`ss -xlp src ${path}\` shows, or choose another path`,
  });
}

function refusal(path: string, error: unknown): NxError {
  const hints: Record<string, string> = {
    ENOENT: "its directory must exist",
    EACCES: "let this user write in its directory",
    EPERM: "let this user write in its directory",
  };
  const errno = errnoOf(error) ?? (error as Error).message;
  return new NxError("NX_LISTEN_DENIED", `no socket can be made at ${path}: ${errno}`, {
    hint: hints[errno] ?? "it must be on a file system that has sockets",
    cause: error,
  });
}
