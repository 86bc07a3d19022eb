/**
 * Workers between our own roles, all in one simulated network: counts to a dht, records from one queue to another, with the
 * worker dying on the way.
 */
import { expect, test } from "bun:test";
import { DhtClient, QueueClient } from "../../../src/channels/client.ts";
import { queueConfig } from "../../../src/channels/queue/config.ts";
import { queue } from "../../../src/channels/queue/role.ts";
import type { App } from "../../../src/streams/api/contract.ts";
import { app, framed } from "../../../src/streams/api/index.ts";
import { SIM_PORTS, startDht, startOn } from "../../channels/client/sim-nodes.ts";
import { StreamCluster } from "../worker/sim-cluster.ts";

const NODE = { host: "10.0.2.1", port: SIM_PORTS.port };
const OTHER = { host: "10.0.2.2", port: SIM_PORTS.port };
const CLIENT = "10.0.2.9";

/** Counts records by key and says for each, under its key, how often it was seen. */
const counting: App = app("counting", (a) => {
  a.source<string>("In", { framing: framed(), decode: (frame) => frame.text(8) })
    .keyBy((word) => word)
    .state<{ count: number }, string>("counts", { init: () => ({ count: 0 }) }, (word, state, out) => {
      state.count += 1;
      out.emit(`${word.padStart(16, "0")}\t${state.count}`);
    })
    .to(a.sink<string>("Out", { framing: framed(), encode: (text, out) => out.utf8(text) }));
});

const passing: App = app("passing", (a) => {
  a.source<string>("In", { framing: framed(), decode: (frame) => frame.text(0) }).to(
    a.sink<string>("Out", { framing: framed(), encode: (text, out) => out.utf8(text) }),
  );
});

const settingsOf = (kind: string) => ({
  ...{ host: kind, port: SIM_PORTS.port },
});

test("counts of acknowledged records are exact in a dht, whatever the worker's deaths", () => {
  const KEYS = ["0", "1", "2", "3"];
  const COUNT = 150;
  for (let seed = 1; seed <= 2; seed++) {
    const cluster = new StreamCluster(seed, { app: counting, size: 1, checkpointMs: 40, sources: ["In"] });
    const random = cluster.scheduler.fork();
    cluster.scheduler.run(async () => {
      await startDht(cluster.sim.host(OTHER.host));
      const settings = { sinks: [`Out=dht://${OTHER.host}:${OTHER.port}/counts`] };
      await cluster.start({ name: "initializer", host: "10.0.0.1", settings });
      cluster.send(KEYS, COUNT);
      for (let death = 0; death < 4; death++) {
        await cluster.pause(random.float() * 200);
        if (random.integer(2) === 0) cluster.kill("initializer");
        else cluster.losePower("initializer");
        await cluster.restart("initializer");
      }
      await cluster.untilAcked();
      await cluster.pause(1000);
      const { world } = cluster.sim.host(CLIENT).start();
      const dht = await DhtClient.connect(world, { nodes: [OTHER] });
      const counts = await dht.getMany(
        "counts",
        KEYS.map((key) => key.padStart(16, "0")),
      );
      expect(counts.map(String), `seed ${seed}`).toEqual(KEYS.map(() => String(COUNT)));
      dht.close();
    });
  }
}, 60_000);

/** Records from one queue to another; between the beginning and the end something is done to the worker. */
async function betweenQueues(
  cluster: StreamCluster,
  { records, inFlight }: { records: number; inFlight: number },
  disturb: () => Promise<void>,
): Promise<number[]> {
  for (const { host } of [NODE, OTHER])
    await startOn(cluster.sim.host(host), queue, queueConfig, { ...settingsOf(host), respPort: null });
  const { world } = cluster.sim.host(CLIENT).start();
  const [input, output] = [NODE, OTHER].map((node) => new QueueClient(world, { nodes: [node] })) as [
    QueueClient,
    QueueClient,
  ];
  for (let record = 1; record <= records; record++) await input.push("in", String(record));
  const settings = {
    sources: [`In=queue://${NODE.host}:${NODE.port}/in?pollMs=10`],
    sinks: [`Out=queue://${OTHER.host}:${OTHER.port}/out?inFlight=${inFlight}`],
  };
  await cluster.start({ name: "initializer", host: "10.0.0.1", settings });
  await disturb();
  await cluster.pause(5000);
  const numbers: number[] = [];
  for (let next = await output.pop("out"); next !== undefined; next = await output.pop("out"))
    numbers.push(Number(next));
  input.close();
  output.close();
  return numbers;
}

test("records go from one queue to another in order, each at least once, and at most a batch is lost with a death", () => {
  // One by one a delivery takes long enough for deaths in the middle of it.
  for (const [seed, inFlight] of [
    [1, 1],
    [2, 64],
  ] as const) {
    const cluster = new StreamCluster(seed, { app: passing, size: 1, checkpointMs: 40 });
    const random = cluster.scheduler.fork();
    cluster.scheduler.run(async () => {
      const RECORDS = 400;
      const DEATHS = 3;
      const numbers = await betweenQueues(cluster, { records: RECORDS, inFlight }, async () => {
        for (let death = 0; death < DEATHS; death++) {
          await cluster.pause(20 + random.float() * 150);
          cluster.kill("initializer");
          await cluster.restart("initializer");
        }
      });
      const seen = new Set(numbers);
      expect(RECORDS - seen.size, `seed ${seed}`).toBeLessThanOrEqual(16 * DEATHS);
      // What comes again comes as a whole checkpoint: each first appearance is in order.
      const firsts = [...seen];
      expect(firsts).toEqual(firsts.toSorted((a, b) => a - b));
    });
  }
}, 60_000);

test("a worker that is stopped loses nothing of a queue, nor what the queue gives it while it stops", () => {
  const cluster = new StreamCluster(3, { app: passing, size: 1, checkpointMs: 40 });
  cluster.scheduler.run(async () => {
    const RECORDS = 500;
    let taken = 0;
    const numbers = await betweenQueues(cluster, { records: RECORDS, inFlight: 64 }, async () => {
      for (let stop = 0; stop < 4; stop++) {
        const before = cluster.leader.engine.recordsIn;
        await cluster.until("some records", () => cluster.leader.engine.recordsIn > before + 50);
        await cluster.leader.finish(5000);
        taken += cluster.leader.engine.recordsIn;
        await cluster.leader.close();
        cluster.kill("initializer");
        await cluster.restart("initializer");
      }
    });
    expect(taken).toBeLessThan(RECORDS);
    expect(numbers).toEqual(Array.from({ length: RECORDS }, (_, index) => index + 1));
  });
}, 60_000);
