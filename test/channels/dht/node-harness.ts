/**
 * A dht node inside one process over any world: store, log, gate and listener as the role builds them, with clients
 * that are plain objects instead of sockets. Simulations and tests of the whole path from chunk to reply use it.
 */
import type { DumpSettings } from "../../../src/channels/dht/dump-start.ts";
import { DurableStore } from "../../../src/channels/dht/durable-store.ts";
import { type Durability, ReplyGate } from "../../../src/channels/reply-gate.ts";
import type { RespPort } from "../../../src/channels/resp-port.ts";
import { silentLog } from "../../../src/core/logging/log.ts";
import type { World } from "../../../src/core/role.ts";
import { SimPort, type TestClient } from "./sim-port.ts";

export { requestOf, TestClient } from "./sim-port.ts";

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
  readonly #sim: SimPort;

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
    const { connections, outboxBytesMax } = options;
    const state = durable.store;
    this.#sim = new SimPort({ clock: world.clock, durable, gate, state, connections, outboxBytesMax });
    this.port = this.#sim.port;
  }

  refuseWrites(text: string | undefined): void {
    this.#sim.engine.refuseWrites(text);
  }

  /** What the listener answers when it is asked. */
  mayRest(): boolean {
    return this.#sim.mayRest();
  }

  connect(): TestClient {
    return this.#sim.connect();
  }

  /** Frees the memory of a node whose process "died": nothing is written any more. */
  abandon(): void {
    this.#sim.close();
    this.#sim.engine.close();
    this.durable.store.close();
  }

  async close(): Promise<void> {
    this.#sim.close();
    await this.durable.close(() => this.#sim.engine.close());
  }
}
