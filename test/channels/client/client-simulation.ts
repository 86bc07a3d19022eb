/**
 * A client and two durable nodes in one simulated world: processes die, power goes, links are cut and connections reset
 * while the client writes and reads. What was acknowledged must be there, and every call must end.
 */
import { DhtClient, keyText, neo } from "../../../src/channels/client.ts";
import { SimCluster } from "../../../src/core/sim/world.ts";
import { SECRET } from "../wire/legacy/server.ts";
import { SIM_PORTS, startDht } from "./sim-nodes.ts";

export interface ClientSimulation {
  violations: string[];
  acknowledged: number;
  failed: number;
  hash: string;
  faults: string;
}

const KEYS = 12;
const TIMEOUT_MS = 400;

/** `credentials`: a file that exists, for nodes and a client that speak neo. */
export function simulateClient(seed: number, credentials?: string): ClientSimulation {
  const cluster = new SimCluster(seed, { disk: { latencyMinMs: 0.05, latencyMeanMs: 0.2 } });
  const random = cluster.scheduler.fork();
  const hosts = ["10.0.0.1", "10.0.0.2"].map((address) => cluster.host(address));
  const neoSettings = credentials === undefined ? {} : { neo: { credentialsFile: credentials } };
  const settings = [
    { ...neoSettings, hashRange: { min: "0000000000000000", max: "7fffffffffffffff" } },
    { ...neoSettings, hashRange: { min: "8000000000000000", max: "ffffffffffffffff" } },
  ];
  const violations: string[] = [];
  const settled = new Map<string, string>();
  const inDoubt = new Map<string, Set<string>>();
  let [acknowledged, failed, version, isOver] = [0, 0, 0, false];
  const wait = (ms: number) => new Promise<void>((resolve) => cluster.scheduler.after(ms, resolve));

  /** One owner of some keys: writes or reads one, again and again. */
  async function work(client: DhtClient, keys: string[]): Promise<void> {
    while (!isOver) {
      const key = keys[random.integer(keys.length)] as string;
      const startMs = cluster.scheduler.timeMs;
      try {
        if (random.integer(3) > 0) {
          const value = `v${++version}`;
          inDoubt.set(key, (inDoubt.get(key) ?? new Set()).add(value));
          await client.put("ch", key, value);
          settled.set(key, value);
          inDoubt.delete(key);
          acknowledged++;
        } else {
          const found = (await client.get("ch", key))?.toString();
          const isKnown = found === settled.get(key) || inDoubt.get(key)?.has(found ?? "") === true;
          if (!isKnown) violations.push(`${key} is ${found}, acknowledged was ${settled.get(key)}`);
          // What was seen is durable: from here on it counts.
          if (found !== undefined) settled.set(key, found);
        }
      } catch {
        failed++;
      }
      const tookMs = cluster.scheduler.timeMs - startMs;
      if (tookMs > TIMEOUT_MS + 200) violations.push(`a call took ${tookMs.toFixed(0)} ms`);
      await wait(random.float() * 3);
    }
  }

  async function disturb(): Promise<void> {
    for (let round = 0; round < 5; round++) {
      await wait(20 + random.float() * 150);
      const index = random.integer(2);
      const host = hosts[index] as (typeof hosts)[number];
      switch (random.integer(4)) {
        case 0:
          host.killProcess();
          break;
        case 1:
          host.losePower({ names: "any", isTearing: true });
          break;
        case 2:
          cluster.network.cut("10.0.0.9", host.address);
          await wait(random.float() * 300);
          cluster.network.heal();
          continue;
        default:
          cluster.network.resetOne();
          continue;
      }
      await wait(random.float() * 700);
      await startDht(host, settings[index]);
    }
  }

  cluster.scheduler.run(
    async () => {
      for (const [index, host] of hosts.entries()) await startDht(host, settings[index]);
      const { world } = cluster.host("10.0.0.9").start();
      const port = credentials === undefined ? SIM_PORTS.port : SIM_PORTS.neoPort;
      const nodes = hosts.map(({ address }) => ({ host: address, port }));
      const protocol =
        credentials === undefined ? { connections: 2 } : neo(world, { name: "admin", secret: SECRET });
      const options = {
        nodes,
        timeoutMs: TIMEOUT_MS,
        attemptTimeoutMs: 100,
        ...protocol,
        backoffMaxMs: 50,
      };
      const client = await DhtClient.connect(world, options);
      const all = Array.from({ length: KEYS }, (_, index) => keyText(BigInt(index)));
      const workers = [0, 1, 2].map((each) =>
        work(
          client,
          all.filter((_, index) => index % 3 === each),
        ),
      );
      await disturb();
      isOver = true;
      await Promise.all(workers);
      for (const key of all) {
        const found = (await client.get("ch", key))?.toString();
        if (found !== settled.get(key) && inDoubt.get(key)?.has(found ?? "") !== true)
          violations.push(`in the end ${key} is ${found}, acknowledged was ${settled.get(key)}`);
      }
      client.close();
    },
    { timeLimitMs: 600_000 },
  );
  const { traceHash: hash } = cluster.scheduler;
  return { violations, acknowledged, failed, hash, faults: String(cluster.faults()) };
}
