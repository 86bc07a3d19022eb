/** Clusters in a simulation: every key's values reach the committed output exactly once, whatever dies when. */
import { describe, expect, test } from "bun:test";
import detector from "../../../src/streams/apps/detector.ts";
import { FaultCounts } from "../../../src/core/sim/faults.ts";
import { chaos } from "./chaos.ts";
import { SimReceiver } from "./sim-receiver.ts";
import { StreamCluster, violation, workerSpec } from "./sim-cluster.ts";

const KEYS = Array.from({ length: 11 }, (_, index) => `key_${index}`);
const LIMITS = { timeLimitMs: 600_000 };

function simulate(seed: number, size: number, life: (cluster: StreamCluster) => Promise<void>): void {
  const cluster = new StreamCluster(seed, { app: detector, size });
  cluster.scheduler.run(() => life(cluster), LIMITS);
}

async function expectValid(cluster: StreamCluster, count: number): Promise<void> {
  await cluster.untilAcked();
  expect(violation(await cluster.output(), KEYS, count)).toBeUndefined();
  expect(cluster.senders.flatMap(({ errors }) => errors)).toEqual([]);
}

describe.each([1, 2, 3])("%p workers", (size) => {
  test("every value of every key comes out once, in order", () => {
    simulate(1, size, async (cluster) => {
      await cluster.startAll();
      cluster.send(KEYS, 200);
      await expectValid(cluster, 200);
    });
  });
});

test("a worker that dies in the middle comes back with its checkpoint", () => {
  simulate(2, 2, async (cluster) => {
    await cluster.startAll();
    const sender = cluster.send(KEYS, 300);
    await cluster.until("some progress", () => sender.acked > 500);
    cluster.kill("worker2");
    await cluster.pause(300);
    await cluster.restart("worker2");
    await expectValid(cluster, 300);
    expect(sender.restarts).toBeGreaterThan(0);
  });
});

test("what overtakes a barrier on another link is held until the checkpoint is aligned", () => {
  simulate(3, 3, async (cluster) => {
    await cluster.startAll();
    const sender = cluster.send(KEYS, Number.POSITIVE_INFINITY);
    await cluster.until("some progress", () => sender.acked > 50);
    const { network } = cluster.sim;
    // The barrier of worker3 does not get to worker2, while the initializer is aligned and goes on.
    network.cut("10.0.0.3", "10.0.0.2");
    const held = () => cluster.workers.get("worker2")?.worker?.runtime.stats.heldRecords ?? 0;
    await cluster.until("records behind the barrier", () => held() > 3, 2000);
    network.heal();
    const before = cluster.leader.leader?.status.checkpoint ?? 0;
    await cluster.until("the checkpoint", () => (cluster.leader.leader?.status.checkpoint ?? 0) > before);
    cluster.kill("worker2");
    await cluster.restart("worker2");
    await expectValid(cluster, sender.finish());
  });
});

test("clusters survive whatever their seed has for them", () => {
  const faults = new FaultCounts();
  for (let seed = 1; seed <= 6; seed++) {
    const result = chaos(seed);
    expect({ seed, wrong: result.wrong }).toEqual({ seed, wrong: undefined });
    faults.add(result.faults);
  }
  faults.requireAll(["host lost its process", "host lost its power", "link cut"]);
}, 60_000);

test("one seed gives one life", () => {
  const [first, second] = [1, 2].map(() => {
    const { count, epochs, faults, events } = chaos(9, 4);
    return JSON.stringify([count, epochs, String(faults), events]);
  });
  expect(first).toBe(second as string);
});

