/** What is measured of sources, steps and sinks, and what a hub hears of it. */
import { expect, test } from "bun:test";
import { app, framed } from "node-x/stream";
import { StreamApplications } from "../../../src/hub/stream/applications.ts";
import { SimCluster } from "../../../src/core/sim/world.ts";
import { MetricsReporter } from "../../../src/streams/metrics/reporter.ts";
import { planOf } from "../../../src/streams/plan/plan.ts";
import { Engine } from "../../../src/streams/runtime/engine.ts";
import { LatencyHistogram } from "../../../src/streams/runtime/latency.ts";
import { RecordWriter } from "../../../src/streams/runtime/record-writer.ts";
import type { SourceNode } from "../../../src/streams/plan/nodes.ts";
import { MetricsListener } from "../../../src/hub/stream/listener.ts";
import { silentLog } from "../../../src/core/logging/log.ts";

/** A clock that only the steps move. */
let nowMs = 0;

const twoSinks = app("two-sinks", (a) => {
  const numbers = a
    .source("Numbers", { framing: framed(), decode: (frame) => frame.u8(0) })
    .map((value) => {
      nowMs += 1;
      return value;
    })
    .keyBy((value) => String(value % 3))
    .state<{ sum: number }, number>("sums", { init: () => ({ sum: 0 }) }, (value, state, out) => {
      nowMs += 4;
      state.sum += value;
      out.emit(state.sum);
    });
  const encode = () => {};
  numbers.to(a.sink<number>("all", { framing: framed(), encode }));
  numbers.filter((sum) => sum % 2 === 0).to(a.sink<number>("even", { framing: framed(), encode }));
});

function engineOf(): Engine {
  nowMs = 0;
  const writer = new RecordWriter();
  return new Engine(planOf(twoSinks), {
    ...{ self: 0, ownerOf: () => 0, send: () => {}, onBadRecord: () => {} },
    monotonicMs: () => nowMs,
    sinkWriter: () => {
      writer.clear();
      return writer;
    },
  });
}

/** Runs of records, each counted for its source when it ends. */
function feed(engine: Engine, runs: number, records: number): void {
  const [source] = engine.plan.sources as SourceNode[];
  for (let run = 0; run < runs; run++) {
    const startedMs = nowMs;
    for (let record = 0; record < records; record++) engine.feedValue(source as SourceNode, record, nowMs);
    engine.meters.endRun(startedMs, { name: "Numbers", records });
  }
}

test("every record is counted; a step's time is its own, a source's and a sink's that of the run", () => {
  const engine = engineOf();
  feed(engine, 10, 2);
  const { source, step, sink } = engine.meters.figures;
  expect(source.Numbers?.records).toBe(20);
  expect(step["map 1"]?.records).toBe(20);
  expect(step.sums?.records).toBe(20);
  expect(sink.all?.records).toBe(20);
  expect(step["filter 1"]?.records).toBe(20);
  expect(sink.even?.records).toBeLessThan(20);
  // Upper limits of bins: at least what it took, less than twice that.
  const isAbout = (ns: number | undefined, took: number) =>
    ns !== undefined && ns >= took * 1e6 && ns < 2e6 * took;
  expect(isAbout(step["map 1"]?.p50, 1)).toBe(true);
  expect(isAbout(step.sums?.p50, 4)).toBe(true);
  expect(isAbout(source.Numbers?.p50, 10)).toBe(true);
  expect(isAbout(sink.all?.p99, 10)).toBe(true);
});

test("of a long run only a sample is timed, and the hub hears of every record all the same", () => {
  const cluster = new SimCluster(1);
  const wait = (ms: number) => new Promise<void>((resolve) => cluster.scheduler.after(ms, resolve));
  cluster.scheduler.run(async () => {
    const { world } = cluster.host("10.0.0.1").start();
    const hub = { host: "10.0.0.1", port: 5001 };
    const applications = new StreamApplications(world.clock);
    const listener = new MetricsListener({
      ...{ net: world.net, clock: world.clock, log: silentLog(), ...hub, tls: undefined, connectionsMax: 9 },
      onEntry: (name, entry) => applications.add(name, entry),
    });
    await listener.listen();
    const engine = engineOf();
    const latency = new LatencyHistogram();
    const reporter = new MetricsReporter({
      ...{ world, hub, app: "two-sinks", worker: "initializer" },
      bins: () => latency.bins,
      meters: () => engine.meters.all,
      recordsIn: () => engine.recordsIn,
    });
    await wait(500);
    feed(engine, 1, 1000);
    expect(engine.meters.all.find(({ name }) => name === "sums")?.latency.count).toBe(8);
    await wait(8000);
    reporter.close();
    const [tables] = applications.tables().map((each) => each.tables);
    const told = (table: "sources" | "computations" | "sinks") =>
      (tables?.[table] ?? []).map(({ name, history }) => [
        name,
        history.reduce((sum, count) => sum + count, 0),
      ]);
    const even = engine.meters.figures.sink.even?.records as number;
    expect(told("sources")).toEqual([["two-sinks: Numbers", 1000]]);
    expect(told("computations")).toEqual([
      ["two-sinks: filter 1", 1000],
      ["two-sinks: map 1", 1000],
      ["two-sinks: sums", 1000],
    ]);
    expect(told("sinks")).toEqual([
      ["two-sinks: all", 1000],
      ["two-sinks: even", even],
    ]);
    expect(tables?.sinks[0]?.percentilesNs[0]).not.toBeNull();
    listener.close();
  });
});
