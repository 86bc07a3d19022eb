/** Who gets into a cluster, and whose directory is whose (A5, A14, A25). */
import { describe, expect, test } from "bun:test";
import detector from "../../../src/streams/apps/detector.ts";
import passthrough from "../../../src/streams/apps/passthrough.ts";
import { startFresh } from "../../../src/streams/worker/fresh-start.ts";
import { StreamCluster, violation, workerSpec, type RunningWorker } from "./sim-cluster.ts";

const KEYS = ["a", "b", "c", "d"];
const LIMITS = { timeLimitMs: 600_000 };

function simulate(seed: number, size: number, life: (cluster: StreamCluster) => Promise<void>): void {
  const cluster = new StreamCluster(seed, { app: detector, size });
  cluster.scheduler.run(() => life(cluster), LIMITS);
}

async function untilRefused(cluster: StreamCluster, worker: RunningWorker): Promise<string> {
  for (let waits = 0; worker.fatal === undefined && waits < 1000; waits++) await cluster.pause(5);
  const message = worker.fatal?.message ?? "";
  cluster.workers.delete(worker.spec.name);
  return message;
}

test("a worker with another secret, or another application, is not let in, and the cluster does not notice", () => {
  simulate(1, 2, async (cluster) => {
    await cluster.startAll();
    const sender = cluster.send(KEYS, Number.POSITIVE_INFINITY);
    const wrongSecret = await cluster.start(workerSpec(3), { secret: "guess" });
    expect(await untilRefused(cluster, wrongSecret)).toContain("secret");
    const wrongApp = await cluster.start(workerSpec(4), { app: passthrough, sinks: ["Out=file:/data/out"] });
    expect(await untilRefused(cluster, wrongApp)).toContain("another application");
    const surplus = await cluster.start(workerSpec(5));
    expect(await untilRefused(cluster, surplus)).toContain("join it instead");
    expect(cluster.leader.leader?.status.epoch).toBe(1);
    const count = sender.finish();
    await cluster.untilAcked();
    expect(violation(await cluster.output(), KEYS, count)).toBeUndefined();
  });
});

describe("two workers of one name", () => {
  test("the one that started from the newer directory is right, the older one ends", () => {
    simulate(2, 2, async (cluster) => {
      await cluster.startAll();
      const sender = cluster.send(KEYS, Number.POSITIVE_INFINITY);
      await cluster.until("some progress", () => sender.acked > 50);
      const older = cluster.workers.get("worker2") as RunningWorker;
      await cluster.move("worker2", "10.0.0.7");
      for (let waits = 0; older.fatal === undefined && waits < 1000; waits++) await cluster.pause(5);
      expect(older.fatal?.message).toContain("newer worker");
      await cluster.until("the cluster runs", () => cluster.isRunning());
      const count = sender.finish();
      await cluster.untilAcked();
      expect(violation(await cluster.output(), KEYS, count)).toBeUndefined();
    });
  });

  test("a stale directory is not used while the worker lives elsewhere", () => {
    simulate(3, 2, async (cluster) => {
      await cluster.startAll();
      const sender = cluster.send(KEYS, Number.POSITIVE_INFINITY);
      await cluster.until("some progress", () => sender.acked > 50);
      cluster.kill("worker2");
      await cluster.move("worker2", "10.0.0.7");
      await cluster.until("the cluster runs", () => cluster.isRunning());
      const moved = cluster.workers.get("worker2") as RunningWorker;
      const stale = await cluster.start({ ...moved.spec, host: "10.0.0.2" });
      expect(await untilRefused(cluster, stale)).toMatch(/another worker|restore it/);
      cluster.workers.set("worker2", moved);
      const count = sender.finish();
      await cluster.untilAcked();
      expect(violation(await cluster.output(), KEYS, count)).toBeUndefined();
    });
  });
});

test("A14: another worker's directory is refused by name, and a wiped one says where to get it from", () => {
  simulate(4, 2, async (cluster) => {
    await cluster.startAll();
    const sender = cluster.send(KEYS, Number.POSITIVE_INFINITY);
    await cluster.until("some progress", () => sender.acked > 50);
    cluster.kill("worker2");
    const foreign = await cluster.start({ name: "worker9", host: "10.0.0.2" }, { dataDir: "/data/worker2" });
    expect(foreign.fatal?.message).toContain('is of the worker worker2 of "detector"');
    cluster.workers.delete("worker9");
    cluster.sim.host("10.0.0.2").killProcess();
    const wiped = await cluster.start(workerSpec(2), { dataDir: "/data/empty" });
    expect(await untilRefused(cluster, wiped)).toContain("restore it from a replica");
    cluster.sim.host("10.0.0.2").killProcess();
    await cluster.start(workerSpec(2));
    const count = sender.finish();
    await cluster.untilAcked();
    expect(violation(await cluster.output(), KEYS, count)).toBeUndefined();
  });
});

test("a new cluster does not take a worker in whose directory is of an earlier one, and takes it when it begins anew", () => {
  simulate(6, 2, async (cluster) => {
    await cluster.startAll();
    const sender = cluster.send(KEYS, Number.POSITIVE_INFINITY);
    await cluster.until("some progress", () => sender.acked > 50);
    // That a checkpoint is committed gets to its disk with the next one.
    const committed = () => cluster.workers.get("worker2")?.worker?.stateLog.committed.id ?? 0;
    await cluster.until("a second checkpoint", () => committed() > 1);
    for (const name of ["initializer", "worker2"]) cluster.kill(name);
    await cluster.start({ name: "initializer", host: "10.0.0.1" }, { dataDir: "/data/anew" });
    const old = await cluster.start(workerSpec(2));
    expect(await untilRefused(cluster, old)).toMatch(
      /is of an earlier cluster, which had checkpoint \d+, and this one is new: start it with --fresh/,
    );
    cluster.sim.host("10.0.0.2").killProcess();
    const { disk } = cluster.sim.host("10.0.0.2");
    expect(await startFresh(disk, "/data/worker2", true)).toContain("state");
    await cluster.start(workerSpec(2));
    await cluster.until("the cluster runs", () => cluster.isRunning());
  });
});

test("a step that throws stops its worker before a checkpoint holds what it did; with skip it is a dead letter", () => {
  for (const onStepError of ["fail", "skip"] as const) {
    simulate(5, 1, async (cluster) => {
      await cluster.startAll({ onStepError });
      const bad = cluster.sendTo(
        { payloadOf: (key, number) => payload(key, number === 5 ? 50 : number) },
        ["a"],
        10,
      );
      if (onStepError === "fail") {
        const { leader } = cluster;
        for (let waits = 0; cluster.workers.get("initializer")?.fatal === undefined && waits < 500; waits++)
          await cluster.pause(5);
        expect(cluster.workers.get("initializer")?.fatal?.message).toContain(
          "the window of a.TraceID-1 is [2,3,4,50]",
        );
        const held = leader.stateLog.committed.meta.sources.Detector as Record<string, number> | undefined;
        expect(held?.["1"] ?? 0).toBeLessThan(5);
      } else {
        await cluster.until("acknowledgements", () => bad.isDone);
        expect(cluster.leader.deadLetters.counts.step).toBeGreaterThan(0);
      }
    });
  }
});

function payload(key: string, value: number): Uint8Array {
  const bytes = Buffer.alloc(8 + key.length);
  bytes.writeBigUInt64BE(BigInt(value));
  bytes.write(key, 8);
  return bytes;
}