describe("growing and shrinking", () => {
  const members = (cluster: StreamCluster) => cluster.leader.leader?.layout?.members ?? [];
  const keysOf = (cluster: StreamCluster) =>
    [...cluster.workers.values()].flatMap(({ worker, hasLeft }) =>
      worker === undefined || hasLeft ? [] : [...(worker.engine.stores.get("window 1")?.keys() ?? [])],
    );
  const join = (number: number, together: number) => ({
    ...workerSpec(number),
    settings: { joining: together },
  });

  test("one worker becomes three and one again while records flow, and no key is lost or doubled", () => {
    simulate(4, 1, async (cluster) => {
      await cluster.startAll();
      const sender = cluster.send(KEYS, Number.POSITIVE_INFINITY);
      await cluster.until("some progress", () => sender.acked > 50);
      await cluster.start(join(2, 2));
      await cluster.start(join(3, 2));
      await cluster.until("three members", () => members(cluster).length === 3);
      expect(keysOf(cluster).toSorted()).toEqual(KEYS.toSorted());
      expect(keysOf(cluster).length).toBe(KEYS.length);
      const progress = sender.acked;
      await cluster.until("more progress", () => sender.acked > progress + 50);
      expect(cluster.leader.leader?.shrink(["worker2", "worker3"])).toBeUndefined();
      await cluster.until("one member", () => members(cluster).length === 1);
      await cluster.until("goodbyes", () => cluster.workers.get("worker3")?.hasLeft === true);
      expect(keysOf(cluster).toSorted()).toEqual(KEYS.toSorted());
      await expectValid(cluster, sender.finish());
    });
  });

  test.each(["worker2", "initializer", "worker3"])(
    "%s dies while the keys move: old layout or new one",
    (name) => {
      simulate(5, 2, async (cluster) => {
        await cluster.startAll();
        const sender = cluster.send(KEYS, Number.POSITIVE_INFINITY);
        await cluster.until("some progress", () => sender.acked > 50);
        await cluster.start(join(3, 1));
        const { leader } = cluster.leader;
        await cluster.until(
          "the keys to move",
          () => (leader?.status.epoch ?? 0) > 1 && leader?.status.phase === "beginning",
        );
        cluster.kill(name);
        await cluster.pause(50);
        await cluster.restart(name);
        await cluster.until("three members", () => members(cluster).length === 3 && cluster.isRunning());
        expect(keysOf(cluster).toSorted()).toEqual(KEYS.toSorted());
        await expectValid(cluster, sender.finish());
      });
    },
  );

  test("the leader does not leave, and nobody leaves twice", () => {
    simulate(6, 2, async (cluster) => {
      await cluster.startAll();
      const { leader } = cluster.leader;
      expect(leader?.eligible).toEqual(["worker2"]);
      expect(leader?.shrink(["initializer"])).toContain("initializer");
      expect(leader?.shrink(["nobody"])).toContain("nobody");
      expect(leader?.shrink(["worker2"])).toBeUndefined();
      expect(leader?.shrink(["worker2"])).toContain("under way");
      await cluster.until("one member", () => members(cluster).length === 1);
    });
  });
});

describe("workers move to other hosts, nothing edited", () => {
  test.each(["worker2", "initializer"])("%s", (name) => {
    simulate(7, 2, async (cluster) => {
      await cluster.startAll();
      const sender = cluster.send(
        KEYS,
        Number.POSITIVE_INFINITY,
        name === "initializer" ? "10.0.0.7" : "10.0.0.1",
      );
      if (name === "worker2") await cluster.until("some progress", () => sender.acked > 50);
      else await cluster.pause(500);
      cluster.kill(name);
      await cluster.move(name, "10.0.0.7");
      await cluster.until("the cluster runs", () => cluster.isRunning());
      await cluster.until("progress", () => sender.acked > 300);
      await expectValid(cluster, sender.finish());
    });
  });
});

