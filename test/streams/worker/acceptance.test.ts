/**
 * Acceptance scenarios in the simulation, by the numbers that they have in the plan: what goes in comes out as a
 * single-threaded run of the same application makes it, on any number of workers, whatever dies.
 */
import { describe, expect, test } from "bun:test";
import {
  app, counting, ephemeral, framed, json, session, sliding, testApp, tumbling, type App, type KeyedStream, type Stream,
  type WindowSpec,
} from "node-x/stream"; // prettier-ignore
import { seededRandom } from "../../../src/core/seams/random.ts";
import detector from "../../../src/streams/apps/detector.ts";
import marketSpread from "../../../src/streams/apps/market-spread.ts";
import wordCount from "../../../src/streams/apps/word-count.ts";
import { ByteWriter } from "../../../src/streams/wire/bytes.ts";
import { RESULT_COMPARED_BYTES, writeOrder, writeQuote } from "../../../src/streams/wire/market-spread.ts";
import { frameOf } from "../../../src/streams/wire/frame.ts";
import { billOfRights } from "../apps/bill-of-rights.ts";
import { StreamCluster, violation, workerSpec, type StreamClusterOptions } from "./sim-cluster.ts";

const KEYS = Array.from({ length: 11 }, (_, index) => `key_${index}`);

function simulate(
  seed: number,
  options: StreamClusterOptions,
  life: (cluster: StreamCluster) => Promise<void>,
): void {
  const cluster = new StreamCluster(seed, options);
  cluster.scheduler.run(() => life(cluster), { timeLimitMs: 600_000 });
}

const allRecords = async (cluster: StreamCluster) => [...(await cluster.output()).values()].flat().toSorted();

test("A7: a worker dies at twenty random moments, none of which waits for a checkpoint", () => {
  simulate(7, { app: detector, size: 2 }, async (cluster) => {
    await cluster.startAll();
    const keys = KEYS.slice(0, 3);
    const sender = cluster.send(keys, Number.POSITIVE_INFINITY);
    const random = seededRandom(7);
    for (let kill = 0; kill < 20; kill++) {
      const before = sender.acked;
      await cluster.until("some progress", () => sender.acked > before);
      await cluster.pause(random.integer(120));
      cluster.kill("worker2");
      await cluster.pause(random.integer(30));
      await cluster.restart("worker2");
    }
    const count = sender.finish();
    await cluster.untilAcked();
    expect(violation(await cluster.output(), keys, count)).toBeUndefined();
  });
}, 120_000);

test("A8: without the initializer no checkpoint is committed; it comes back, in place and on another host", () => {
  simulate(8, { app: detector, size: 3 }, async (cluster) => {
    await cluster.startAll();
    const sender = cluster.send(KEYS, Number.POSITIVE_INFINITY);
    const committed = () => cluster.workers.get("worker2")?.worker?.stateLog.committed.id ?? 0;
    const dieAndComeBack = async (comeBack: () => Promise<unknown>) => {
      const before = sender.acked;
      await cluster.until("some progress", () => sender.acked > before + 50);
      cluster.kill("initializer");
      // What was decided before is still on its way.
      await cluster.pause(20);
      const last = committed();
      await cluster.pause(3000);
      expect(committed()).toBe(last);
      await comeBack();
      await cluster.until("checkpoints", () => committed() > last + 2);
    };
    await dieAndComeBack(() => cluster.restart("initializer"));
    await dieAndComeBack(async () => {
      await cluster.move("initializer", "10.0.0.4");
      sender.turnTo("10.0.0.4");
    });
    const count = sender.finish();
    await cluster.untilAcked();
    expect(violation(await cluster.output(), KEYS, count)).toBeUndefined();
  });
});

describe("A9: all workers die at once and come back in any order", () => {
  test.each([
    ["initializer", "worker2", "worker3"],
    ["worker2", "worker3", "initializer"],
    ["worker3", "initializer", "worker2"],
    ["initializer", "worker3", "worker2"],
    ["worker2", "initializer", "worker3"],
    ["worker3", "worker2", "initializer"],
  ])("%s, %s, %s", (first, second, third) => {
    const order = [first, second, third];
    simulate(1, { app: detector, size: 3 }, async (cluster) => {
      await cluster.startAll();
      const sender = cluster.send(KEYS, Number.POSITIVE_INFINITY);
      await cluster.until("some progress", () => sender.acked > 50);
      for (const name of order) cluster.kill(name);
      for (const name of order) {
        await cluster.restart(name);
        await cluster.pause(40);
      }
      const count = sender.finish();
      await cluster.untilAcked();
      expect(violation(await cluster.output(), KEYS, count)).toBeUndefined();
    });
  });
});

