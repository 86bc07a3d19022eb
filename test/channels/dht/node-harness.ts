/**
 * A dht node inside one process over any world: store, log, gate and listener as the role builds them, with clients
 * that are plain objects instead of sockets. Simulations and tests of the whole path from chunk to reply use it.
 */
import type { DumpSettings } from "../../../src/channels/dht/dump-start.ts";
import { DurableStore } from "../../../src/channels/dht/durable-store.ts";
import { RespPort } from "../../../src/channels/resp-port.ts";
import { type Durability, ReplyGate } from "../../../src/channels/reply-gate.ts";
import { LatencyMonitor } from "../../../src/channels/wire/resp/latency.ts";
import { RespService } from "../../../src/channels/wire/resp/service.ts";
import { silentLog } from "../../../src/core/logging/log.ts";
import type { Listener, ListenOptions, Net, Socket, SocketHandlers } from "../../../src/core/seams/net.ts";
import type { World } from "../../../src/core/role.ts";
import { RespEngine, respDefaults } from "../../../src/native/resp.ts";

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

export const dumpDefaults: DumpSettings = {
  periodSeconds: 3600,
  batchBytesMax: 65_536,
  allowOutOfRange: "load",
  abortAfterAllOutOfRange: 10_000,
  disabled: false,
  shutdownTimeoutMs: 30_000,
  hashRange: { min: "0000000000000000", max: "ffffffffffffffff" },
};

export interface NodeOptions {
  dataDir?: string;
  mode?: "log" | "dump" | "memory";
  dump?: Partial<DumpSettings>;
  logBytesMin?: number;
  connections?: number;
  outboxBytesMax?: number;
  /** A negative control: what the gate believes of the log. */
  believe?: (durable: DurableStore) => Durability;
}

export class TestNode {
  readonly durable: DurableStore;
  readonly port: RespPort;
  fatal: Error | undefined;
  /** What the listener answers when it is asked. */
  mayRest = () => false;
  #handlers: SocketHandlers<unknown> | undefined;
  #engine: RespEngine;

  static async open(world: Omit<World, "net">, options: NodeOptions = {}): Promise<TestNode> {
    let node: TestNode | undefined;
    let gate: ReplyGate | undefined;
    const durable = await DurableStore.open({
      world: { ...world, net: undefined as never },
      log: silentLog(),
      dataDir: options.dataDir ?? "/data",
      mode: options.mode ?? "log",
      memoryBytesMax: 0,
      dump: { ...dumpDefaults, ...options.dump },
      compaction: {
        logBytesMin: options.logBytesMin ?? 1 << 26,
        growthPercent: 100,
      },
      onDurable: () => gate?.onProgress(),
      onDrain: () => node?.port.onLogDrain(),
      onRefusal: (text) => {
        node?.refuseWrites(text);
        gate?.onProgress();
      },
      onFatal: (error) => {
        if (node !== undefined) node.fatal = error;
      },
      onGroup: () => {},
      progress: () => {},
    });
    gate = new ReplyGate(options.believe?.(durable) ?? durable);
    node = new TestNode(world, durable, gate, options);
    await node.port.listen();
    return node;
  }

  private constructor(
    world: Omit<World, "net">,
    durable: DurableStore,
    gate: ReplyGate,
    options: NodeOptions,
  ) {
    this.durable = durable;
    this.#engine = new RespEngine(durable.store, { ...respDefaults, seed: 7 });
    const net: Net = {
      listen: async <Data>({ handlers, mayRest }: ListenOptions<Data>): Promise<Listener> => {
        this.#handlers = handlers as SocketHandlers<unknown>;
        if (mayRest !== undefined) this.mayRest = mayRest;
        return { host: "test", port: 1, stop: () => {} };
      },
      connect: () => Promise.reject(new Error("not in this harness")),
    };
    const limits = {
      connections: options.connections ?? 1000,
      idleTimeoutMs: 0,
      stallTimeoutMs: 0,
      valueBytesMax: respDefaults.valueBytesMax,
      outboxBytesMax: options.outboxBytesMax ?? 1 << 20,
    };
    this.port = new RespPort(
      {
        net,
        clock: world.clock,
        log: silentLog(),
        host: "test",
        port: 0,
        tls: undefined,
        durable,
        gate,
        limits: () => limits,
      },
      (closeOther) =>
        new RespService(
          {
            version: "test",
            runId: "0".repeat(40),
            processId: 1,
            configFile: "",
            port: () => 1,
            startedAtMs: world.clock.nowMs(),
            clock: world.clock,
            engine: this.#engine,
            latency: new LatencyMonitor(),
            password: () => undefined,
            parameters: [],
            rewriteLog: () => durable.requestCompaction(),
            info: () => [],
          },
          closeOther,
        ),
    );
  }

  refuseWrites(text: string | undefined): void {
    this.#engine.refuseWrites(text);
  }

  connect(): TestClient {
    return new TestClient(this.#handlers as SocketHandlers<unknown>);
  }

  /** Frees the memory of a node whose process "died": nothing is written any more. */
  abandon(): void {
    this.port.closeAll();
    this.#engine.close();
    this.durable.store.close();
  }

  async close(): Promise<void> {
    this.port.stopListening();
    this.port.closeAll();
    await this.durable.close(() => this.#engine.close());
  }
}
