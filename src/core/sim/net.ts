/**
 * A simulated network of hosts with stream sockets, behind the same seam as the real one.
 *
 * Invariant: a connection behaves as TCP does and no better. Bytes arrive in order and once, or the
 * connection is closed; but they arrive late, in other pieces than they were written, `write` takes only what
 * its buffer holds, a cut link stalls them, a reset drops what was under way, and a host that loses power
 * says nothing at all. Handlers run from the scheduler only, never from inside a call. A chunk is overwritten
 * after its handler returned, so that code which keeps it without copying is found out.
 */
import { NxError } from "../errors.ts";
import type { ConnectOptions, Listener, ListenOptions, Net, Socket, SocketHandlers } from "../seams/net.ts";
import type { Random } from "../seams/random.ts";
import { FaultCounts } from "./faults.ts";
import type { Scheduler } from "./scheduler.ts";

export interface SimNetOptions {
  delayMinMs?: number;
  delayMeanMs?: number;
  /** What `write` accepts before it has to wait for the peer. */
  sendBufferBytes?: number;
  /** Largest piece that arrives at once; pieces are random up to it. */
  pieceBytesMax?: number;
  /** Probability that a write resets its connection. */
  reset?: number;
  connectTimeoutMs?: number;
}

const defaults: Required<SimNetOptions> = {
  delayMinMs: 0.02,
  delayMeanMs: 0.2,
  sendBufferBytes: 64 << 10,
  pieceBytesMax: 16 << 10,
  reset: 0,
  connectTimeoutMs: 5000,
};

/** A kernel that hears nothing asks again after this long, then after twice as long, and so on (RFC 6298, 2.1). */
const SYN_AGAIN_MS = 1000;
const OWN_ADDRESSES = new Set(["127.0.0.1", "::1", "localhost", "0.0.0.0", "::"]);

interface Accepting {
  host: string;
  accept: (end: End) => void;
}

/** The wires between all hosts of a simulation. */
export class SimNetwork {
  readonly faults = new FaultCounts();
  readonly scheduler: Scheduler;
  readonly random: Random;
  options: Required<SimNetOptions>;
  #listeners = new Map<string, Accepting>();
  #ends = new Set<End>();
  #cuts = new Set<string>();
  #nextPort = 40_000;

  constructor(scheduler: Scheduler, options: SimNetOptions = {}) {
    this.scheduler = scheduler;
    this.random = scheduler.fork();
    this.options = { ...defaults, ...options };
  }

  /** The network as seen from a host of this address. */
  host(address: string): Net {
    return {
      listen: (options) => this.#listen(address, options),
      connect: (options) => this.#connect(address, options),
    };
  }

  /** Stalls what `from` sends to `to`; established connections stay, half open. */
  cut(from: string, to: string): void {
    this.#cuts.add(`${from}>${to}`);
    this.faults.count("link cut");
  }

  isCut(from: string, to: string): boolean {
    return this.#cuts.has(`${from}>${to}`);
  }

