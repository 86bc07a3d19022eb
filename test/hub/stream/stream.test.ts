/** The original's metrics protocol at the hub: what workers tell, as tables. */
import { describe, expect, test } from "bun:test";
import { connect, type Socket } from "node:net";
import { realClock } from "../../../src/core/seams/clock.ts";
import { percentile, StreamApplications } from "../../../src/hub/stream/applications.ts";
import { type MetricsEntry, metricsFrame } from "../../../src/streams/client/metrics.ts";
import { until } from "../../core/kernel/harness.ts";
import { TestHub } from "../harness.ts";
import { entryOf } from "./entry.ts";

const NOW_SECOND = 1_795_600_000;

const entry = (over: Partial<MetricsEntry> = {}, bins?: Record<number, number>) =>
  entryOf(NOW_SECOND, over, bins);

function applications() {
  const clock = { ...realClock, nowMs: () => time.second * 1000 };
  const time = { second: NOW_SECOND + 10 };
  return { time, all: new StreamApplications(clock) };
}

describe("the tables", () => {
  test("sum pipelines over workers, workers over pipelines, computations over workers", () => {
    const { all } = applications();
    for (const worker of ["worker1", "worker2"]) {
      all.add("shop", entry({ worker, name: `orders@${worker}:Check` }));
      all.add("shop", entry({ worker, category: "start-to-end" }, { 20: 50 }));
      all.add("shop", entry({ worker, category: "node-ingress-egress" }, { 12: 70 }));
      all.add("shop", entry({ worker, category: "pipeline-ingestion" }, { 0: 60 }));
    }
    const [shop] = all.tables();
    expect(shop?.workers).toEqual(["worker1", "worker2"]);
    const { pipelines, workers, computations, sources } = shop?.tables ?? {};
    expect(pipelines?.map(({ name, throughput }) => [name, throughput.max])).toEqual([["orders", 50]]);
    expect(workers?.map(({ name, throughput }) => [name, throughput.max])).toEqual([
      ["worker1", 35],
      ["worker2", 35],
    ]);
    expect(computations?.map(({ name, throughput }) => [name, throughput.max])).toEqual([
      ["orders: Check", 100],
    ]);
    expect(sources?.[0]?.percentilesNs).toEqual([0, 0, 0, 0, 0]);
    expect(pipelines?.[0]?.percentilesNs[0]).toBe(2 ** 20);
    expect(pipelines?.[0]?.incoming?.max).toBe(60);
  });

  test("tell of each row what each worker and pipeline has in it", () => {
    const { all } = applications();
    for (const worker of ["worker1", "worker2"]) {
      all.add("shop", entry({ worker }));
      all.add("shop", entry({ worker, category: "start-to-end" }));
      all.add("shop", entry({ worker, category: "node-ingress-egress" }));
    }
    const parts = all.tables()[0]?.tables.parts ?? [];
    const of = (row: string) => parts.filter((part) => part.of?.includes(row)).map(({ name }) => name);
    expect(of("orders: Check")).toEqual(["orders: Check on worker1", "orders: Check on worker2"]);
    expect(of("worker1")).toEqual([
      "orders on worker1",
      "orders through worker1",
      "orders: Check on worker1",
    ]);
    expect(of("orders")).toContain("orders on worker2");
  });

  test("give the history what each pipeline did in the newest settled second", () => {
    const { all, time } = applications();
    all.add("shop", entry({ category: "start-to-end", pipeline: "a/b" }, { 20: 50 }));
    time.second = NOW_SECOND + 4;
    expect(all.rates()).toEqual(new Map([["stream shop", new Map([["a%2Fb", 25]])]]));
    time.second = NOW_SECOND + 5;
    expect(all.rates().get("stream shop")?.get("a%2Fb")).toBe(0);
  });

  test("spread a period's messages over its seconds, and show seconds without any as 0", () => {
    const { all, time } = applications();
    all.add("shop", entry({}, { 10: 100 }));
    all.add("shop", entry({ periodEndNs: BigInt(NOW_SECOND + 4) * 1_000_000_000n }, { 10: 200 }));
    time.second = NOW_SECOND + 10;
    const row = all.tables()[0]?.tables.computations[0];
    expect(row?.history).toEqual([50, 50, 0, 0, 100, 100, 0, 0]);
    expect(row?.throughput).toEqual({ min: 0, median: 50, max: 100 });
  });

  test("forget after five minutes, and go when nothing is left", () => {
    const { all, time } = applications();
    all.add("shop", entry());
    time.second = NOW_SECOND + 297;
    expect(all.tables()).toHaveLength(1);
    time.second = NOW_SECOND + 303;
    expect(all.tables()).toEqual([]);
  });

  test("do not believe a clock that is far off, and are bounded in names", () => {
    const { all } = applications();
    all.add("shop", entry({ periodEndNs: 7n }));
    expect(all.tables()[0]?.tables.computations[0]?.history.length).toBeLessThan(3);
    for (let index = 0; index < 200; index++) all.add(`app${index}`, entry());
    expect(all.tables()).toHaveLength(50);
  });

  test("name percentiles by the upper limit of their bin", () => {
    const bins = [0, 0, 90, 0, 9, 0, 1];
    expect([0.5, 0.9, 0.95, 0.99, 0.999].map((share) => percentile(bins, 100, share))).toEqual([
      4, 4, 16, 16, 64,
    ]);
    expect(percentile(bins, 0, 0.5)).toBeNull();
  });

  test("group latencies as the original's bars do: all percents together are 100", () => {
    const { all } = applications();
    all.add("shop", entry({}, { 10: 25, 11: 25, 31: 50 }));
    const groups = all.tables()[0]?.tables.computations[0]?.groups;
    expect([groups?.[0], groups?.[1], groups?.at(-1)]).toEqual([25, 25, 50]);
  });
});

