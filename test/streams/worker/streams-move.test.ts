/** Acknowledged streams that go from worker to worker: senders that come back elsewhere, workers with sources that leave. */
import { expect, test } from "bun:test";
import detector from "../../../src/streams/apps/detector.ts";
import { StreamCluster, violation, workerSpec, type StreamClusterOptions } from "./sim-cluster.ts";

const KEYS = ["key_0", "key_1", "key_2"];
const PORT = 7000;
const sourceOf = (host: string) => ({ sources: [`Detector=acked://${host}:${PORT}?credits=50`] });

function simulate(
  seed: number,
  options: Partial<StreamClusterOptions>,
  life: (cluster: StreamCluster) => Promise<void>,
): void {
  const cluster = new StreamCluster(seed, { app: detector, size: 2, ...options });
  cluster.scheduler.run(() => life(cluster), { timeLimitMs: 600_000 });
}

/** The initializer, and further workers with sources of the same name. */
async function startAll(cluster: StreamCluster, size: number): Promise<void> {
  await cluster.start({ name: "initializer", host: "10.0.0.1" });
  for (let number = 2; number <= size; number++) {
    const spec = workerSpec(number);
    await cluster.start({ ...spec, settings: sourceOf(spec.host) });
  }
  await cluster.until("the cluster runs", () => cluster.isRunning());
}

test("a sender goes from worker to worker between checkpoints, and no value is fed twice or left out", () => {
  simulate(1, {}, async (cluster) => {
    await startAll(cluster, 2);
    const sender = cluster.send(KEYS, Number.POSITIVE_INFINITY);
    for (let turn = 0; turn < 12; turn++) {
      await cluster.pause(70);
      sender.turnTo(turn % 2 === 0 ? "10.0.0.2" : "10.0.0.1");
    }
    await cluster.until("progress", () => sender.acked > 60);
    const count = sender.finish();
    await cluster.untilAcked();
    expect(violation(await cluster.output(), KEYS, count)).toBeUndefined();
    expect(sender.errors).toEqual([]);
    const fed = cluster.workers.get("worker2")?.worker?.sources[0]?.stats().records;
    expect(fed).toBeGreaterThan(0);
  });
});

test("the same, while workers die", () => {
  simulate(2, {}, async (cluster) => {
    await startAll(cluster, 2);
    const sender = cluster.send(KEYS, Number.POSITIVE_INFINITY);
    for (let turn = 0; turn < 8; turn++) {
      await cluster.pause(90);
      const victim = turn % 2 === 0 ? "worker2" : "initializer";
      if (turn % 3 === 0) {
        cluster.kill(victim);
        await cluster.pause(20);
        await cluster.restart(victim);
      }
      sender.turnTo(turn % 2 === 0 ? "10.0.0.2" : "10.0.0.1");
    }
    await cluster.until("the cluster runs", () => cluster.isRunning());
    const count = sender.finish();
    await cluster.untilAcked();
    expect(violation(await cluster.output(), KEYS, count)).toBeUndefined();
  });
});

test("a stream goes on elsewhere only when what was fed before is where it belongs", () => {
  simulate(6, { size: 3 }, async (cluster) => {
    await startAll(cluster, 3);
    const sender = cluster.send(KEYS, Number.POSITIVE_INFINITY, "10.0.0.2");
    await cluster.until("progress", () => sender.acked > 30);
    // What worker2 feeds does not reach worker3; the initializer's way there is open.
    cluster.sim.network.cut("10.0.0.2", "10.0.0.3");
    await cluster.pause(50);
    sender.turnTo("10.0.0.1");
    await cluster.pause(500);
    const [first] = cluster.leader.sources;
    expect(first?.stats().records).toBe(0);
    cluster.sim.network.heal();
    const before = sender.acked;
    await cluster.until("progress at the initializer", () => sender.acked > before + 30);
    const count = sender.finish();
    await cluster.untilAcked();
    expect(violation(await cluster.output(), KEYS, count)).toBeUndefined();
  });
});

test("a stream is one sender's in the whole cluster: a second one elsewhere is refused, and takes over when the first goes", () => {
  simulate(3, {}, async (cluster) => {
    await startAll(cluster, 2);
    const first = cluster.send(KEYS, 40);
    await cluster.until("the first", () => first.acked > 20);
    const second = cluster.send(KEYS, 80, "10.0.0.2");
    await cluster.pause(400);
    expect(second.acked).toBe(0);
    await cluster.until("its end", () => first.isDone);
    first.turnTo("10.0.0.9");
    await cluster.until("the second", () => second.isDone);
    await cluster.pause(200);
    expect(violation(await cluster.output(), KEYS, 80)).toBeUndefined();
  });
});

test("workers with sources leave: their senders go on at another one, also after all have died", () => {
  simulate(4, { size: 3 }, async (cluster) => {
    await startAll(cluster, 3);
    const sender = cluster.send(KEYS, Number.POSITIVE_INFINITY, "10.0.0.2");
    await cluster.until("progress", () => sender.acked > 60);
    const { leader } = cluster.leader;
    expect(leader?.eligible).toEqual(["worker2", "worker3"]);
    await cluster.until("a leave", () => leader?.shrink(["worker2", "worker3"]) === undefined);
    await cluster.until("one member", () => leader?.layout?.members.length === 1);
    await cluster.until("goodbyes", () =>
      ["worker2", "worker3"].every((name) => cluster.workers.get(name)?.hasLeft),
    );
    for (const name of ["worker2", "worker3"]) cluster.kill(name);
    // Nobody but the initializer's checkpoint knows how far the streams were.
    cluster.kill("initializer");
    await cluster.restart("initializer");
    await cluster.until("the cluster runs", () => cluster.leader?.runtime?.isRunning === true);
    const before = sender.acked;
    await cluster.until("progress at the initializer", () => sender.acked > before + 60);
    const count = sender.finish();
    await cluster.untilAcked();
    expect(violation(await cluster.output(), KEYS, count)).toBeUndefined();
    expect(sender.errors).toEqual([]);
    expect(sender.restarts).toBeGreaterThan(0);
  });
});

test("a worker whose input is only its own does not leave, nor the last that listens for a source", () => {
  simulate(5, { size: 3, sources: [] }, async (cluster) => {
    await cluster.start({ name: "initializer", host: "10.0.0.1" });
    const logged = { sources: [`Detector=tcp://10.0.0.2:${PORT}?log=true`] };
    await cluster.start({ ...workerSpec(2), settings: logged });
    await cluster.start({ ...workerSpec(3), settings: sourceOf("10.0.0.3") });
    await cluster.until("the cluster runs", () => cluster.isRunning());
    const { leader } = cluster.leader;
    expect(leader?.eligible).toEqual([]);
    expect(leader?.shrink(["worker2"])).toContain("cannot leave: worker2");
    expect(leader?.shrink(["worker3"])).toContain("cannot leave: worker3");
  });
});
