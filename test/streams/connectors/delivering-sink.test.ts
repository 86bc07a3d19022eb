/** Output that is delivered with its checkpoint, when the target is away. */
import { expect, test } from "bun:test";
import { silentLog } from "../../../src/core/logging/log.ts";
import { SimCluster } from "../../../src/core/sim/world.ts";
import { framed, lines, type Framing } from "../../../src/streams/api/index.ts";
import { DeliveringSink, recordsOf } from "../../../src/streams/connectors/delivering-sink.ts";
import { RecordWriter } from "../../../src/streams/runtime/record-writer.ts";
import { writeRecord } from "../../../src/streams/runtime/splitter.ts";
import { frameOf } from "../../../src/streams/wire/frame.ts";

test("the next checkpoint is not safe before the one before is delivered, and nothing uncommitted goes out", () => {
  const cluster = new SimCluster(1);
  const wait = (ms: number) => new Promise<void>((resolve) => cluster.scheduler.after(ms, resolve));
  cluster.scheduler.run(async () => {
    const { world } = cluster.host("10.0.0.1").start();
    const delivered: [number, string[]][] = [];
    let isAway = true;
    const sink = new DeliveringSink(
      "out",
      { onPressure: () => {}, onFatal: () => {} },
      {
        ...{ kind: "test", clock: world.clock, log: silentLog(), framing: framed() },
        target: {
          async deliver(checkpoint, records) {
            if (isAway) throw new Error("away");
            delivered.push([checkpoint, records.map((record) => Buffer.from(record).toString())]);
          },
          close: async () => {},
        },
      },
    );
    await sink.open();
    await sink.rollBack(0, undefined, []);
    const write = (text: string) => void sink.writer.raw(frameOf(Buffer.from(text)));
    write("one");
    write("two");
    const first = sink.prepare();
    expect(await first.safe).toBe(true);
    const released = sink.commit(1);
    write("three");
    let isSafe = false;
    const second = sink.prepare();
    void second.safe.then(() => (isSafe = true));
    await wait(5000);
    expect([isSafe, delivered, sink.stats().trouble]).toEqual([false, [], "away"]);
    isAway = false;
    await released;
    await second.safe;
    expect(delivered).toEqual([[1, ["one", "two"]]]);
    // Checkpoint 2 was not committed; the cluster goes back to 1, whose output is here already.
    await sink.rollBack(1, 0, first.outputs);
    write("three again");
    sink.prepare();
    await sink.commit(3);
    expect(delivered).toEqual([
      [1, ["one", "two"]],
      [3, ["three again"]],
    ]);
    // A new life is given the output of the checkpoint that nobody noted as released.
    await sink.close();
  });
});

test.each<[string, Framing]>([
  ["a byte", framed(1)],
  ["two bytes", framed(2)],
  ["four bytes", framed(4)],
  ["a line feed", lines()],
])("records that are framed by %s come out as they went in", (_name, framing) => {
  const runOf = (...texts: string[]) => {
    const out = new RecordWriter();
    for (const text of texts) writeRecord(out, framing, (writer) => writer.utf8(text));
    return out.done();
  };
  const records = recordsOf([runOf("a", "", "bc"), runOf("d")], framing);
  expect(records.map((record) => Buffer.from(record).toString())).toEqual(["a", "", "bc", "d"]);
});
