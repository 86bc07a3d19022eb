/** Members find their leader again when its host lost its power: nobody closes a connection then, or refuses one. */
import { expect, test } from "bun:test";
import detector from "../../../src/streams/apps/detector.ts";
import { StreamCluster, workerSpec } from "./sim-cluster.ts";

/** What a restart may take beside the start of its process. */
const BACK_MS = 4000;

test("A8: when the initializer's host loses its power the others soon find it again, in place and elsewhere", () => {
  const cluster = new StreamCluster(9, {
    ...{ app: detector, size: 3 },
    // As Linux has it.
    net: { connectTimeoutMs: 127_000 },
  });
  cluster.scheduler.run(
    async () => {
      await cluster.startAll();
      const committed = () => cluster.workers.get("worker2")?.worker?.stateLog.committed.id ?? 0;
      await cluster.until("the others to have a checkpoint", () => committed() > 0);
      const epoch = () => cluster.leader.runtime.epoch;
      const before = epoch();
      cluster.losePower("initializer");
      await cluster.restart("initializer");
      await cluster.until("the others to come back", () => cluster.isRunning(), BACK_MS);
      expect(epoch()).toBeGreaterThan(before);
      await cluster.pause(1000);
      cluster.losePower("initializer");
      // Nothing at that address refuses anybody: whoever calls it waits.
      for (const { host } of [workerSpec(2), workerSpec(3)]) cluster.sim.network.cut(host, "10.0.0.1");
      await cluster.pause(15_000);
      await cluster.move("initializer", "10.0.0.9");
      await cluster.until("the others to go where it is", () => cluster.isRunning(), BACK_MS);
    },
    { timeLimitMs: 600_000 },
  );
});
