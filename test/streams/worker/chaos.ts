/**
 * One simulated life of a cluster with everything that can happen to it, from one seed.
 *
 * Processes die, hosts lose their power, connections break, links stall, the leader dies like any other, workers move to
 * other hosts, senders to other workers. In the end all are healed, and the committed output must hold every value of every key exactly once.
 */
import detector from "../../../src/streams/apps/detector.ts";
import type { FaultCounts } from "../../../src/core/sim/faults.ts";
import { seededRandom, type Random } from "../../../src/core/seams/random.ts";
import { StreamCluster, violation } from "./sim-cluster.ts";

const KEYS = Array.from({ length: 7 }, (_, index) => `key_${index}`);

export interface ChaosResult {
  seed: number;
  faults: FaultCounts;
  events: Record<string, number>;
  epochs: number;
  /** Values of each key. */
  count: number;
  /** Undefined: nothing. */
  wrong: string | undefined;
}

type Happening = (cluster: StreamCluster, random: Random) => Promise<void>;

function pick(random: Random, cluster: StreamCluster): string {
  const names = [...cluster.workers.keys()];
  return names[random.integer(names.length)] as string;
}

async function bringBack(cluster: StreamCluster, name: string): Promise<void> {
  if (cluster.workers.get(name)?.worker === undefined && cluster.workers.get(name)?.fatal === undefined)
    return;
  await cluster.restart(name);
}

const happenings: Record<string, Happening> = {
  async kill(cluster, random) {
    const name = pick(random, cluster);
    cluster.kill(name);
    await cluster.pause(random.integer(400));
    await bringBack(cluster, name);
  },
  async power(cluster, random) {
    const name = pick(random, cluster);
    cluster.losePower(name);
    await cluster.pause(random.integer(400));
    await bringBack(cluster, name);
  },
  async killTwo(cluster, random) {
    const [first, second] = [pick(random, cluster), pick(random, cluster)];
    cluster.kill(first);
    await cluster.pause(random.integer(100));
    if (second !== first) cluster.kill(second);
    await cluster.pause(random.integer(100));
    await bringBack(cluster, first);
    await cluster.pause(random.integer(200));
    if (second !== first) await bringBack(cluster, second);
  },
  async killAll(cluster, random) {
    const names = [...cluster.workers.keys()];
    for (const name of names) cluster.kill(name);
    for (let left = names.length; left > 0; left--) {
      const [name = ""] = names.splice(random.integer(left), 1);
      await cluster.pause(random.integer(100));
      await bringBack(cluster, name);
    }
  },
  async reset(cluster, random) {
    for (let count = 0; count < 5; count++) {
      cluster.sim.network.resetOne();
      await cluster.pause(random.integer(30));
    }
  },
  async stall(cluster, random) {
    const [from, to] = [pick(random, cluster), pick(random, cluster)];
    const address = (name: string) => cluster.workers.get(name)?.spec.host ?? "";
    cluster.sim.network.cut(address(from), address(to));
    await cluster.pause(50 + random.integer(500));
    cluster.sim.network.heal();
  },
  async turn(cluster, random) {
    for (let count = 0; count < 3; count++) {
      const { spec } = cluster.workers.get(pick(random, cluster)) as { spec: { host: string } };
      for (const sender of cluster.senders) sender.turnTo(spec.host);
      await cluster.pause(random.integer(200));
    }
  },
  async calm(cluster, random) {
    await cluster.pause(random.integer(600));
  },
};

export function chaos(seed: number, happeningsMax = 8): ChaosResult {
  const random = seededRandom(seed ^ 0x5eed);
  const size = 1 + random.integer(3);
  const depth = 1 + random.integer(2);
  const args = ["--depth", String(depth)];
  const cluster = new StreamCluster(seed, {
    app: detector,
    args,
    size,
    doAllListen: true,
    checkpointMs: 30 + random.integer(200),
  });
  const events: Record<string, number> = {};
  let count = 0;
  const wrong = cluster.scheduler.run(
    async () => {
      await cluster.startAll();
      const sender = cluster.send(KEYS, Number.POSITIVE_INFINITY);
      cluster.sim.network.options.reset = random.integer(3) === 0 ? 0.002 : 0;
      const names = Object.keys(happenings);
      for (let number = 0; number < happeningsMax; number++) {
        const name = names[random.integer(names.length)] as string;
        events[name] = (events[name] ?? 0) + 1;
        await (happenings[name] as Happening)(cluster, random);
        await cluster.pause(random.integer(150));
      }
      cluster.sim.network.options.reset = 0;
      cluster.sim.network.heal();
      count = sender.finish();
      await cluster.untilAcked();
      const errors = cluster.senders.flatMap((sender) => sender.errors);
      return violation(await cluster.output(), KEYS, count) ?? errors[0];
    },
    { timeLimitMs: 900_000 },
  );
  return {
    seed,
    faults: cluster.sim.faults(),
    events,
    epochs: cluster.leader.leader?.status.epoch ?? 0,
    count,
    wrong,
  };
}
