/**
 * The real side of the network seam: Bun's sockets, with their traps handled in this one place.
 *
 * Invariant: a handler sees `open` once, then data and drains, then `close` once. With TLS, `open` comes after a
 * completed handshake, and where a certificate of the peer is demanded only after it was accepted: Bun reports its
 * own `open` before that. An exception in a handler costs that connection, never the process, and is reported.
 */
import type { Socket as BunSocket, SocketHandler, TCPSocketListener } from "bun";
import type { PeerCertificate } from "node:tls";
import { errnoOf, NxError } from "../errors.ts";
import { realClock } from "./clock.ts";
import type {
  ConnectOptions,
  KeepAlive,
  Listener,
  ListenOptions,
  Net,
  PathListenOptions,
  Socket,
  SocketHandlers,
} from "./net.ts";
import { bindSocketFile } from "./socket-file.ts";
import { restPaces, type Sender, type TurnClock, TurnRest } from "./turn-rest.ts";

/** Seconds a connection may take for its TLS handshake. */
const HANDSHAKE_TIMEOUT_S = 10;
/**
 * Handshakes under way at one listener; their connections are not counted by anyone else yet. One more ends the
 * oldest: an honest peer needs milliseconds, so those that say nothing cannot keep it out.
 */
const HANDSHAKES_MAX = 128;
const KEEPALIVE_DELAY_MS = 5000;
/** As the runtime sets it with that delay. */
const USUAL_KEEP_ALIVE: KeepAlive = {
  idleSeconds: KEEPALIVE_DELAY_MS / 1000,
  intervalSeconds: 1,
  probes: 10,
};

/** Told of an exception in a handler: a defect of ours, which cost the connection. */
export type HandlerReport = (error: Error, remoteAddress: string) => void;

/** What Bun does not offer for sockets, by file descriptor (native/system.ts). Settings are false where refused. */
export interface SocketCalls {
  /** Of a listener: holds for the connections that it accepts. */
  setKeepAlive(fd: number, keepAlive: KeepAlive): boolean;
  setBacklog(fd: number, backlog: number): boolean;
  /** Of a listener: holds for the connections that it accepts. */
  setUnsentBytesMax(fd: number, bytes: number): boolean;
  /** One system call, without the runtime's way to it. Bytes that were taken, or a negative errno. */
  send(fd: number, bytes: Uint8Array): number;
  /** Stops the thread. */
  rest(microseconds: number): void;
  /** What the thread has taken of a processor. */
  threadCpuMs(): number;
}

/** What Bun's types leave out of its sockets and listeners. */
type WithDescriptor = { readonly fd: number };
const descriptorOf = (socket: object) => (socket as WithDescriptor).fd;

/** `demandsPeer`: the peer must show a certificate that was accepted. */
interface TlsSide {
  demandsPeer: boolean;
}

class RealSocket<Data> implements Socket, Sender {
  readonly handlers: SocketHandlers<Data>;
  readonly remoteAddress: string;
  data: Data | undefined;
  peerIdentity: string | undefined;
  isOpen = false;
  isClosed = false;
  heardIn = 0;
  error: Error | undefined;
  readonly #bun: BunSocket<RealSocket<Data>>;
  readonly #send: SocketCalls["send"] | undefined;
  /** Of a plain connection for as long as both sides are open, else -1: a descriptor's number may be another's tomorrow. */
  #descriptor = -1;

  /** `send`: of a plain connection; the runtime encrypts by itself. */
  constructor(
    bun: BunSocket<RealSocket<Data>>,
    handlers: SocketHandlers<Data>,
    send: SocketCalls["send"] | undefined,
  ) {
    this.#bun = bun;
    this.#send = send;
    if (send !== undefined) this.#descriptor = descriptorOf(bun);
    this.handlers = handlers;
    this.remoteAddress = addressOf(bun);
  }