  /** Ends all cuts; stalled bytes go on. */
  heal(): void {
    this.#cuts.clear();
    for (const end of this.#ends) end.out.schedule();
  }

  /** Resets a random connection; false when there is none. */
  resetOne(): boolean {
    const ends = [...this.#ends];
    ends[this.random.integer(Math.max(1, ends.length))]?.reset();
    return ends.length > 0;
  }

  /**
   * The process of a host is gone: its sockets close and its handlers are never called again. After power
   * loss the peers hear nothing: their connections stay open, and silent, until they give up.
   */
  kill(host: string, how: "process" | "power"): void {
    for (const [key, listener] of this.#listeners) if (listener.host === host) this.#listeners.delete(key);
    for (const end of [...this.#ends].filter((candidate) => candidate.host === host)) {
      end.die();
      if (how === "process") end.peer.closeLater(new Error("ECONNRESET"));
      this.#ends.delete(end);
    }
    this.faults.count(`host lost its ${how}`);
  }

  delayMs(): number {
    return this.options.delayMinMs - Math.log(1 - this.random.float()) * this.options.delayMeanMs;
  }

  forget(end: End): void {
    this.#ends.delete(end);
  }

  async #listen<Data>(host: string, options: ListenOptions<Data>): Promise<Listener> {
    const port = options.port === 0 ? this.#nextPort++ : options.port;
    const key = `${host}:${port}`;
    if (this.#listeners.has(key)) {
      throw new NxError("NX_LISTEN_IN_USE", `${options.host}:${port} is in use`, {
        hint: "choose another port",
      });
    }
    const accept = (end: End) => end.openWith(options.handlers as SocketHandlers<unknown>);
    this.#listeners.set(key, { host, accept });
    return { host: options.host, port, stop: () => void this.#listeners.delete(key) };
  }

  #connect<Data>(from: string, options: ConnectOptions<Data>): Promise<Socket> {
    const to = OWN_ADDRESSES.has(options.host) ? from : options.host;
    const port = this.#nextPort++;
    return new Promise((resolve, reject) => {
      const fail = (reason: string) =>
        reject(
          new NxError("NX_CONNECT_FAILED", `cannot connect to ${options.host}:${options.port}: ${reason}`),
        );
      const arrive = () => {
        const listener = this.#listeners.get(`${to}:${options.port}`);
        if (listener === undefined) return fail("refused");
        const client = new End(this, from, `${to}:${options.port}`);
        const server = new End(this, to, `${from}:${port}`);
        client.peer = server;
        server.peer = client;
        this.#ends.add(client).add(server);
        listener.accept(server);
        client.openWith(options.handlers as SocketHandlers<unknown>);
        resolve(client);
      };
      const call = (againMs: number, leftMs: number) => {
        if (!this.isCut(from, to) && !this.isCut(to, from)) this.scheduler.after(this.delayMs(), arrive);
        else if (leftMs <= 0) fail("no answer");
        else {
          const pauseMs = Math.min(againMs, leftMs);
          this.scheduler.after(pauseMs, () => call(2 * againMs, leftMs - pauseMs));
        }
      };
      call(SYN_AGAIN_MS, this.options.connectTimeoutMs);
    });
  }
}

/** One end of a connection: the socket its owner holds, and the pipe to the other end. */
class End implements Socket {
  readonly remoteAddress: string;
  readonly peerIdentity = undefined;
  readonly host: string;
  readonly out: Pipe;
  peer!: End;
  isPaused = false;
  isClosed = false;
  #network: SimNetwork;
  #handlers: SocketHandlers<unknown> | undefined;
  #data: unknown;

  constructor(network: SimNetwork, host: string, remoteAddress: string) {
    this.#network = network;
    this.host = host;
    this.remoteAddress = remoteAddress;
    this.out = new Pipe(network, this);
  }

  openWith(handlers: SocketHandlers<unknown>): void {
    this.#handlers = handlers;
    this.#data = handlers.open(this);
  }

  write(bytes: Uint8Array): number {
    if (this.isClosed || this.out.isEnding) return -1;
    const { reset } = this.#network.options;
    if (reset > 0 && this.#network.random.float() < reset) this.reset();
    return this.out.push(bytes);
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
    this.peer.out.schedule();
  }

  end(): void {
    this.out.isEnding = true;
    this.out.schedule();
  }

  terminate(): void {
    this.closeLater(undefined);
    this.peer.closeLater(new Error("ECONNRESET"));
  }

  reset(): void {
    this.#network.faults.count("connection reset");
    this.closeLater(new Error("ECONNRESET"));
    this.peer.closeLater(new Error("ECONNRESET"));
  }

  receive(chunk: Uint8Array): void {
    if (this.isClosed) return;
    this.#handlers?.data(this, this.#data, chunk);
    chunk.fill(0xdb);
  }

  drained(): void {
    if (!this.isClosed) this.#handlers?.drain(this, this.#data);
  }

  closeLater(error: Error | undefined): void {
    this.#network.scheduler.after(this.#network.delayMs(), () => this.close(error));
  }

  close(error: Error | undefined): void {
    if (this.isClosed) return;
    const handlers = this.#handlers;
    this.die();
    handlers?.close(this, this.#data, error);
  }

  /** Closed without a word: its process is gone. */
  die(): void {
    this.isClosed = true;
    this.#handlers = undefined;
    this.out.drop();
    this.#network.forget(this);
  }
}

/** Bytes under way in one direction. */
class Pipe {
  isEnding = false;
  #network: SimNetwork;
  #from: End;
  #chunks: Uint8Array[] = [];
  #bytes = 0;
  #isShort = false;
  #isScheduled = false;

  constructor(network: SimNetwork, from: End) {
    this.#network = network;
    this.#from = from;
  }

  push(bytes: Uint8Array): number {
    const taken = Math.min(bytes.byteLength, this.#network.options.sendBufferBytes - this.#bytes);
    if (taken < bytes.byteLength) {
      this.#isShort = true;
      this.#network.faults.count("short write");
    }
    if (taken > 0) this.#chunks.push(bytes.slice(0, taken));
    this.#bytes += taken;
    this.schedule();
    return taken;
  }

  drop(): void {
    this.#chunks = [];
    this.#bytes = 0;
  }

  /** Lets the next piece arrive after a delay. */
  schedule(): void {
    if (this.#isScheduled || (this.#bytes === 0 && !this.isEnding)) return;
    this.#isScheduled = true;
    this.#network.scheduler.after(this.#network.delayMs(), () => {
      this.#isScheduled = false;
      this.#arrive();
    });
  }

  #arrive(): void {
    const to = this.#from.peer;
    if (this.#from.isClosed) return;
    if (this.#network.isCut(this.#from.host, to.host)) {
      this.#network.faults.count("bytes stalled");
      return;
    }
    if (to.isPaused) return;
    if (this.#bytes > 0) to.receive(this.#takePiece());
    if (this.#isShort) {
      this.#isShort = false;
      this.#from.drained();
    }
    if (this.#bytes === 0 && this.isEnding) {
      to.closeLater(undefined);
      this.#from.closeLater(undefined);
    } else this.schedule();
  }

  /** A random run of bytes, across the bounds of writes. */
  #takePiece(): Uint8Array {
    const limit = Math.min(this.#bytes, this.#network.options.pieceBytesMax);
    const isWhole = this.#network.random.integer(2) === 0;
    const piece = new Uint8Array(isWhole ? limit : 1 + this.#network.random.integer(limit));
    let filled = 0;
    while (filled < piece.byteLength) {
      const chunk = this.#chunks[0] as Uint8Array;
      const part = chunk.subarray(0, piece.byteLength - filled);
      if (filled > 0) this.#network.faults.count("writes coalesced");
      piece.set(part, filled);
      filled += part.byteLength;
      if (part.byteLength === chunk.byteLength) this.#chunks.shift();
      else {
        this.#chunks[0] = chunk.subarray(part.byteLength);
        this.#network.faults.count("write split");
      }
    }
    this.#bytes -= piece.byteLength;
    return piece;
  }
}