describe("a sink that commits in two phases", () => {
  /** The judged output is what is committed at the sink, of all workers. */
  async function withReceiver(
    cluster: StreamCluster,
    life: (receiver: SimReceiver) => Promise<number>,
    vote?: (isCommit: boolean) => boolean,
  ): Promise<void> {
    const receiver = await SimReceiver.start(cluster, vote);
    await cluster.startAll({ sinks: [`windows=2pc://${receiver.host}:5555`] });
    const count = await life(receiver);
    await cluster.untilAcked();
    expect(violation(await receiver.output(), KEYS, count)).toBeUndefined();
  }

  test.each(["worker2", "initializer"])("%s dies: nothing is there twice and nothing is missing", (name) => {
    simulate(8, 2, (cluster) =>
      withReceiver(cluster, async () => {
        const sender = cluster.send(KEYS, Number.POSITIVE_INFINITY);
        for (let round = 1; round <= 3; round++) {
          await cluster.until("some progress", () => sender.acked > round * 60);
          cluster.kill(name);
          await cluster.pause(30);
          await cluster.restart(name);
        }
        return sender.finish();
      }),
    );
  });

  test("the sink dies and comes back, also between its promise and the commit", () => {
    simulate(9, 2, (cluster) =>
      withReceiver(cluster, async (receiver) => {
        const sender = cluster.send(KEYS, Number.POSITIVE_INFINITY);
        for (let round = 1; round <= 4; round++) {
          await cluster.until("some progress", () => sender.acked > round * 60);
          receiver.kill();
          await cluster.pause(100);
          await receiver.restart();
        }
        return sender.finish();
      }),
    );
  });

  test("A16: workers leave and join again under their names, and their output goes on", () => {
    simulate(13, 1, (cluster) =>
      withReceiver(cluster, async (receiver) => {
        const sender = cluster.send(KEYS, Number.POSITIVE_INFINITY);
        const members = () => cluster.leader.leader?.layout?.members.length ?? 0;
        const sinks = [`windows=2pc://${receiver.host}:5555`];
        for (let cycle = 1; cycle <= 3; cycle++) {
          await cluster.start({ ...workerSpec(2), settings: { joining: 1, sinks } });
          await cluster.until("two members", () => members() === 2);
          const before = sender.acked;
          await cluster.until("some progress", () => sender.acked > before + 50);
          await cluster.until("a leave", () => cluster.leader.leader?.shrink(["worker2"]) === undefined);
          await cluster.until("a goodbye", () => cluster.workers.get("worker2")?.hasLeft === true);
          cluster.kill("worker2");
        }
        return sender.finish();
      }),
    );
  });

  test("a vote against a checkpoint undoes it, and a later one is committed", () => {
    let votes = 0;
    simulate(10, 2, (cluster) =>
      withReceiver(
        cluster,
        async () => {
          const sender = cluster.send(KEYS, Number.POSITIVE_INFINITY);
          const epoch = () => cluster.leader.leader?.status.epoch ?? 0;
          await cluster.until("the cluster to go back", () => epoch() > 1 && sender.acked > 200, 5000);
          return sender.finish();
        },
        (isCommit) => isCommit && ++votes !== 3,
      ),
    );
  });
});

describe("stopping", () => {
  test("a worker that is stopped takes a last checkpoint first: nothing comes again", () => {
    simulate(11, 2, async (cluster) => {
      await cluster.startAll();
      cluster.send(KEYS, 40);
      await cluster.until("records", () => cluster.leader.engine.recordsIn > 200);
      const before = cluster.leader.engine.recordsIn;
      await cluster.leader.finish(5000);
      expect(cluster.leader.engine.recordsIn).toBeLessThanOrEqual(before + 50);
      const { sources } = cluster.leader.stateLog.committed.meta;
      const held = Object.values(sources.Detector as Record<string, number>).reduce(
        (sum, seen) => sum + seen,
        0,
      );
      expect(held).toBe(cluster.leader.engine.recordsIn);
    });
  });

  test("the whole cluster stops behind one checkpoint", () => {
    simulate(12, 3, async (cluster) => {
      await cluster.startAll();
      cluster.send(KEYS, Number.POSITIVE_INFINITY);
      await cluster.until("records", () => cluster.leader.engine.recordsIn > 100);
      cluster.workers.get("worker2")?.worker?.stopCluster();
      await cluster.until("the end", () => [...cluster.workers.values()].every(({ hasLeft }) => hasLeft));
      const ids = [...cluster.workers.values()].map(({ worker }) => worker?.stateLog.committed.id);
      expect(new Set(ids).size).toBe(1);
    });
  });
});
