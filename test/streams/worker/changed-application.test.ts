/** An application that was changed between two lives of its cluster: what it takes over, and what is refused. */
import { expect, test } from "bun:test";
import {
  app,
  framed,
  session,
  tumbling,
  type Aggregate,
  type App,
  type Builder,
  type WindowSpec,
} from "node-x/stream";
import { StreamCluster, workerSpec } from "./sim-cluster.ts";

const input = (a: Builder) =>
  a.source<string>("in", { framing: framed(), decode: (frame) => frame.text(8) }).keyBy((key) => key);
const output = (a: Builder) =>
  a.sink<string>("out", { framing: framed(), encode: (text, out) => out.utf8(text) });

/** `version` is in what it emits, so its plan is another one only by that. */
const counting = (version: string): App =>
  app("changing", (a) => {
    if (a.args[0] !== version) throw new Error("the arguments are part of the plan's hash");
    input(a)
      .state<{ count: number }, string>("counts", { init: () => ({ count: 0 }) }, (key, state, out) => {
        state.count += 1;
        out.emit(`${version} ${key} ${state.count}`);
      })
      .to(output(a));
  });

const total: Aggregate<string, number, string> = {
  initial: () => 0,
  update: (_key, sum) => sum + 1,
  combine: (one, other) => one + other,
  output: (key, sum) => `${key} ${sum}`,
};
const windowed = (spec: WindowSpec): App =>
  app("changing", (a) => input(a).window("totals", spec, total).to(output(a)));

test("states go on under the names of their steps when all workers run the new application, and no worker mixes them", () => {
  const cluster = new StreamCluster(1, {
    ...{ app: counting("old"), args: ["old"], size: 2, sources: ["in"], sink: "out" },
  });
  cluster.scheduler.run(
    async () => {
      await cluster.startAll();
      cluster.sendTo({}, ["a", "b", "c"], 5);
      await cluster.untilAcked();
      const renewed = { app: counting("new"), args: ["new"] };
      cluster.kill("worker2");
      const early = await cluster.start(workerSpec(2), renewed);
      for (let waits = 0; early.fatal === undefined && waits < 1000; waits++) await cluster.pause(5);
      expect(early.fatal?.message).toContain("another application, or another version of it");
      cluster.kill("worker2");
      cluster.kill("initializer");
      await cluster.start({ name: "initializer", host: "10.0.0.1" }, renewed);
      await cluster.start(workerSpec(2), renewed);
      await cluster.until("the cluster runs", () => cluster.isRunning());
      cluster.sendTo({ firstStream: 10 }, ["a", "b", "c"], 1);
      await cluster.untilAcked();
      const records = [...(await cluster.output()).values()].flat();
      expect(records.filter((record) => record.startsWith("new")).toSorted()).toEqual([
        ...["new a 6", "new b 6", "new c 6"],
      ]);
    },
    { timeLimitMs: 600_000 },
  );
});

test("open windows are not read as windows of another kind or length, which would never fire or fire wrong", () => {
  const cluster = new StreamCluster(2, {
    ...{ app: windowed(tumbling(3_600_000)), size: 1, sources: ["in"], sink: "out" },
  });
  cluster.scheduler.run(
    async () => {
      await cluster.startAll();
      cluster.sendTo({}, ["a"], 5);
      await cluster.untilAcked();
      const start = async (spec: WindowSpec) => {
        cluster.kill("initializer");
        return cluster.start({ name: "initializer", host: "10.0.0.1" }, { app: windowed(spec) });
      };
      expect((await start(session(1000))).fatal?.message).toBe(
        'the step "totals" has session windows, and the state log has windows of 3600000 ms of it',
      );
      expect((await start(tumbling(1000))).fatal?.message).toContain("has windows of 1000 ms");
      // Nothing was changed by that; when they fire, and what is late, may be.
      expect((await start(tumbling(3_600_000, { delayMs: 10, late: "fire" }))).fatal).toBeUndefined();
      await cluster.until("the cluster runs", () => cluster.isRunning());
      expect(cluster.leader.engine.keyCounts).toEqual({ totals: 1 });
    },
    { timeLimitMs: 600_000 },
  );
});