  write(bytes: Uint8Array): number {
    if (this.isClosed) return -1;
    const sent = this.#descriptor < 0 ? 0 : (this.#send?.(this.#descriptor, bytes) ?? 0);
    if (sent === bytes.byteLength) return sent;
    // Full or gone: the runtime finds out which, and tells when there is room.
    if (sent <= 0) return this.#bun.write(bytes);
    return sent + Math.max(0, this.#bun.write(bytes.subarray(sent)));
  }

  pause(): void {
    if (!this.isClosed) this.#bun.pause();
  }

  resume(): void {
    if (!this.isClosed) this.#bun.resume();
  }

  end(): void {
    this.#descriptor = -1;
    if (!this.isClosed) this.#bun.end();
  }

  terminate(): void {
    this.#descriptor = -1;
    if (!this.isClosed) this.#bun.terminate();
  }

  closed(): void {
    this.#descriptor = -1;
    this.isClosed = true;
  }
}

/** Who is at the other end of a unix socket, the kernel does not tell the runtime. */
const UNNAMED = "this host";

function addressOf({ remoteAddress: host, remotePort }: BunSocket<unknown>): string {
  if (host === undefined) return UNNAMED;
  return `${host.includes(":") ? `[${host}]` : host}:${remotePort}`;
}

/** First subject alternative name (`URI:` and the like cut off), else the common name, of the verified peer. */
function identityOf(certificate: PeerCertificate): string | undefined {
  const first = certificate.subjectaltname?.split(", ")[0]?.replace(/^(URI|DNS|IP Address|email):/, "");
  return first ?? (certificate.subject?.CN as string | undefined);
}

interface Adapter<Data> {
  create(bun: BunSocket<RealSocket<Data>>): RealSocket<Data>;
  tls: TlsSide | undefined;
  report: HandlerReport;
  rest?: TurnRest | undefined;
  /** Every peer that is still there has an address. */
  hasAddresses?: boolean;
  /** The kernel has probed the peer from the start. */
  isProbed?: () => boolean;
  /** For the connecting side: the connection is usable, or will never be. */
  onOpen?: (socket: RealSocket<Data>) => void;
  onFailed?: (error: Error) => void;
}

function bunHandlers<Data>({
  create,
  tls,
  report,
  rest,
  hasAddresses = false,
  isProbed,
  onOpen,
  onFailed,
}: Adapter<Data>): SocketHandler<RealSocket<Data>> {
  /** Oldest first. */
  const handshakes = new Set<RealSocket<Data>>();
  const fail = (socket: RealSocket<Data>, thrown: unknown) => {
    socket.error = thrown instanceof Error ? thrown : new Error(String(thrown));
    report(socket.error, socket.remoteAddress);
    socket.terminate();
  };
  const beginHandshake = (socket: RealSocket<Data>) => {
    handshakes.add(socket);
    if (handshakes.size <= HANDSHAKES_MAX) return;
    const oldest = handshakes.values().next().value;
    if (oldest !== undefined) handshakes.delete(oldest);
    oldest?.terminate();
  };
  const opened = (socket: RealSocket<Data>) => {
    try {
      socket.data = socket.handlers.open(socket);
      socket.isOpen = true;
      onOpen?.(socket);
    } catch (error) {
      fail(socket, error); // it never was open for its owner, who therefore hears of no close
    }
  };
  return {
    open(bun) {
      bun.data = create(bun);
      if (hasAddresses && bun.data.remoteAddress === UNNAMED) {
        // It left before it was accepted: nobody needs to hear of it.
        bun.data.terminate();
        return;
      }
      // Without delay, as the runtime opens all of them.
      if (isProbed?.() !== true) bun.setKeepAlive(true, KEEPALIVE_DELAY_MS);
      if (tls === undefined) {
        opened(bun.data);
        return;
      }
      bun.timeout(HANDSHAKE_TIMEOUT_S);
      beginHandshake(bun.data);
    },
    handshake(bun, isComplete, error) {
      const socket = bun.data;
      handshakes.delete(socket);
      // `isComplete` is true for a peer whose certificate was refused: only `authorized` tells.
      if (!isComplete || (tls?.demandsPeer === true && !bun.authorized)) {
        socket.error = error ?? new Error("the TLS handshake failed");
        socket.terminate();
        return;
      }
      bun.timeout(0);
      if (tls?.demandsPeer === true)
        socket.peerIdentity = identityOf(bun.getPeerCertificate() as PeerCertificate);
      opened(socket);
    },
    timeout(bun) {
      if (bun.data.isOpen) return;
      bun.data.error = new Error(`no TLS handshake within ${HANDSHAKE_TIMEOUT_S} s`);
      bun.data.terminate();
    },
    data(bun, chunk) {
      const socket = bun.data;
      if (!socket.isOpen || socket.isClosed) return;
      rest?.heard(socket);
      try {
        socket.handlers.data(socket, socket.data as Data, chunk);
      } catch (error) {
        fail(socket, error);
      }
    },
    drain(bun) {
      const socket = bun.data;
      if (!socket.isOpen || socket.isClosed) return;
      try {
        socket.handlers.drain(socket, socket.data as Data);
      } catch (error) {
        fail(socket, error);
      }
    },
    error(bun, error) {
      if (bun.data !== undefined) bun.data.error ??= error;
    },
    close(bun, error) {
      const socket = bun.data;
      if (socket === undefined || socket.isClosed) return;
      socket.closed();
      handshakes.delete(socket);
      const reason = socket.error ?? (error as Error | undefined);
      if (!socket.isOpen) {
        onFailed?.(reason ?? new Error("the connection was closed during the handshake"));
        return;
      }
      try {
        socket.handlers.close(socket, socket.data as Data, reason);
      } catch (thrown) {
        report(thrown instanceof Error ? thrown : new Error(String(thrown)), socket.remoteAddress);
      }
    },
  };
}

export function listenError(error: unknown, host: string, port: number): Error {
  const where = `${host}:${port}`;
  switch (errnoOf(error)) {
    case "EADDRINUSE":
      return new NxError("NX_LISTEN_IN_USE", `port ${where} is taken`, {
        hint: `stop the process that \`ss -ltnp 'sport = :${port}'\` shows, or choose another port (0 takes a free one)`,
        cause: error,
      });
    case "EACCES":
    case "EPERM":
      return new NxError("NX_LISTEN_DENIED", `listening on ${where} is not permitted`, {
        hint: "ports below 1024 need CAP_NET_BIND_SERVICE; choose a higher port",
        cause: error,
      });
    case "EADDRNOTAVAIL":
      return new NxError("NX_LISTEN_DENIED", `${host} is not an address of this host`, {
        hint: "`ip -br addr` lists the addresses; 0.0.0.0 takes all",
        cause: error,
      });
    default:
      return new NxError("NX_LISTEN_DENIED", `listening on ${where} failed: ${(error as Error).message}`, {
        hint: "`getent hosts NAME` tells whether a name is one of this host; `ip -br addr` lists its addresses",
        cause: error,
      });
  }
}

/** The machine's network. `report` hears of exceptions in handlers; without `calls` the runtime's own are made. */
export function createRealNet(
  report: HandlerReport = () => {},
  calls?: SocketCalls,
  clock: TurnClock = realClock,
): Net {
  return {
    async listen<Data>(options: ListenOptions<Data>): Promise<Listener> {
      const { host, port, tls, backlog, unsentBytesMax, keepAlive, mayRest, handlers } = options;
      const { restPace = restPaces.brief } = options;
      const demandsPeer = tls?.clientCa !== undefined;
      const certificates = tls && {
        cert: tls.cert,
        key: tls.key,
        ca: tls.clientCa,
        requestCert: demandsPeer,
        rejectUnauthorized: demandsPeer,
      };
      const send = tls === undefined ? calls?.send : undefined;
      const create = (bun: BunSocket<RealSocket<Data>>) => new RealSocket<Data>(bun, handlers, send);
      let isProbed = false;
      let listener: TCPSocketListener<RealSocket<Data>>;
      try {
        listener = Bun.listen<RealSocket<Data>>({
          hostname: host,
          port,
          ...(certificates !== undefined && { tls: certificates }),
          socket: bunHandlers({
            create,
            report,
            rest: calls && mayRest && new TurnRest(clock, calls, mayRest, restPace),
            tls: tls && { demandsPeer },
            hasAddresses: true,
            isProbed: () => isProbed,
          }),
        });
      } catch (error) {
        throw listenError(error, host, port);
      }
      // Once here instead of four calls for each connection.
      isProbed = calls?.setKeepAlive(descriptorOf(listener), keepAlive ?? USUAL_KEEP_ALIVE) === true;
      if (unsentBytesMax !== undefined) calls?.setUnsentBytesMax(descriptorOf(listener), unsentBytesMax);
      if (backlog !== undefined) calls?.setBacklog(descriptorOf(listener), backlog);
      return { host, port: listener.port, stop: () => listener.stop() };
    },

    connect<Data>({ host, port, tls, handlers }: ConnectOptions<Data>): Promise<Socket> {
      const serverName = tls?.serverName ?? host;
      const send = tls === undefined ? calls?.send : undefined;
      return new Promise((resolve, reject) => {
        const onFailed = (error: Error) => reject(connectError(error, host, port));
        Bun.connect<RealSocket<Data>>({
          hostname: host,
          port,
          ...(tls !== undefined && {
            tls: { ca: tls.ca, cert: tls.cert, key: tls.key, serverName, rejectUnauthorized: true },
          }),
          socket: {
            ...bunHandlers({
              create: (bun) => new RealSocket<Data>(bun, handlers, send),
              report,
              tls: tls && { demandsPeer: true },
              onOpen: resolve,
              onFailed,
            }),
            connectError: (_bun, error) => onFailed(error),
          },
        }).catch(onFailed);
      });
    },

    listenAtPath<Data>({ path, mode, handlers }: PathListenOptions<Data>) {
      const create = (bun: BunSocket<RealSocket<Data>>) => new RealSocket<Data>(bun, handlers, calls?.send);
      return bindSocketFile(path, mode, () =>
        Bun.listen<RealSocket<Data>>({
          unix: path,
          allowHalfOpen: true,
          socket: {
            ...bunHandlers({ create, report, tls: undefined }),
            end({ data: socket }) {
              if (handlers.ended === undefined) socket.end();
              else if (socket.isOpen && !socket.isClosed) handlers.ended(socket, socket.data as Data);
            },
          },
        }),
      );
    },
  };
}

function connectError(error: Error, host: string, port: number): NxError {
  return new NxError("NX_CONNECT_FAILED", `no connection to ${host}:${port}: ${error.message}`, {
    hint: "is it running, and does it listen on this address?",
    cause: error,
  });
}

/** The machine's network, for those who report nothing. */
export const realNet: Net = createRealNet();
