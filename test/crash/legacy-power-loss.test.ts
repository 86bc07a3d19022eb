/**
 * Power loss under the legacy port: clients put, remove and read over a simulated disk, the power goes at a random moment,
 * the node starts again from what the disk kept. Every acknowledged change must be there, a change in flight whole or
 * not at all, and no value that was read may be gone.
 */
import { expect, test } from "bun:test";
import { DurableStore } from "../../src/channels/dht/durable-store.ts";
import { LegacyPort } from "../../src/channels/legacy-port.ts";
import { type Durability, ReplyGate } from "../../src/channels/reply-gate.ts";
import { requestBytes } from "../../src/channels/wire/legacy/client.ts";
import { Command, keyText } from "../../src/channels/wire/legacy/protocol.ts";
import { silentLog } from "../../src/core/logging/log.ts";
import type { World } from "../../src/core/role.ts";
import type { ListenOptions, Net, SocketHandlers } from "../../src/core/seams/net.ts";
import { SimClock } from "../../src/core/sim/clock.ts";
import { SimDisk } from "../../src/core/sim/disk.ts";
import { Scheduler } from "../../src/core/sim/scheduler.ts";
import { LegacyEngine } from "../../src/native/legacy.ts";
import { dumpDefaults, TestClient } from "../channels/dht/node-harness.ts";

type SimWorld = Omit<World, "net">;

interface Node {
  durable: DurableStore;
  connect(): TestClient;
  abandon(): void;
  close(): Promise<void>;
}

async function openNode(world: SimWorld, believe?: (durable: DurableStore) => Durability): Promise<Node> {
  let gate: ReplyGate | undefined;
  let handlers: SocketHandlers<unknown> | undefined;
  const durable = await DurableStore.open({
    world: { ...world, net: undefined as never },
    log: silentLog(),
    dataDir: "/data",
    mode: "log",
    dump: dumpDefaults,
    memoryBytesMax: 0,
    compaction: { logBytesMin: 1500, growthPercent: 100 },
    onDurable: () => gate?.onProgress(),
    onDrain() {},
    onRefusal() {},
    onFatal() {},
    onGroup() {},
    progress() {},
  });
  gate = new ReplyGate(believe?.(durable) ?? durable);
  const engine = new LegacyEngine(durable.store);
  const net: Net = {
    listen: async <Data>(options: ListenOptions<Data>) => {
      handlers = options.handlers as SocketHandlers<unknown>;
      return { host: "test", port: 1, stop() {} };
    },
    connect: () => Promise.reject(new Error("not in this test")),
  };
  const limits = {
    connections: 100,
    idleTimeoutMs: 0,
    stallTimeoutMs: 0,
    outboxBytesMax: 1 << 20,
    valueBytesMax: 1 << 20,
  };
  const port = new LegacyPort({
    net,
    clock: world.clock,
    log: silentLog(),
    host: "127.0.0.1",
    port: 0,
    tls: undefined,
    durable,
    gate,
    engine,
    backlog: 16,
    writeFlushMs: 1,
    limits: () => limits,
  });
  await port.listen();
  return {
    durable,
    connect: () => new TestClient(handlers as SocketHandlers<unknown>),
    abandon() {
      port.closeAll();
      engine.close();
      durable.store.close();
    },
    async close() {
      port.closeAll();
      engine.close();
      await durable.close();
    },
  };
}

/** Sends one request; resolves with the answer's bytes once `length` (of what came) are there. */
class Caller {
  readonly #client: TestClient;
  readonly #clock: SimClock;

  constructor(client: TestClient, clock: SimClock) {
    this.#client = client;
    this.#clock = clock;
  }

  call(request: Uint8Array, length: (received: Buffer) => number): Promise<Buffer> {
    this.#client.received = Buffer.alloc(0);
    this.#client.send(request);
    const { promise, resolve } = Promise.withResolvers<Buffer>();
    const look = () => {
      const { received } = this.#client;
      if (received.byteLength >= 4 && received.byteLength >= length(received)) resolve(received);
      else this.#clock.after(0.05, look);
    };
    look();
    return promise;
  }
}

