/** What a worker tells a hub, read by the hub's own reader. */
import { expect, test } from "bun:test";
import { SimCluster } from "../../../src/core/sim/world.ts";
import { FrameReader, readMetrics } from "../../../src/streams/client/metrics.ts";
import { MetricsReporter } from "../../../src/streams/metrics/reporter.ts";
import { LatencyHistogram } from "../../../src/streams/runtime/latency.ts";
import type { MetricsMessage } from "../../../src/streams/wire/metrics.ts";

const HUB = { host: "10.0.0.1", port: 5001 };

test("a hub hears of every record once while it is there, and of none that came while it was not", () => {
  const cluster = new SimCluster(1);
  const wait = (ms: number) => new Promise<void>((resolve) => cluster.scheduler.after(ms, resolve));
  cluster.scheduler.run(async () => {
    const messages: MetricsMessage[] = [];
    const hubHost = cluster.host(HUB.host);
    const startHub = () =>
      hubHost.start().world.net.listen<FrameReader>({
        ...HUB,
        handlers: {
          open: () => new FrameReader(() => 1 << 16),
          data: (_socket, reader, chunk) =>
            void reader.feed(
              chunk,
              (bytes, start, end) => void messages.push(readMetrics(bytes, start, end)),
            ),
          drain: () => {},
          close: () => {},
        },
      });
    const latency = new LatencyHistogram();
    let recordsIn = 0;
    const record = (count: number, durationMs: number) => {
      latency.record(count, durationMs);
      recordsIn += count;
    };
    const { world } = cluster.host("10.0.0.2").start();
    // The hub is not there yet: what happens is not told.
    const reporter = new MetricsReporter({
      ...{ world, hub: HUB, app: "detector", worker: "worker2" },
      bins: () => latency.bins,
      meters: () => [],
      recordsIn: () => recordsIn,
    });
    record(5, 1);
    await wait(3000);
    await startHub();
    await wait(2000);
    record(100, 0.5);
    record(10, 20);
    await wait(2500);
    await wait(4000);
    hubHost.killProcess();
    record(7, 1);
    await wait(2500);
    await startHub();
    await wait(500);
    record(3, 1);
    await wait(3000);
    reporter.close();
    const joins = messages.filter(({ type }) => type !== "payload");
    expect(joins).toEqual([
      { type: "connect" },
      { type: "join", topic: "metrics:detector", worker: "worker2" },
      { type: "connect" },
      { type: "join", topic: "metrics:detector", worker: "worker2" },
    ]);
    const counted = (category: string) =>
      messages
        .flatMap((message) =>
          message.type === "payload" && message.entry.category === category ? [message.entry] : [],
        )
        .map(({ histogram }) => histogram.reduce((sum, count) => sum + count, 0));
    // Silence is not told either.
    expect(counted("start-to-end")).toEqual([110, 3]);
    expect(counted("pipeline-ingestion")).toEqual([110, 3]);
    expect(counted("node-ingress-egress")).toEqual([110, 3]);
    const [first] = messages.flatMap((message) => (message.type === "payload" ? [message.entry] : []));
    expect(first).toMatchObject({
      name: "detector@worker2",
      pipeline: "detector",
      minNs: 2 ** 18,
      maxNs: 2 ** 25 - 1,
    });
  });
});
