/**
 * Simulated lives of dhtdump beside its node: either dies at any moment, connections are reset, power goes. Whatever
 * happens, each dump that is there is one whole state that the channel had between the start and the end of a dump.
 */
import { expect, test } from "bun:test";
import { DhtClient } from "../../../src/channels/client.ts";
import { dhtdumpConfig } from "../../../src/channels/dhtdump/config.ts";
import { dhtdump } from "../../../src/channels/dhtdump/role.ts";
import { loadDumps } from "../../../src/channels/tcm/load.ts";
import { silentLog } from "../../../src/core/logging/log.ts";
import { SimCluster } from "../../../src/core/sim/world.ts";
import { Store } from "../../../src/native/store.ts";
import { SIM_PORTS, startDht, startOn } from "../client/sim-nodes.ts";
import { contentOf, everyHash } from "../tcm/harness.ts";

const RECORDS = 40;
const settings = { periodSeconds: 1, minWaitSeconds: 0, retryWaitSeconds: 1, silenceSecondsMax: 5 };

/** Every record of one generation has its number: a dump that mixes more than two neighbours is wrong. */
function simulate(seed: number): { dumps: number; violations: string[]; hash: string } {
  const cluster = new SimCluster(seed, {
    net: { reset: 0.002 },
    disk: { latencyMinMs: 0.05, latencyMeanMs: 0.3 },
  });
  const random = cluster.scheduler.fork();
  const [node, dumper] = [cluster.host("10.0.0.1"), cluster.host("10.0.0.2")];
  const violations: string[] = [];
  let [dumps, generation, isOver] = [0, 0, false];
  const wait = (ms: number) => new Promise<void>((resolve) => cluster.scheduler.after(ms, resolve));
  const startDump = () =>
    startOn(dumper, dhtdump, dhtdumpConfig, {
      node: { host: "10.0.0.1", port: SIM_PORTS.port },
      ...settings,
    });

  async function write(client: DhtClient): Promise<void> {
    while (!isOver) {
      const next = generation + 1;
      const records = Array.from({ length: RECORDS }, (_, index) => ({
        key: BigInt(index),
        value: `${next}`,
      }));
      await client.putMany("ch", records).then(
        () => (generation = next),
        () => undefined,
      );
      await wait(50 + random.float() * 400);
    }
  }

  /** What a node would load of the dumper's directory. */
  async function look(): Promise<void> {
    const { world } = dumper.start();
    const store = new Store({ seed: new Uint8Array(16) });
    const options = {
      directory: "/data",
      store,
      valueBytesMax: 65_536,
      range: everyHash,
      abortAfterAllOutOfRange: 0,
    };
    try {
      await loadDumps({ ...options, world, log: silentLog(), outOfRange: "load", progress: () => {} });
    } catch (error) {
      violations.push(`a dump is damaged: ${(error as Error).message}`);
    }
    const content = contentOf(store);
    store.close();
    const values = [...new Set(Object.values(content))].map(Number).sort((a, b) => a - b);
    if (values.length > 0) dumps++;
    const isFirst = values[0] === 1 && values.length === 1;
    if (values.length > 0 && Object.keys(content).length < RECORDS && !isFirst)
      violations.push(`only ${Object.keys(content).length} records of generations ${values.join()}`);
    if (values.length > 2 || (values.at(-1) ?? 0) - (values[0] ?? 0) > 1)
      violations.push(`generations ${values.join()} in one dump`);
  }

  cluster.scheduler.run(
    async () => {
      await startDht(node);
      const { world } = cluster.host("10.0.0.9").start();
      const nodes = [{ host: "10.0.0.1", port: SIM_PORTS.port }];
      const client = await DhtClient.connect(world, { nodes, timeoutMs: 20_000, attemptTimeoutMs: 200 });
      const writing = write(client);
      for (let life = 0; life < 6; life++) {
        await startDump();
        await wait(200 + random.float() * 3000);
        if (random.integer(3) === 0) {
          node.killProcess();
          await wait(random.float() * 500);
          await startDht(node);
          await wait(random.float() * 2500);
        }
        if (random.integer(2) === 0) dumper.killProcess();
        else dumper.losePower({ names: "any", isTearing: true });
        await look();
        dumper.killProcess();
      }
      isOver = true;
      await writing;
      client.close();
    },
    { timeLimitMs: 3_600_000 },
  );
  return { dumps, violations, hash: cluster.scheduler.traceHash };
}

test("a dump that is there is whole, whoever died while it was written", () => {
  let dumps = 0;
  for (let seed = 1; seed <= 15; seed++) {
    const run = simulate(seed);
    expect({ seed, violations: run.violations }).toEqual({ seed, violations: [] });
    dumps += run.dumps;
  }
  expect(dumps).toBeGreaterThan(20);
  expect(simulate(3)).toEqual(simulate(3));
}, 60_000);