const getLength = (received: Buffer) =>
  received.byteLength < 12 ? 12 : 12 + Number(received.readBigUInt64LE(4));

const KEYS = 8;

/** Runs one seed; returns what is wrong. */
function runSeed(seed: number, believe?: (durable: DurableStore) => Durability) {
  const scheduler = new Scheduler(seed);
  const random = scheduler.fork();
  const disk = new SimDisk(scheduler, { sectorBytes: 512, latencyMinMs: 0.05, latencyMeanMs: 0.2 });
  const settled = new Map<string, string>();
  const violations: string[] = [];
  let acknowledged = 0;
  for (let life = 0; life < 3; life++) {
    const clock = new SimClock(scheduler);
    const world = { clock, disk, random: scheduler.fork() };
    const inFlight = new Map<string, string>();
    const seen = new Map<string, string>();
    let node: Node | undefined;
    scheduler.run(async () => {
      node = await openNode(world, believe);
      const think = () => new Promise<void>((resolve) => clock.after(random.float() * 0.4, resolve));
      for (let index = 0; index < KEYS; index++) {
        const caller = new Caller(node.connect(), clock);
        const key = keyText(BigInt(index));
        let version = 0;
        const step = async () => {
          await think();
          const value =
            random.integer(4) === 0 ? "" : `${seed}.${life}.${++version}${"x".repeat(random.integer(600))}`;
          inFlight.set(key, value);
          const request =
            value === ""
              ? requestBytes(Command.Remove, "ch", key)
              : requestBytes(Command.Put, "ch", key, value);
          await caller.call(request, () => 4);
          settled.set(key, value);
          inFlight.delete(key);
          acknowledged++;
        };
        loop(step);
      }
      const reader = new Caller(node.connect(), clock);
      loop(async () => {
        await think();
        const key = keyText(BigInt(random.integer(KEYS)));
        const answer = await reader.call(requestBytes(Command.Get, "ch", key), getLength);
        seen.set(key, answer.toString("latin1", 12));
      });
      await new Promise<void>((resolve) => scheduler.after(2 + random.float() * 40, resolve));
    });
    clock.kill();
    disk.crash({ names: random.integer(2) === 0 ? "any" : "ordered", isTearing: true });
    node?.abandon();
    const found = scheduler.run(async () => {
      const again = new SimClock(scheduler);
      const next = await openNode({ clock: again, disk, random: scheduler.fork() });
      const reader = new Caller(next.connect(), again);
      const values = new Map<string, string>();
      for (let index = 0; index < KEYS; index++) {
        const key = keyText(BigInt(index));
        const answer = await reader.call(requestBytes(Command.Get, "ch", key), getLength);
        values.set(key, answer.toString("latin1", 12));
      }
      await next.close();
      return values;
    });
    for (const [key, value] of found) {
      const before = settled.get(key) ?? "";
      if (value !== before && value !== inFlight.get(key))
        violations.push(`acknowledged: ${key} is ${value.slice(0, 20)}`);
      const read = seen.get(key) ?? "";
      if (read !== "" && inFlight.get(key) === read && value !== read) violations.push(`seen: ${key}`);
      settled.set(key, value);
    }
  }
  return { violations, acknowledged };
}

function loop(step: () => Promise<void>): void {
  void step().then(() => loop(step));
}

test("no acknowledged change is lost and no value that was read is taken back", () => {
  let acknowledged = 0;
  for (let seed = 1; seed <= 25; seed++) {
    const result = runSeed(seed);
    expect(result.violations, `seed ${seed}`).toEqual([]);
    acknowledged += result.acknowledged;
  }
  expect(acknowledged).toBeGreaterThan(1000);
}, 120_000);

test("negative control: answers before the sync are caught", () => {
  const believe = () => ({ position: 0, durablePosition: 0, isStalled: false });
  const caught = Array.from({ length: 40 }, (_, seed) => runSeed(seed + 1, believe)).flatMap(
    ({ violations }) => violations,
  );
  expect(caught.some((text) => text.startsWith("acknowledged"))).toBe(true);
}, 120_000);
