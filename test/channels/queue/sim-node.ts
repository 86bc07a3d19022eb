/**
 * A queue node inside one process over any world: queues, log, gate and Redis listener as the role builds them, with
 * clients that are plain objects instead of sockets.
 */
import type { QueueConfig } from "../../../src/channels/queue/config.ts";
import { DurableQueues } from "../../../src/channels/queue/durable-queues.ts";
import { type Durability, ReplyGate } from "../../../src/channels/reply-gate.ts";
import type { RespPort } from "../../../src/channels/resp-port.ts";
import { silentLog } from "../../../src/core/logging/log.ts";
import type { World } from "../../../src/core/role.ts";
import { SimPort, type TestClient } from "../dht/sim-port.ts";

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
  readonly #sim: SimPort;

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
    this.#sim = new SimPort({ clock: world.clock, durable, gate, state: durable.queues });
    this.port = this.#sim.port;
  }

  connect(): TestClient {
    return this.#sim.connect();
  }

  /** Frees the memory of a node whose process "died": nothing is written any more. */
  abandon(): void {
    this.#sim.close();
    this.#sim.engine.close();
    this.durable.queues.close();
  }

  async close(): Promise<void> {
    this.#sim.close();
    await this.durable.close(() => this.#sim.engine.close());
  }
}
