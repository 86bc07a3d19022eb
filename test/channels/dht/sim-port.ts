/**
 * The Redis listener of a node inside one process, whatever the world and the state behind it, with clients that are plain
 * objects instead of sockets.
 */
import type { PortState } from "../../../src/channels/gated-port.ts";
import type { ReplyGate } from "../../../src/channels/reply-gate.ts";
import { RespPort } from "../../../src/channels/resp-port.ts";
import { LatencyMonitor } from "../../../src/channels/wire/resp/latency.ts";
import { RespService } from "../../../src/channels/wire/resp/service.ts";
import { silentLog } from "../../../src/core/logging/log.ts";
import type { Clock } from "../../../src/core/seams/clock.ts";
import type { Listener, ListenOptions, Net, Socket, SocketHandlers } from "../../../src/core/seams/net.ts";
import { RespEngine, type RespEngineState, respDefaults } from "../../../src/native/resp.ts";

/** A client's end of a connection: what it sent goes to the node at once, what the node wrote is here. */
export class TestClient implements Socket {
  readonly remoteAddress = "test:1";
  readonly peerIdentity = undefined;
  received = Buffer.alloc(0);
  isClosed = false;
  isPaused = false;
  /** How many bytes the kernel takes at most per write; 0 is a client that does not read. */
  writeBytesMax = Number.POSITIVE_INFINITY;
  #state: unknown;
  #handlers: SocketHandlers<unknown>;
  #waiting: ((reply: string) => void)[] = [];

  constructor(handlers: SocketHandlers<unknown>) {
    this.#handlers = handlers;
    this.#state = handlers.open(this);
  }

  send(bytes: string | Uint8Array): void {
    this.#handlers.data(this, this.#state, typeof bytes === "string" ? Buffer.from(bytes) : bytes);
  }

  /** Sends one command and resolves with its first reply line (bulk replies: their content). */
  call(...words: string[]): Promise<string> {
    const { promise, resolve } = Promise.withResolvers<string>();
    this.#waiting.push(resolve);
    this.send(requestOf(words));
    return promise;
  }

  /** Lets the client read again after `writeBytesMax` was 0. */
  drain(): void {
    this.#handlers.drain(this, this.#state);
  }

  write(bytes: Uint8Array): number {
    if (this.isClosed) return -1;
    const taken = Math.min(bytes.byteLength, this.writeBytesMax);
    this.received = Buffer.concat([this.received, bytes.subarray(0, taken)]);
    for (
      let end = replyEnd(this.received, 0);
      end > 0 && this.#waiting.length > 0;
      end = replyEnd(this.received, 0)
    ) {
      const reply = this.received.subarray(0, end).toString();
      this.received = this.received.subarray(end);
      this.#waiting.shift()?.(reply);
    }
    return taken;
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
  }

  end(): void {
    this.terminate();
  }

  terminate(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.#handlers.close(this, this.#state);
  }
}

export const requestOf = (words: string[]) =>
  `*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join("")}`;

/** End of the first complete reply in `bytes` from `at`, or -1. */
function replyEnd(bytes: Buffer, at: number): number {
  const line = bytes.indexOf("\r\n", at);
  if (line < 0) return -1;
  const count = Number(bytes.subarray(at + 1, line).toString());
  switch (String.fromCharCode(bytes[at] as number)) {
    case "$":
      return count < 0 ? line + 2 : line + 4 + count <= bytes.length ? line + 4 + count : -1;
    case "*": {
      let end = line + 2;
      for (let element = 0; element < count && end >= 0; element++) end = replyEnd(bytes, end);
      return end;
    }
    default:
      return line + 2;
  }
}

export interface SimPortOptions {
  clock: Clock;
  durable: PortState & { requestCompaction(): string | undefined };
  gate: ReplyGate;
  /** What the commands work on. */
  state: RespEngineState;
  connections?: number | undefined;
  outboxBytesMax?: number | undefined;
}

export class SimPort {
  readonly port: RespPort;
  readonly engine: RespEngine;
  /** What the listener answers when it is asked. */
  mayRest = () => false;
  #handlers: SocketHandlers<unknown> | undefined;

  constructor({ clock, durable, gate, state, ...options }: SimPortOptions) {
    const { connections = 1000, outboxBytesMax = 1 << 20 } = options;
    this.engine = new RespEngine(state, { ...respDefaults, seed: 7 });
    const net: Net = {
      listen: async <Data>({ handlers, mayRest }: ListenOptions<Data>): Promise<Listener> => {
        this.#handlers = handlers as SocketHandlers<unknown>;
        if (mayRest !== undefined) this.mayRest = mayRest;
        return { host: "test", port: 1, stop: () => {} };
      },
      connect: () => Promise.reject(new Error("not in this harness")),
    };
    const { valueBytesMax } = respDefaults;
    const limits = { connections, idleTimeoutMs: 0, stallTimeoutMs: 0, valueBytesMax, outboxBytesMax };
    const host = {
      version: "test",
      runId: "0".repeat(40),
      processId: 1,
      configFile: "",
      port: () => 1,
      startedAtMs: clock.nowMs(),
      clock,
      engine: this.engine,
      latency: new LatencyMonitor(),
      password: () => undefined,
      parameters: [],
      rewriteLog: () => durable.requestCompaction(),
      info: () => [],
    };
    this.port = new RespPort(
      {
        ...{ net, clock, log: silentLog(), host: "test", port: 0, tls: undefined, durable, gate },
        limits: () => limits,
      },
      (closeOther) => new RespService(host, closeOther),
    );
  }

  connect(): TestClient {
    return new TestClient(this.#handlers as SocketHandlers<unknown>);
  }

  /** Nobody is connected any more; the engine is still there. */
  close(): void {
    this.port.stopListening();
    this.port.closeAll();
  }
}