test("A10: a second worker dies while the first comes back, at any distance up to half a second", () => {
  for (const gapMs of [0, 20, 80, 200, 500]) {
    simulate(10 + gapMs, { app: detector, size: 3 }, async (cluster) => {
      await cluster.startAll();
      const sender = cluster.send(KEYS.slice(0, 3), Number.POSITIVE_INFINITY);
      await cluster.until("some progress", () => sender.acked > 20);
      const epoch = () => cluster.leader.leader?.status.epoch ?? 0;
      const before = epoch();
      cluster.kill("worker2");
      const first = cluster.restart("worker2");
      await cluster.pause(gapMs);
      cluster.kill("worker3");
      await first;
      await cluster.restart("worker3");
      await cluster.until("the cluster runs", () => cluster.isRunning(), 30_000);
      expect(epoch()).toBeGreaterThan(before);
      const count = sender.finish();
      await cluster.untilAcked();
      expect(violation(await cluster.output(), KEYS.slice(0, 3), count)).toBeUndefined();
    });
  }
});

/** A kill each half millisecond after a checkpoint began: before, at and behind every step of it. */
describe("A11: a crash at every point of a checkpoint", () => {
  test.each(["initializer", "worker2"])(
    "of %s",
    (name) => {
      for (let step = 0; step < 10; step++) {
        simulate(20 + step, { app: detector, size: 2 }, async (cluster) => {
          await cluster.startAll();
          const sender = cluster.send(KEYS, Number.POSITIVE_INFINITY);
          await cluster.until("some progress", () => sender.acked > 20);
          const isRunning = () => cluster.leader.leader?.status.isCheckpointRunning === true;
          while (!isRunning()) await cluster.pause(0.05);
          await cluster.pause(step * 0.3);
          if (step % 2 === 0) cluster.kill(name);
          else cluster.losePower(name);
          await cluster.pause(20);
          await cluster.restart(name);
          const count = sender.finish();
          await cluster.untilAcked();
          expect({ step, wrong: violation(await cluster.output(), KEYS, count) }).toEqual({
            step,
            wrong: undefined,
          });
        });
      }
    },
    120_000,
  );
});

test("A16: ten times one worker becomes three and one again, under the same names", () => {
  simulate(3, { app: detector, size: 1, checkpointMs: 30 }, async (cluster) => {
    await cluster.startAll();
    const keys = KEYS.slice(0, 5);
    const sender = cluster.send(keys, Number.POSITIVE_INFINITY);
    await cluster.until("every key", () => sender.acked > 20);
    const members = () => cluster.leader.leader?.layout?.members ?? [];
    /** No key is on two workers, none is missing. */
    const expectWhole = (count: number) => {
      expect(members().length).toBe(count);
      const found = members().flatMap((name) => [
        ...(cluster.workers.get(name)?.worker?.engine.stores.get("window 1")?.keys() ?? []),
      ]);
      expect(found.toSorted()).toEqual(keys.toSorted());
    };
    for (let cycle = 0; cycle < 10; cycle++) {
      for (const number of [2, 3]) await cluster.start({ ...workerSpec(number), settings: { joining: 2 } });
      await cluster.until("three members", () => members().length === 3);
      expectWhole(3);
      await cluster.until(
        "a leave",
        () => cluster.leader.leader?.shrink(["worker2", "worker3"]) === undefined,
      );
      await cluster.until("one member", () => members().length === 1);
      expectWhole(1);
      await cluster.until("goodbyes", () =>
        ["worker2", "worker3"].every((name) => cluster.workers.get(name)?.hasLeft),
      );
      for (const name of ["worker2", "worker3"]) cluster.kill(name);
    }
    const count = sender.finish();
    await cluster.untilAcked();
    expect(violation(await cluster.output(), keys, count)).toBeUndefined();
  });
}, 120_000);

