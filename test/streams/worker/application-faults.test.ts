/** Applications with mistakes, in a cluster: who hears of it, and what the output has. */
import { expect, test } from "bun:test";
import { app, framed, json, tumbling, type App, type Builder } from "node-x/stream";
import { StreamCluster, type StreamClusterOptions } from "./sim-cluster.ts";

interface Item {
  key: string;
  value: number;
}

const input = (a: Builder) =>
  a.source<Item>("in", {
    framing: framed(),
    decode: (frame) => ({ key: frame.text(8), value: Number(frame.u64(0)) }),
  });
const output = (a: Builder) =>
  a.sink<string>("out", { framing: framed(), encode: (text, out) => out.utf8(text) });

function simulate(
  options: Omit<StreamClusterOptions, "sink">,
  life: (cluster: StreamCluster) => Promise<void>,
): void {
  const cluster = new StreamCluster(1, { ...options, sink: "out" });
  cluster.scheduler.run(() => life(cluster), { timeLimitMs: 60_000 });
}

/** What the worker of a cluster of one ends with. */
function fatalOf(application: App, sources: readonly string[] = ["in"]): string {
  let message = "";
  simulate({ app: application, size: 1, sources }, async (cluster) => {
    await cluster.startAll(
      sources[0] === "in" ? {} : { sources: sources.map((name) => `${name}=generator:`) },
    );
    if (sources[0] === "in") cluster.sendTo({}, ["a"], 20);
    const worker = () => cluster.workers.get("initializer");
    for (let looks = 0; worker()?.fatal === undefined && looks < 2000; looks++) await cluster.pause(5);
    message = worker()?.fatal?.message ?? "";
  });
  return message;
}

test("when a worker says that a record stopped it, it is in the dead letters, and nothing behind it went out", () => {
  const application = app("no", (a) =>
    input(a)
      .map(({ key, value }) => {
        if (key === "a" && value === 5) throw new Error("no");
        return String(value);
      })
      .to(output(a)),
  );
  simulate({ app: application, size: 1, sources: ["in"] }, async (cluster) => {
    await cluster.startAll();
    const keys = ["a", "b", "c", "d", "e", "f", "g", "h"];
    cluster.sendTo({}, keys, 9);
    while (cluster.workers.get("initializer")?.fatal === undefined) await cluster.pause(0.1);
    const { disk } = cluster.sim.host("10.0.0.1");
    const letters = await disk.open("/data/initializer/dead-letters.jsonl", "read");
    expect(await letters.size()).toBeGreaterThan(0);
    await cluster.pause(1000);
    const out = await disk.open("/data/initializer/out", "read");
    // Frames of a digit: at most the values of the other keys that came before it.
    expect(await out.size()).toBeLessThanOrEqual(4 * keys.length * 5);
  });
});

test("a window whose output throws stops the worker and says so, also when only time fires it", () => {
  const application = app("late", (a) =>
    input(a)
      .keyBy(({ key }) => key)
      .window<number, string>("counts", tumbling(100), {
        initial: () => 0,
        update: (_item, count) => count + 1,
        output: () => {
          throw new Error("no output");
        },
      })
      .to(output(a)),
  );
  expect(fatalOf(application)).toStartWith("a step threw for a record of window counts: no output");
});

test("a generator that throws stops the worker", () => {
  const application = app("made", (a) =>
    a
      .generator<number>("numbers", {
        first: 1,
        next(value) {
          if (value === 3) throw new Error("no four");
          return value + 1;
        },
      })
      .map(String)
      .to(output(a)),
  );
  expect(fatalOf(application, ["numbers"])).toBe(
    'the generator "numbers" threw behind its value number 3: no four',
  );
});

test("what a step throws may be anything", () => {
  for (const thrown of [null, undefined, Object.create(null)]) {
    const application = app("odd", (a) =>
      input(a)
        .map(() => {
          throw thrown;
        })
        .to(output(a)),
    );
    expect(fatalOf(application)).toMatch(
      /^a step threw for a record of in: (null|undefined|an object that is)/,
    );
  }
});

test("a state that cannot be encoded is named with its key", () => {
  const application = app("big", (a) =>
    input(a)
      .keyBy(({ key }) => key)
      .state<{ sum: number | bigint }, string>("sums", { init: () => ({ sum: 0 }) }, (_item, state) => {
        state.sum = 1n;
      })
      .to(output(a)),
  );
  expect(fatalOf(application)).toMatch(
    /^the state "sums" of the key "a" cannot be encoded: JSON would change it/,
  );
});

test("a record that cannot be written for another worker leaves nothing in front of the next one", () => {
  const whole = json<Item>();
  const application = app("halves", (a) =>
    input(a)
      .map((item) => item)
      .keyBy(({ key }) => key, {
        ...whole,
        encode(item, out) {
          whole.encode(item, out);
          if (item.value === 7) throw new Error("half");
        },
      })
      .state<object, string>("all", { init: () => ({}) }, ({ key, value }, _state, out) => {
        out.emit(`${key} ${value}`);
      })
      .to(output(a)),
  );
  const keys = ["a", "b", "c", "d", "e", "f", "g", "h"];
  simulate({ app: application, size: 2, sources: ["in"] }, async (cluster) => {
    await cluster.startAll({ onStepError: "skip" });
    cluster.sendTo({}, keys, 20);
    await cluster.untilAcked();
    const found = await cluster.output();
    const elsewhere = new Set(found.get("worker2")?.map((record) => record.split(" ")[0]));
    expect(elsewhere.size).toBeGreaterThan(1);
    expect(cluster.leader.deadLetters.counts.step).toBe(elsewhere.size);
    const wanted = keys.flatMap((key) =>
      Array.from({ length: 20 }, (_, index) => index + 1)
        .filter((value) => value !== 7 || !elsewhere.has(key))
        .map((value) => `${key} ${value}`),
    );
    expect([...found.values()].flat().toSorted()).toEqual(wanted.toSorted());
  });
});
