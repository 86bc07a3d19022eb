/**
 * A queue node inside one process over any world: queues, log, gate and Redis listener as the role builds them, with
 * clients that are plain objects instead of sockets.
 */
import type { QueueConfig } from "../../../src/channels/queue/config.ts";
import { DurableQueues } from "../../../src/channels/queue/durable-queues.ts";
import { type Durability, ReplyGate } from "../../../src/channels/reply-gate.ts";
import { RespPort } from "../../../src/channels/resp-port.ts";
import { LatencyMonitor } from "../../../src/channels/wire/resp/latency.ts";
import { RespService } from "../../../src/channels/wire/resp/service.ts";
import { silentLog } from "../../../src/core/logging/log.ts";
import type { World } from "../../../src/core/role.ts";
import type { Listener, ListenOptions, Net, SocketHandlers } from "../../../src/core/seams/net.ts";
import { RespEngine, respDefaults } from "../../../src/native/resp.ts";
import { TestClient } from "../dht/node-harness.ts";

export interface SimNodeOptions {
  durability?: "log" | "save" | "memory";
  logBytesMin?: number;
  deliveriesMax?: number;
  /** A negative control: what the gate believes of the log. */
  believe?: (durable: DurableQueues) => Durability;
}

export class SimNode {
  readonly durable: DurableQueues;
  readonly port: RespPort;
  readonly #engine: RespEngine;
  #handlers: SocketHandlers<unknown> | undefined;

  static async open(world: Omit<World, "net">, options: SimNodeOptions = {}): Promise<SimNode> {
    let node: SimNode | undefined;
    let gate: ReplyGate | undefined;
    const durable = await DurableQueues.open({
      world: { ...world, net: undefined as never },
      log: silentLog(),
      dataDir: "/data",
      config: {
        durability: options.durability ?? "log",
        compaction: { logBytesMin: options.logBytesMin ?? 1 << 26, growthPercent: 100 },
        channels: {
          ringBytes: 1 << 16,
          ringBytesByPrefix: [],
          overflowBytes: 0,
          sizeBytesMax: 0,
          whenFull: "reject",
          pendingMax: 0,
        },
        limits: { channelsMax: 0 } as QueueConfig["limits"],
        deadLetters: { deliveriesMax: options.deliveriesMax ?? 0, suffix: "-dead" },
        swarm: { generation: "seed", backlog: 16, writeFlushMs: 1 },
      },
      onDurable: () => gate?.onProgress(),
      onDrain: () => node?.port.onLogDrain(),
      onRefusal: () => gate?.onProgress(),
      onFatal: () => {},
      onGroup: () => {},
      progress: () => {},
    });
    gate = new ReplyGate(options.believe?.(durable) ?? durable);
    node = new SimNode(world, durable, gate);
    await node.port.listen();
    return node;
  }

  private constructor(world: Omit<World, "net">, durable: DurableQueues, gate: ReplyGate) {
    this.durable = durable;
    const engine = new RespEngine(durable.queues, { ...respDefaults, seed: 7 });
    this.#engine = engine;
    const net: Net = {
      listen: async <Data>({ handlers }: ListenOptions<Data>): Promise<Listener> => {
        this.#handlers = handlers as SocketHandlers<unknown>;
        return { host: "test", port: 1, stop: () => {} };
      },
      connect: () => Promise.reject(new Error("not in this harness")),
    };
    const limits = {
      connections: 1000,
      idleTimeoutMs: 0,
      stallTimeoutMs: 0,
      valueBytesMax: respDefaults.valueBytesMax,
      outboxBytesMax: 1 << 20,
    };
    const { clock } = world;
    this.port = new RespPort(
      {
        net,
        clock,
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
            startedAtMs: clock.nowMs(),
            clock,
            engine,
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

  connect(): TestClient {
    return new TestClient(this.#handlers as SocketHandlers<unknown>);
  }

  /** Frees the memory of a node whose process "died": nothing is written any more. */
  abandon(): void {
    this.port.closeAll();
    this.#engine.close();
    this.durable.queues.close();
  }

  async close(): Promise<void> {
    this.port.stopListening();
    this.port.closeAll();
    await this.durable.close(() => this.#engine.close());
  }
}
