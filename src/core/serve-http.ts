/**
 * HTTP listeners for hono apps, on TCP or a unix socket, with Bun's traps handled in this one place.
 *
 * Invariant: `stop` always ends: Bun's graceful stop waits for ever while a stream is open, so it gets a deadline. An
 * admin socket is created with mode 0600 from the start, never opened wider and narrowed later.
 */
import { chmodSync, rmSync } from "node:fs";
import type { Hono } from "hono";
import type { Clock } from "./clock.ts";
import { listenError } from "./net-real.ts";
import type { TlsMaterial } from "./net.ts";

/** The kernel's limit for the path of a unix socket, without the closing zero. */
export const SOCKET_PATH_BYTES_MAX = 107;

export type HttpAddress = { host: string; port: number; tls?: TlsMaterial } | { socketPath: string };

export interface HttpServer {
  /** 0 for a unix socket. */
  readonly port: number;
  /** Lets running requests finish until the deadline, then cuts them. */
  stop(deadlineMs: number): Promise<void>;
}

export function serveHttp(app: Hono, address: HttpAddress, clock: Clock): HttpServer {
  const options = {
    fetch: (request: Request, server: unknown) => app.fetch(request, { server }),
    // Server-sent events may be silent for long; each handler that needs it lifts its own limit further.
    idleTimeout: 60,
    error: (error: Error) => new Response(`${error.message}\n`, { status: 500 }),
  };
  const server = "socketPath" in address ? onSocket(address.socketPath, options) : onPort(address, options);
  return {
    port: server.port ?? 0,
    async stop(deadlineMs) {
      const graceful = server.stop();
      await Promise.race([graceful, new Promise<void>((resolve) => clock.after(deadlineMs, resolve))]);
      await server.stop(true);
    },
  };
}

interface HandlerOptions {
  fetch(request: Request, server: unknown): Response | Promise<Response>;
  idleTimeout: number;
  error(error: Error): Response;
}

function onSocket(path: string, { idleTimeout: _, ...options }: HandlerOptions) {
  rmSync(path, { force: true }); // the caller holds the directory's lock, so a socket file here is a dead one's
  const mask = process.umask(0o177);
  try {
    return Bun.serve({ unix: path, ...options });
  } finally {
    process.umask(mask);
    chmodSync(path, 0o600);
  }
}

function onPort({ host, port, tls }: Exclude<HttpAddress, { socketPath: string }>, options: HandlerOptions) {
  try {
    return Bun.serve({
      hostname: host,
      port,
      ...options,
      ...(tls === undefined
        ? {}
        : {
            tls: {
              cert: tls.cert,
              key: tls.key,
              ca: tls.clientCa,
              requestCert: tls.clientCa !== undefined,
              rejectUnauthorized: tls.clientCa !== undefined,
            },
          }),
    });
  } catch (error) {
    throw listenError(error, host, port);
  }
}
