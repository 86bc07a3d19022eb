/**
 * A system that grows from two nodes to three, and shrinks again, while clients write, remove and read: nodes die at any
 * moment, and whoever runs the redistribution is started again until it is through. What was acknowledged must be there in
 * the end, at the node that owns it and nowhere else, and what was removed must not come back.
 */
import { DhtClient, keyText } from "../../../src/channels/client.ts";
import { equalParts } from "../../../src/channels/redistribute/plan.ts";
import { readNodes, redistributeSystem } from "../../../src/channels/redistribute/run.ts";
import { SimCluster } from "../../../src/core/sim/world.ts";
import { SIM_PORTS, type SimRole, startDht } from "../client/sim-nodes.ts";

const KEYS = 60;
const NOTHING = { min: "f".repeat(16), max: "0".repeat(16) };

export interface RedistributeSimulation {
  violations: string[];
  acknowledged: number;
  attempts: number;
  hash: string;
}

export function simulateRedistribution(seed: number): RedistributeSimulation {
  const cluster = new SimCluster(seed, { disk: { latencyMinMs: 0.05, latencyMeanMs: 0.2 } });
  const random = cluster.scheduler.fork();
  const hosts = ["10.0.0.1", "10.0.0.2", "10.0.0.3"].map((address) => cluster.host(address));
  const hashRanges = [
    { min: "0000000000000000", max: "7fffffffffffffff" },
    { min: "8000000000000000", max: "ffffffffffffffff" },
    NOTHING,
  ];
  const nodes = hosts.map(({ address }) => ({ host: address, port: SIM_PORTS.port }));
  const violations: string[] = [];
  /** Undefined: removed. */
  const settled = new Map<string, string | undefined>();
  const inDoubt = new Set<string>();
  let [acknowledged, attempts, version, isOver] = [0, 0, 0, false];
  const wait = (ms: number) => new Promise<void>((resolve) => cluster.scheduler.after(ms, resolve));
  const keys = Array.from({ length: KEYS }, (_, index) => keyText(BigInt(index)));

  /** Nodes that live, by host. */
  const alive = new Map<number, SimRole>();
  const start = async (index: number) => {
    const host = hosts[index] as (typeof hosts)[number];
    alive.set(index, await startDht(host, { hashRange: hashRanges[index] }));
  };

  /** At no moment do two nodes own a key. */
  function checkOwners(): void {
    const ranges = [...alive.values()].map(
      ({ role }) => (role.stats().hashRange ?? {}) as { min: string; max: string },
    );
    const parts = ranges.filter(({ min, max }) => min <= max).sort((a, b) => (a.min < b.min ? -1 : 1));
    for (let index = 1; index < parts.length; index++)
      if ((parts[index - 1]?.max ?? "") >= (parts[index]?.min ?? "")) violations.push("two nodes own a key");
  }

  async function write(client: DhtClient, own: string[]): Promise<void> {
    while (!isOver) {
      const key = own[random.integer(own.length)] as string;
      const value = random.integer(3) === 0 ? undefined : `v${++version}`;
      try {
        await (value === undefined ? client.remove("ch", key) : client.put("ch", key, value));
        settled.set(key, value);
        inDoubt.delete(key);
        acknowledged++;
      } catch {
        inDoubt.add(key);
      }
      checkOwners();
      await wait(random.float() * 20);
    }
  }

  async function divide(host: string, staying: number): Promise<void> {
    const planned = equalParts(nodes.slice(0, staying), nodes.slice(staying));
    for (;;) {
      attempts++;
      const { net, clock } = cluster.host(host).start().world;
      let isThrough = false;
      const run = redistributeSystem({ net, clock, nodes: planned, onPhase: () => {} }).then(
        () => (isThrough = true),
        () => undefined,
      );
      // Sometimes it is killed in the middle.
      const lifeMs = random.integer(2) === 0 ? 20 + random.float() * 120 : 60_000;
      await Promise.race([run, wait(lifeMs)]);
      cluster.host(host).killProcess();
      if (isThrough) return;
      await wait(50);
    }
  }

  cluster.scheduler.run(
    async () => {
      for (const index of hosts.keys()) await start(index);
      const { world } = cluster.host("10.0.0.9").start();
      const options = { nodes, timeoutMs: 20_000, attemptTimeoutMs: 150, connections: 2, backoffMaxMs: 50 };
      const client = await DhtClient.connect(world, options);
      await client.putMany(
        "ch",
        keys.map((key) => ({ key, value: "first" })),
      );
      for (const key of keys) settled.set(key, "first");
      const writers = [0, 1, 2].map((each) =>
        write(
          client,
          keys.filter((_, index) => index % 3 === each),
        ),
      );
      for (const staying of [3, 2]) {
        const dividing = divide("10.0.0.8", staying);
        await wait(random.float() * 200);
        const index = random.integer(3);
        const host = hosts[index] as (typeof hosts)[number];
        alive.delete(index);
        if (random.integer(2) === 0) host.killProcess();
        else host.losePower({ names: "any", isTearing: true });
        await wait(random.float() * 50);
        await start(index);
        await dividing;
      }
      isOver = true;
      await Promise.all(writers);
      for (const key of keys) {
        const found = (await client.get("ch", key))?.toString();
        if (!inDoubt.has(key) && found !== settled.get(key))
          violations.push(`${key} is ${found}, acknowledged was ${settled.get(key)}`);
      }
      const states = await readNodes(world.net, equalParts(nodes.slice(0, 2), nodes.slice(2)));
      for (const { host, range, target, records } of states) {
        if (range.min !== target.min || range.max !== target.max)
          violations.push(`${host} has another range`);
        if (range.min > range.max && records > 0) violations.push(`${host} has kept ${records} records`);
      }
      client.close();
    },
    { timeLimitMs: 3_600_000 },
  );
  return { violations, acknowledged, attempts, hash: cluster.scheduler.traceHash };
}