describe("A17: a worker dies while it, or another one, is to leave", () => {
  test.each(["worker3", "worker2", "initializer"])("%s", (victim) => {
    simulate(17, { app: detector, size: 3 }, async (cluster) => {
      await cluster.startAll();
      const keys = KEYS.slice(0, 5);
      const sender = cluster.send(keys, Number.POSITIVE_INFINITY);
      await cluster.until("some progress", () => sender.acked > 20);
      const { leader } = cluster.leader;
      await cluster.until("a leave", () => leader?.shrink(["worker3"]) === undefined);
      await cluster.until(
        "the keys to move",
        () => (leader?.status.epoch ?? 0) > 1 && leader?.status.phase === "beginning",
      );
      cluster.kill(victim);
      await cluster.pause(30);
      await cluster.restart(victim);
      await cluster.until("the cluster runs", () => cluster.isRunning());
      const members = cluster.leader.leader?.layout?.members ?? [];
      const found = members.flatMap((name) => [
        ...(cluster.workers.get(name)?.worker?.engine.stores.get("window 1")?.keys() ?? []),
      ]);
      expect(found.toSorted()).toEqual(keys.toSorted());
      const count = sender.finish();
      await cluster.untilAcked();
      expect(violation(await cluster.output(), keys, count)).toBeUndefined();
    });
  });
});

test("A18: a state log is rewritten, by command and by size, and its worker dies at once", () => {
  simulate(18, { app: detector, size: 2, checkpointMs: 30 }, async (cluster) => {
    await cluster.startAll({ compaction: { logBytesMin: 3000, growthPercent: 50 } });
    const keys = KEYS.slice(0, 5);
    const sender = cluster.send(keys, Number.POSITIVE_INFINITY);
    const random = seededRandom(18);
    for (let round = 0; round < 12; round++) {
      const before = sender.acked;
      await cluster.until("some progress", () => sender.acked > before + 20);
      const name = round % 3 === 0 ? "initializer" : "worker2";
      const rotating = cluster.workers.get(name)?.worker?.stateLog.compact();
      rotating?.catch(() => undefined);
      await cluster.pause(random.float() * 4);
      if (round % 2 === 0) cluster.kill(name);
      else cluster.losePower(name);
      await cluster.restart(name);
      await cluster.until("the cluster runs", () => cluster.isRunning());
    }
    await cluster.until("a snapshot", () => (cluster.leader.stateLog.figures.snapshotBytes ?? 0) > 0);
    const count = sender.finish();
    await cluster.untilAcked();
    expect(violation(await cluster.output(), keys, count)).toBeUndefined();
  });
});

test("A20: connections break all the time, and no checkpoint is undone by it", () => {
  simulate(4, { app: detector, args: ["--depth", "2"], size: 3 }, async (cluster) => {
    await cluster.startAll();
    const sender = cluster.send(KEYS, Number.POSITIVE_INFINITY);
    cluster.sim.network.options.reset = 0.01;
    await cluster.until("much progress", () => sender.acked > 1000);
    cluster.sim.network.options.reset = 0;
    const count = sender.finish();
    await cluster.untilAcked();
    expect(violation(await cluster.output(), KEYS, count)).toBeUndefined();
    expect(cluster.leader.leader?.status.epoch).toBe(1);
    expect(cluster.sim.faults().of("connection reset")).toBeGreaterThan(5);
  });
}, 120_000);

describe("A22: market-spread rejects what a single-threaded run rejects", () => {
  const SYMBOLS = Array.from({ length: 30 }, (_, index) => `S${index}`);
  const time = "20261125-12:00:00.000";
  const quote = (symbol: string) => {
    const isRejecting = Number(symbol.slice(1)) % 5 === 0;
    const out = new ByteWriter();
    writeQuote(out, { symbol, time, bid: 20, offer: isRejecting ? 20.06 : 20.02 });
    return out.done();
  };
  const order = (symbol: string, number: number) => {
    const out = new ByteWriter();
    const orderId = String(number).padStart(6, "0");
    writeOrder(out, {
      side: 1 + (number % 2),
      account: number,
      orderId,
      symbol,
      quantity: 100,
      price: 20,
      time,
    });
    return out.done();
  };

  function oracle(count: number): string[] {
    const run = testApp(marketSpread);
    for (const symbol of SYMBOLS) run.feedBytes("Nbbo", frameOf(quote(symbol)));
    for (const symbol of SYMBOLS)
      for (let number = 1; number <= count; number++) run.feedBytes("Orders", frameOf(order(symbol, number)));
    return (run.take("rejects") as { order: Uint8Array; bid: number; offer: number }[])
      .map(({ order: head, bid, offer }) => {
        const out = new ByteWriter().raw(head).f64(bid).f64(offer);
        return Buffer.from(out.done()).toString("latin1");
      })
      .toSorted();
  }

  test.each([1, 2, 3])("%p workers", (size) => {
    const options = { app: marketSpread, size, sources: ["Orders", "Nbbo"], sink: "rejects" };
    simulate(5, options, async (cluster) => {
      await cluster.startAll();
      cluster.sendTo({ port: 7001, payloadOf: quote }, SYMBOLS, 1);
      await cluster.until("the quotes", () => cluster.senders.every(({ isDone }) => isDone));
      const orders = cluster.sendTo({ port: 7000, payloadOf: order }, SYMBOLS, 20);
      await cluster.until("orders", () => orders.acked > 100);
      const name = size === 1 ? "initializer" : "worker2";
      cluster.kill(name);
      await cluster.restart(name);
      await cluster.untilAcked();
      const found = (await allRecords(cluster)).map((record) => record.slice(0, RESULT_COMPARED_BYTES));
      expect(found.length).toBe(6 * 20);
      expect(found).toEqual(oracle(20).map((record) => record.slice(0, RESULT_COMPARED_BYTES)));
    });
  });
});

