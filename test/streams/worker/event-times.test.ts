/** Event time of inputs on two workers, of which one comes back: nothing is late that was not late before. */
import { expect, test } from "bun:test";
import { app, framed, tumbling } from "node-x/stream";
import { ByteWriter } from "../../../src/streams/wire/bytes.ts";
import { SOURCE_PORT, StreamCluster } from "./sim-cluster.ts";

const COUNT = 300;
const KEYS = ["a", "b", "c", "d", "e", "f"];

const sums = app("sums", (a) =>
  a
    .source<{ key: string; timeMs: number }>("in", {
      framing: framed(),
      decode: (frame) => ({ key: frame.text(8), timeMs: Number(frame.u64(0)) }),
    })
    .eventTime(({ timeMs }) => timeMs, { idleMs: 3_600_000 })
    .keyBy(({ key }) => key)
    .window<number, string>("sums", tumbling(100), {
      initial: () => 0,
      update: (_record, sum) => sum + 1,
      output: (key, sum, window) => `${key} ${window?.startMs} ${sum}`,
    })
    .to(a.sink<string>("out", { framing: framed(), encode: (text, out) => out.utf8(text) })),
);

test("behind a roll-back no worker's time runs ahead of what another one has still to send", () => {
  for (const seed of [1, 2]) {
    const cluster = new StreamCluster(seed, {
      ...{ app: sums, size: 2, sources: ["in"], sink: "out", doAllListen: true },
    });
    cluster.scheduler.run(
      async () => {
        await cluster.startAll();
        // One is half as far as the other. A stream each: several could come back at different speeds.
        const payload = (factor: number) => (_stream: string, number: number) =>
          new ByteWriter()
            .u64(number * factor)
            .raw(Buffer.from(KEYS[number % KEYS.length] as string))
            .done();
        const to = (host: string, firstStream: number, factor: number) =>
          cluster.sendTo(
            { address: host, port: SOURCE_PORT, firstStream, payloadOf: payload(factor) },
            ["all"],
            COUNT,
          );
        to("10.0.0.1", 1, 20);
        to("10.0.0.2", 50, 10);
        const late = () =>
          [...cluster.workers.values()].map(({ worker }) => worker?.engine.windows.get("sums")?.lateRecords);
        for (let kill = 0; kill < 3; kill++) {
          await cluster.pause(150);
          cluster.kill("worker2");
          await cluster.restart("worker2");
          await cluster.until("the cluster runs", () => cluster.isRunning());
          expect(late()).toEqual([0, 0]);
        }
        await cluster.untilAcked();
        expect(late()).toEqual([0, 0]);
      },
      { timeLimitMs: 600_000 },
    );
  }
}, 120_000);
