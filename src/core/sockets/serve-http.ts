/**
 * HTTP listeners for hono apps, on TCP or a unix socket, with Bun's traps handled in this one place.
 *
 * Invariant: `stop` always ends: Bun's graceful stop waits for ever while a stream is open, so it gets a deadline. An
 * admin socket is created with mode 0600 from the start, never opened wider and narrowed later. Connections that never
 * sent a whole request are closed: Bun's idle timeout does not see them.
 */
import { rmSync } from "node:fs";
import type { Hono } from "hono";
import type { Clock } from "../seams/clock.ts";
import { NxError } from "../errors.ts";
import type { Log } from "../logging/log.ts";
import { sweepUnanswered } from "./unanswered.ts";
import { listenError } from "../seams/net-real.ts";
import type { TlsMaterial } from "../seams/net.ts";
import { boundWithMode } from "../seams/socket-file.ts";
import { webSocketOptions, webSocketRefusal, type WebSocketSeat, type WebSocketState } from "./web-socket.ts";

export type HttpAddress = { host: string; port: number; tls?: TlsMaterial } | { socketPath: string };

export interface HttpServer {
  /** 0 for a unix socket. */
  readonly port: number;
  /** Lets running requests finish until the deadline, then cuts them. */
  stop(deadlineMs: number): Promise<void>;
}

/** What a listener allows where its owner says nothing else: requests that carry no uploads. */
const defaultLimits = { requestBytesMax: 1024 * 1024, idleTimeoutSeconds: 60 };

export interface HttpLimits {
  /** A longer request body is answered 413 and not read. */
  requestBytesMax?: number;
  /** A connection without traffic for this long is closed; 0 keeps it, 255 is the most. */
  idleTimeoutSeconds?: number;
  /** Takes WebSockets at a path of its own. Only on a port. */
  webSocket?: WebSocketSeat;
}

/** Serves `app`; what its handlers throw becomes a plain 500 and a line in `log`. */
export function serveHttp(
  app: Hono,
  address: HttpAddress,
  clock: Clock,
  log: Log,
  limits: HttpLimits = {},
): HttpServer {
  const { requestBytesMax, idleTimeoutSeconds, webSocket } = { ...defaultLimits, ...limits };
  app.onError((error, context) => {
    log.error("a request failed", { path: context.req.path, reason: error.message, stack: error.stack });
    return context.text("internal error; the log has more\n", 500);
  });
  const options = {
    fetch: (request: Request, server: HttpConnection) => app.fetch(request, server),
    // Server-sent events may be silent for long; a handler of such lifts the limit for its request (keepOpen).
    idleTimeout: idleTimeoutSeconds,
    maxRequestBodySize: requestBytesMax,
  };
  const server =
    "socketPath" in address
      ? onSocket(address.socketPath, options)
      : onPort(address, options, webSocket ?? noWebSocket, clock);
  const port = server.port ?? 0;
  const sweeping = "socketPath" in address ? undefined : sweepUnanswered(clock, log, server);
  return {
    port,
    async stop(deadlineMs) {
      sweeping?.cancel();
      const graceful = server.stop();
      await Promise.race([graceful, new Promise<void>((resolve) => clock.after(deadlineMs, resolve))]);
      await server.stop(true);
    },
  };
}

/** What hono hands to a handler as `context.env`: the server, for settings of one request. */
export interface HttpConnection {
  timeout(request: Request, seconds: number): void;
  /** Who sent it; null on a unix socket or when the connection is gone. */
  requestIP(request: Request): { address: string } | null;
}

/** Lifts the idle limit for a request whose answer is a stream that may be silent for long. */
export function keepOpen(connection: HttpConnection, request: Request): void {
  connection.timeout(request, 0);
}

interface HandlerOptions {
  fetch(request: Request, server: HttpConnection): Response | Promise<Response>;
  idleTimeout: number;
  maxRequestBodySize: number;
}

function onSocket(path: string, { idleTimeout: _, ...options }: HandlerOptions) {
  rmSync(path, { force: true }); // the caller holds the directory's lock, so a socket file here is a dead one's
  try {
    return boundWithMode(path, 0o600, () => Bun.serve({ unix: path, ...options }));
  } catch (error) {
    throw new NxError(
      "NX_DATA_DIR_UNUSABLE",
      `the admin socket ${path} cannot be made: ${(error as Error).message}`,
      {
        hint: "the data directory must be on a file system that has sockets and be writable",
        cause: error,
      },
    );
  }
}

/** No request has this path. */
const noWebSocket: WebSocketSeat = {
  path: "",
  allowedOrigins: [],
  limits: { messageBytesMax: 0, outboxBytesMax: 0 },
  open: () => undefined,
};

function onPort(
  { host, port, tls }: Exclude<HttpAddress, { socketPath: string }>,
  { fetch, ...options }: HandlerOptions,
  seat: WebSocketSeat,
  clock: Clock,
) {
  try {
    return Bun.serve<WebSocketState>({
      hostname: host,
      port,
      ...options,
      websocket: webSocketOptions(seat, clock),
      fetch(request, server) {
        if (seat.path === "" || new URL(request.url).pathname !== seat.path) return fetch(request, server);
        const refusal = webSocketRefusal(request, seat);
        if (refusal !== undefined) return refusal;
        const data = { remoteAddress: server.requestIP(request)?.address ?? "" };
        return server.upgrade(request, { data }) ? undefined : new Response("no upgrade\n", { status: 400 });
      },
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