test.each([1, 2, 3])(
  "A23: the 482 words of the Bill of Rights are counted on %p workers as on one thread",
  (size) => {
    const line = (_key: string, number: number) => Buffer.from(billOfRights[number - 1] as string);
    simulate(6, { app: wordCount, size, sources: ["Lines"], sink: "counts" }, async (cluster) => {
      await cluster.startAll();
      cluster.sendTo({ payloadOf: line }, ["lines"], billOfRights.length);
      await cluster.untilAcked();
      const expected = testApp(wordCount)
        .feed("Lines", [...billOfRights])
        .take("counts") as string[];
      expect(expected.length).toBe(482);
      expect(await allRecords(cluster)).toEqual(expected.toSorted());
    });
  },
);

describe("A23: any pipeline of steps with and without state, by key and without, is the same on three workers", () => {
  interface Item {
    key: string;
    value: number;
    steps: string[];
  }
  type Kind = "stateless" | "state" | "keyed stateless" | "keyed state";
  const KINDS: readonly Kind[] = ["stateless", "state", "keyed stateless", "keyed state"];

  function step(stream: Stream<Item>, kind: Kind, name: string): Stream<Item> {
    const mark = (item: Item, more = ""): Item => ({ ...item, steps: [...item.steps, name + more] });
    const counted = (keyed: KeyedStream<Item>): Stream<Item> =>
      keyed.state<{ newest: Record<string, number> }, Item>(
        name,
        { init: () => ({ newest: {} }) },
        (item, state, out) => {
          // Per key the values must come in their order, whatever the step's own key is.
          const before = state.newest[item.key] ?? 0;
          state.newest[item.key] = item.value;
          out.emit(mark(item, item.value === before + 1 ? "" : `!${before}`));
        },
      );
    switch (kind) {
      case "stateless":
        return stream.map((item) => mark(item));
      case "state":
        return counted(stream.global());
      case "keyed stateless":
        return stream
          .keyBy(({ key }) => key, json<Item>())
          .state(`${name} pass`, { init: () => ({}) }, (item, _state, out) => out.emit(mark(item)));
      case "keyed state":
        return counted(stream.keyBy(({ key }) => key));
    }
  }

  const pipeline = (kinds: readonly Kind[]): App =>
    app("grid", (a) => {
      let stream: Stream<Item> = a.source<Item>("in", {
        framing: framed(),
        decode: (frame) => ({ key: frame.text(8), value: Number(frame.u64(0)), steps: [] }),
      });
      for (const [index, kind] of kinds.entries()) stream = step(stream, kind, `${index} ${kind}`);
      stream.to(
        a.sink<Item>("out", { framing: framed(), encode: (item, out) => out.utf8(JSON.stringify(item)) }),
      );
    });

  const grid = KINDS.flatMap((first) => [[first], ...KINDS.map((second) => [first, second])]);
  test.each(grid.map((kinds) => [kinds.join(", "), kinds] as const))("%s", (_name, kinds) => {
    const keys = ["a", "b", "c", "d"];
    const options = { app: pipeline(kinds), size: 3, sources: ["in"], sink: "out", checkpointMs: 30 };
    simulate(7, options, async (cluster) => {
      await cluster.startAll();
      cluster.sendTo({}, keys, 15);
      await cluster.untilAcked();
      const expected = keys.flatMap((key) =>
        Array.from({ length: 15 }, (_, index) =>
          JSON.stringify({ key, value: index + 1, steps: kinds.map((kind, at) => `${at} ${kind}`) }),
        ),
      );
      expect(await allRecords(cluster)).toEqual(expected.toSorted());
    });
  });
});