describe("the port", () => {
  const dial = (hub: TestHub): Promise<Socket> =>
    new Promise((resolve, reject) => {
      const socket = connect(hub.instance.ports.metricsPort as number, "127.0.0.1", () => resolve(socket));
      socket.on("error", reject);
    });
  const told = async (hub: TestHub) => {
    const response = await hub.fetch("/api/events?view=stream");
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    const text = new TextDecoder().decode((await reader.read()).value);
    await reader.cancel();
    return (JSON.parse(text.slice(text.indexOf("data: ") + 6)) as { stream: { name: string }[] }).stream;
  };

  test("takes connect, join and payload, in pieces of any size", async () => {
    await using hub = await TestHub.start();
    const socket = await dial(hub);
    const fresh = entry({ periodEndNs: BigInt(Math.floor(realClock.nowMs() / 1000)) * 1_000_000_000n });
    const bytes = Buffer.concat([
      metricsFrame({ type: "connect" }),
      metricsFrame({ type: "join", topic: "metrics:shop", worker: "worker1" }),
      metricsFrame({ type: "payload", event: "metrics", topic: "metrics:shop", entry: fresh }),
    ]);
    for (let at = 0; at < bytes.byteLength; at += 7) socket.write(bytes.subarray(at, at + 7));
    await until("the application", async () =>
      (await told(hub)).some(({ name }) => name === "shop") ? true : undefined,
    );
    socket.destroy();
  });

  test("closes whoever sends garbage or announces too much, and goes on", async () => {
    await using hub = await TestHub.start();
    for (const garbage of [
      [0, 0, 0, 1, 9],
      [255, 255, 255, 255],
      [0, 0, 0, 5, 3, 255, 255, 255, 255],
    ]) {
      const socket = await dial(hub);
      const closed = new Promise<void>((resolve) => socket.on("close", () => resolve()));
      socket.on("error", () => undefined);
      socket.resume();
      socket.write(Buffer.from(garbage));
      await closed;
    }
    expect(hub.lines.join()).toContain("a reporter is closed");
    (await dial(hub)).destroy();
  });
});
