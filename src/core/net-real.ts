/**
 * The real side of the network seam: Bun's sockets, with their traps handled in this one place.
 *
 * Invariant: a handler sees `open` once, then data and drains, then `close` once. With TLS, `open` comes after a
 * completed handshake, and with a client authority only after the peer's certificate was accepted: Bun reports its
 * own `open` before that. An exception in a handler costs that connection, never the process.
 */
import type { Socket as BunSocket, SocketHandler, TCPSocketListener } from "bun";
import { errnoOf, NxError } from "./errors.ts";
import type { Listener, ListenOptions, Net, ConnectOptions, Socket, SocketHandlers } from "./net.ts";

/** Seconds a connection may take for its TLS handshake. */
const HANDSHAKE_TIMEOUT_S = 10;
const KEEPALIVE_DELAY_MS = 5000;

class RealSocket<Data> implements Socket {
  readonly handlers: SocketHandlers<Data>;
  data: Data | undefined;
  peerIdentity: string | undefined;
  isOpen = false;
  isClosed = false;
  error: Error | undefined;
  #bun: BunSocket<RealSocket<Data>>;

  constructor(bun: BunSocket<RealSocket<Data>>, handlers: SocketHandlers<Data>) {
    this.#bun = bun;
    this.handlers = handlers;
  }

  get remoteAddress(): string {
    return `${this.#bun.remoteAddress}:${this.#bun.remotePort}`;
  }

  get localAddress(): string {
    return `${this.#bun.localAddress}:${this.#bun.localPort}`;
  }

  write(bytes: Uint8Array): number {
    return this.isClosed ? -1 : this.#bun.write(bytes);
  }

  pause(): void {
    if (!this.isClosed) this.#bun.pause();
  }

  resume(): void {
    if (!this.isClosed) this.#bun.resume();
  }

  end(): void {
    if (!this.isClosed) this.#bun.end();
  }

  terminate(): void {
    if (!this.isClosed) this.#bun.terminate();
  }
}

/** Runs a handler; what it throws ends this connection and reaches `close` as its error. */
function guard<Data>(socket: RealSocket<Data>, call: () => void): void {
  try {
    call();
  } catch (error) {
    socket.error = error as Error;
    socket.terminate();
  }
}

function opened<Data>(socket: RealSocket<Data>): void {
  guard(socket, () => {
    socket.isOpen = true;
    socket.data = socket.handlers.open(socket);
  });
}

/** Subject alternative name, else subject, of the verified peer. */
function identityOf(certificate: { subjectaltname?: string; subject?: { CN?: string | string[] } } | undefined) {
  return certificate?.subjectaltname ?? (certificate?.subject?.CN as string | undefined);
}

function bunHandlers<Data>(create: (bun: BunSocket<RealSocket<Data>>) => RealSocket<Data>, tls: { demandsPeer: boolean } | undefined): SocketHandler<RealSocket<Data>> {
  return {
    open(bun) {
      bun.data = create(bun);
      bun.setNoDelay(true);
      bun.setKeepAlive(true, KEEPALIVE_DELAY_MS);
      if (tls === undefined) opened(bun.data);
      else bun.timeout(HANDSHAKE_TIMEOUT_S);
    },
    handshake(bun, isComplete, error) {
      const socket = bun.data;
      // `isComplete` is true for a peer whose certificate was refused: only `authorized` tells.
      if (!isComplete || (tls?.demandsPeer === true && !bun.authorized)) {
        socket.error = error ?? new Error("TLS handshake failed");
        socket.terminate();
        return;
      }
      bun.timeout(0);
      if (tls?.demandsPeer === true) socket.peerIdentity = identityOf(bun.getPeerCertificate() as never);
      opened(socket);
    },
    timeout(bun) {
      if (!bun.data.isOpen) bun.data.terminate();
    },
    data(bun, chunk) {
      const socket = bun.data;
      if (!socket.isOpen || socket.isClosed) return;
      try {
        socket.handlers.data(socket, socket.data as Data, chunk);
      } catch (error) {
        socket.error = error as Error;
        socket.terminate();
      }
    },
    drain(bun) {
      const socket = bun.data;
      if (socket.isOpen && !socket.isClosed) guard(socket, () => socket.handlers.drain(socket, socket.data as Data));
    },
    error(bun, error) {
      if (bun.data !== undefined) bun.data.error ??= error;
    },
    close(bun, error) {
      const socket = bun.data;
      if (socket === undefined || socket.isClosed) return;
      socket.isClosed = true;
      if (!socket.isOpen) return;
      try {
        socket.handlers.close(socket, socket.data as Data, socket.error ?? (error as Error | undefined));
      } catch {
        // Nobody is left to tell: the connection is gone and its owner failed while cleaning up.
      }
    },
  };
}

export function listenError(error: unknown, host: string, port: number): Error {
  const where = `${host}:${port}`;
  switch (errnoOf(error)) {
    case "EADDRINUSE":
      return new NxError("NX_LISTEN_IN_USE", `port ${where} is taken`, { hint: `stop the process that \`ss -ltnp 'sport = :${port}'\` shows, or choose another port (0 takes a free one)`, cause: error });
    case "EACCES":
    case "EPERM":
      return new NxError("NX_LISTEN_DENIED", `listening on ${where} is not permitted`, { hint: "ports below 1024 need CAP_NET_BIND_SERVICE; choose a higher port", cause: error });
    case "EADDRNOTAVAIL":
      return new NxError("NX_LISTEN_DENIED", `${host} is not an address of this host`, { hint: "`ip -br addr` lists the addresses; 0.0.0.0 takes all", cause: error });
    default:
      return new NxError("NX_LISTEN_DENIED", `listening on ${where} failed: ${(error as Error).message}`, { cause: error });
  }
}

export const realNet: Net = {
  async listen<Data>({ host, port, tls, handlers }: ListenOptions<Data>): Promise<Listener> {
    let listener: TCPSocketListener<RealSocket<Data>>;
    const demandsPeer = tls?.clientCa !== undefined;
    try {
      listener = Bun.listen<RealSocket<Data>>({
        hostname: host,
        port,
        ...(tls === undefined
          ? {}
          : { tls: { cert: tls.cert, key: tls.key, ca: tls.clientCa, requestCert: demandsPeer, rejectUnauthorized: demandsPeer } }),
        socket: bunHandlers((bun) => new RealSocket<Data>(bun, handlers), tls === undefined ? undefined : { demandsPeer }),
      });
    } catch (error) {
      throw listenError(error, host, port);
    }
    return { host, port: listener.port, stop: () => listener.stop() };
  },

  async connect<Data>({ host, port, tls, handlers }: ConnectOptions<Data>): Promise<Socket> {
    const demandsPeer = tls !== undefined;
    try {
      const bun = await Bun.connect<RealSocket<Data>>({
        hostname: host,
        port,
        ...(tls === undefined
          ? {}
          : { tls: { ca: tls.ca, cert: tls.cert, key: tls.key, serverName: tls.serverName ?? host, rejectUnauthorized: true } }),
        socket: bunHandlers((socket) => new RealSocket<Data>(socket, handlers), demandsPeer ? { demandsPeer } : undefined),
      });
      return bun.data;
    } catch (error) {
      throw new NxError("NX_CONNECT_FAILED", `no connection to ${host}:${port}: ${(error as Error).message}`, {
        hint: "is it running, and does it listen on this address?",
        cause: error,
      });
    }
  },
};
