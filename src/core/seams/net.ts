/**
 * The network seam: stream sockets for every protocol that is not HTTP.
 *
 * Invariant: whoever writes must respect `write`'s answer; nothing is buffered behind its back. Roles
 * do not call `write` themselves but own an `Outbox` (outbox.ts) that keeps the rest, bounded.
 * The real side is `net-real.ts` (Bun.listen); a simulated one delays, splits, cuts and partitions.
 */
import type { RestPace } from "./turn-rest.ts";

/** What a connection's owner is told. All callbacks run on the event loop, never re-entrantly from `write`. */
export interface SocketHandlers<Data> {
  /** A connection is usable (with TLS: after a completed, accepted handshake). Returns its state. */
  open(socket: Socket): Data;
  /** Bytes arrived. `chunk` is only valid during the call: copy what must stay. */
  data(socket: Socket, data: Data, chunk: Uint8Array): void;
  /** The kernel takes bytes again after a short `write`. */
  drain(socket: Socket, data: Data): void;
  /** The peer sends nothing more but may still read: only at listeners on a path, others close then. */
  ended?(socket: Socket, data: Data): void;
  /** The connection is gone, whoever ended it. Called exactly once after `open`. */
  close(socket: Socket, data: Data, error?: Error): void;
}

export interface Socket {
  readonly remoteAddress: string;
  /** Identity from a verified client certificate (its first SAN, else its subject), when TLS asked for one. */
  readonly peerIdentity: string | undefined;
  /** Hands bytes to the kernel and returns how many it took: 0…length, or -1 when closed. */
  write(bytes: Uint8Array): number;
  /** Stops (resumes) reading; the peer then feels TCP back-pressure. */
  pause(): void;
  resume(): void;
  /** Sends what was written, then closes. */
  end(): void;
  /** Closes now and drops what was not sent. */
  terminate(): void;
}

/** PEM texts, already read. `clientCa` makes the listener demand a certificate signed by it. */
export interface TlsMaterial {
  cert: string;
  key: string;
  clientCa?: string;
}

/** How a peer is checked (by the host's own authorities where no `ca` is given), and what is shown to it. PEM texts. */
export interface TlsToPeer {
  ca?: string;
  cert?: string;
  key?: string;
  /** The name that its certificate must have; the host that is called when absent. */
  serverName?: string;
}

/** When the kernel gives up a silent peer: `probes` probes, `intervalSeconds` apart, after `idleSeconds` of silence. */
export interface KeepAlive {
  idleSeconds: number;
  intervalSeconds: number;
  probes: number;
}

export interface ListenOptions<Data> {
  host: string;
  /** 0 takes a free port. */
  port: number;
  tls?: TlsMaterial;
  /** Connections that may wait to be accepted; the kernel has a limit of its own. Simulated networks refuse none. */
  backlog?: number;
  /** For each accepted connection; absent: probed after five seconds, as the runtime does. */
  keepAlive?: KeepAlive;
  /**
   * Bytes that the kernel takes of a connection beyond those that its peer has room for; absent: as many as its own
   * buffer holds, which grows to megabytes.
   */
  unsentBytesMax?: number;
  /**
   * Whether, under load, the whole thread may stop for up to 160 µs at the end of this turn, for many clients' short
   * requests to gather, which makes them cheaper. Absent: never.
   */
  mayRest?: () => boolean;
  /** Absent: brief. */
  restPace?: RestPace;
  handlers: SocketHandlers<Data>;
}

export interface Listener {
  readonly host: string;
  readonly port: number;
  /** Stops accepting; open connections stay. */
  stop(): void;
}

export interface ConnectOptions<Data> {
  host: string;
  port: number;
  tls?: TlsToPeer;
  handlers: SocketHandlers<Data>;
}

export interface PathListenOptions<Data> {
  /** Absolute. */
  path: string;
  /** Who may connect: the mode of the socket's file. */
  mode: number;
  handlers: SocketHandlers<Data>;
}

export interface Net {
  /** Throws NX_LISTEN_IN_USE / NX_LISTEN_DENIED with the address and what to do. */
  listen<Data>(options: ListenOptions<Data>): Promise<Listener>;
  connect<Data>(options: ConnectOptions<Data>): Promise<Socket>;
  /**
   * Listens on a unix socket. A socket that nobody listens on any more is replaced, and `stop` removes the file. Throws
   * NX_LISTEN_IN_USE / NX_LISTEN_DENIED. Absent in simulations, whose hosts have no such files.
   */
  listenAtPath?<Data>(options: PathListenOptions<Data>): Promise<Pick<Listener, "stop">>;
}