describe("A24: every window fires once at the committed output, also when workers die in the middle of it", () => {
  const KEYS_OF_WINDOWS = ["a", "b", "c", "d", "e"];
  const VALUES = 100;
  interface Item {
    key: string;
    timeMs: number;
  }
  interface Case {
    spec: WindowSpec;
    /** Windows of each key: start and records. */
    expected: [start: number | undefined, count: number][];
    timeMsOf?(number: number): number;
    /** Windows fire because nothing comes any more, not because of a record behind them all. */
    isSilent?: boolean;
  }
  const windowsEach = (first: number, slideMs: number, counts: readonly number[]): Case["expected"] =>
    counts.map((count, index) => [first + index * slideMs, count]);
  const TENS = new Array<number>(10).fill(10);
  const TUMBLING = windowsEach(0, 100, TENS);
  const cases: Record<string, Case> = {
    tumbling: { spec: tumbling(100), expected: TUMBLING },
    sliding: {
      spec: sliding(100, 50),
      expected: windowsEach(-50, 50, [5, ...new Array<number>(19).fill(10), 5]),
    },
    counting: { spec: counting(25), expected: new Array(4).fill([undefined, 25]) },
    // Twenty records, then half a second of nothing.
    sessions: {
      spec: session(100),
      timeMsOf: (number) => (number - 1) * 10 + Math.floor((number - 1) / 20) * 500,
      expected: windowsEach(0, 700, new Array<number>(5).fill(20)),
    },
    // Where it begins depends on the watermark that it meets.
    ephemeral: {
      spec: ephemeral(250_000, 1000, { flushMs: 3000 }),
      expected: [[undefined, VALUES]],
      isSilent: true,
    },
    "flushed by silence": { spec: tumbling(100, { flushMs: 3000 }), expected: TUMBLING, isSilent: true },
  };

  const windowApp = ({ spec, expected }: Case) =>
    app("windows", (a) => {
      const showsStart = expected[0]?.[0] !== undefined;
      a.source<Item>("in", {
        framing: framed(),
        decode: (frame) => ({ key: frame.text(8), timeMs: Number(frame.u64(0)) }),
      })
        .eventTime(({ timeMs }) => timeMs, { latenessMs: 100_000 })
        .keyBy(({ key }) => key)
        .window<number, string>("counts", spec, {
          initial: () => 0,
          update: (_item, count) => count + 1,
          combine: (one, other) => one + other,
          output: (key, count, bounds) => `${key} ${showsStart ? bounds?.startMs : undefined}: ${count}`,
        })
        .to(a.sink<string>("out", { framing: framed(), encode: (text, out) => out.utf8(text) }));
    });

  test.each(Object.entries(cases))("%s", (_name, each) => {
    const { expected, timeMsOf = (number: number) => (number - 1) * 10, isSilent = false } = each;
    const record = (key: string, timeMs: number) => new ByteWriter().u64(timeMs).raw(Buffer.from(key)).done();
    simulate(8, { app: windowApp(each), size: 3, sources: ["in"], sink: "out" }, async (cluster) => {
      await cluster.startAll();
      const payloadOf = (key: string, number: number) => record(key, timeMsOf(number));
      const sender = cluster.sendTo({ payloadOf }, KEYS_OF_WINDOWS, VALUES);
      for (const name of ["worker2", "worker3", "initializer"]) {
        const before = sender.acked;
        await cluster.until("some progress", () => sender.acked > before + 30 || sender.isDone);
        cluster.kill(name);
        await cluster.restart(name);
        await cluster.until("the cluster runs", () => cluster.isRunning());
      }
      await cluster.untilAcked();
      // Behind everything comes a record that is far in the future: with it all windows before are due.
      const last = { firstStream: 100, payloadOf: (key: string) => record(key, 10_000_000) };
      if (!isSilent) cluster.sendTo(last, ["z"], 1);
      await cluster.untilAcked();
      await cluster.pause(isSilent ? 4000 : 1000);
      const wanted = KEYS_OF_WINDOWS.flatMap((key) =>
        expected.map(([start, count]) => `${key} ${start}: ${count}`),
      );
      expect(await allRecords(cluster)).toEqual(wanted.toSorted());
    });
  });
});
