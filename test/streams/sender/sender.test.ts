/** The sender against a source that crashes and forgets, in a simulated network: nothing is lost, nothing is sent twice in vain. */
import { describe, expect, test } from "bun:test";
import { silentLog } from "../../../src/core/logging/log.ts";
import { SimCluster } from "../../../src/core/sim/world.ts";
import { senderConfig, type SenderConfig } from "../../../src/streams/sender/config.ts";
import { streamIdOf } from "../../../src/streams/sender/acked-line.ts";
import { Sender } from "../../../src/streams/sender/sender.ts";
import { readCounter } from "../../../src/streams/wire/counter.ts";
import { FrameReader } from "../../../src/streams/wire/frame.ts";
import { SourceDouble } from "./source-double.ts";

export function configOf(settings: Record<string, unknown>): SenderConfig {
  return senderConfig.parse({ role: "sender", instance: "t.sender0", dataDir: "/data", ...settings });
}

const WORKER = "10.0.0.1";
const counters = { keys: 3, until: 200 };

interface Run {
  sender: Sender;
  source: SourceDouble;
  isDone: boolean;
}

/** Runs a sender beside a source until it is done, or `limitMs` of simulated time. */
function simulate(
  seed: number,
  settings: Record<string, unknown>,
  act: (run: Run, wait: (ms: number) => Promise<void>) => Promise<void>,
  { reset = 0, limitMs = 60_000, credits = 67 } = {},
): Run {
  const cluster = new SimCluster(seed, { net: { reset } });
  const wait = (ms: number) => new Promise<void>((resolve) => cluster.scheduler.after(ms, resolve));
  return cluster.scheduler.run(async () => {
    const source = new SourceDouble({
      world: cluster.host(WORKER).start().world,
      host: WORKER,
      port: 7000,
      credits,
    });
    await source.listen();
    const { world } = cluster.host("10.0.0.9").start();
    const { promise: done, resolve } = Promise.withResolvers<void>();
    const sender = await Sender.open({
      world,
      log: silentLog(),
      instance: "t",
      config: configOf({ to: [`${WORKER}:7000`], batch: 5, intervalMs: 10, counters, ...settings }),
      onDone: resolve,
    });
    const run: Run = { sender, source, isDone: false };
    sender.start();
    const acting = act(run, wait);
    await Promise.race([done.then(() => (run.isDone = true)), wait(limitMs)]);
    await Promise.race([acting, wait(1000)]);
    sender.stop();
    source.close();
    return run;
  });
}

/** The values that a checkpoint holds, by key. */
function committed({ source }: Run): Record<string, number[]> {
  return Object.fromEntries(
    [...source.streams.values()].map(({ name, records, committed: { records: count } }) => [
      name,
      records.slice(0, count).map((record) => readCounter(record).value),
    ]),
  );
}

const upTo = (until: number) => Array.from({ length: until }, (_, index) => index + 1);
const all = { key_0: upTo(200), key_1: upTo(200), key_2: upTo(200) };

const checkpointing = async ({ source }: Run, wait: (ms: number) => Promise<void>) => {
  for (let round = 0; round < 200; round++) {
    await wait(50);
    source.checkpoint();
  }
};

describe("acknowledged sending", () => {
  test("ends when a checkpoint holds every record", () => {
    const run = simulate(1, {}, checkpointing);
    expect(run.isDone).toBe(true);
    expect(committed(run)).toEqual(all);
    expect(run.source.violations).toEqual([]);
    expect(run.sender.figures).toMatchObject({ sent: 600, settled: 600, sentAgain: 0, connects: 3 });
    expect(run.sender.report().latency.count).toBeGreaterThan(0);
  });

  test("never ends while nothing is acknowledged (control)", () => {
    const run = simulate(2, {}, async () => {}, { limitMs: 5000 });
    expect(run.isDone).toBe(false);
    expect(run.sender.figures.settled).toBe(0);
  });

  test("sends again what a crash took, and only that (A7, A19)", () => {
    for (let seed = 1; seed <= 20; seed++) {
      const run = simulate(
        seed,
        {},
        async (run, wait) => {
          for (let round = 0; round < 100; round++) {
            await wait(30);
            if (round % 7 === 3) run.source.crash();
            else run.source.checkpoint();
          }
        },
        { reset: 0.005 },
      );
      expect(run.isDone, `seed ${seed}`).toBe(true);
      expect(committed(run), `seed ${seed}`).toEqual(all);
      expect(run.source.violations, `seed ${seed}`).toEqual([]);
      expect(run.sender.figures.sentAgain).toBeGreaterThan(0);
    }
  });

  test("waits when its credits are used up (A19)", () => {
    const run = simulate(
      3,
      { intervalMs: 0, batch: 1000 },
      async ({ source, sender }, wait) => {
        source.isSilent = false;
        await wait(20);
        source.isSilent = true;
        await wait(1000);
        const { sent } = sender.figures;
        await wait(1000);
        expect(sender.figures.sent).toBe(sent);
        expect(sender.figures.throttled).toBeGreaterThan(0);
        source.isSilent = false;
        source.crash();
        await checkpointing({ source, sender, isDone: false }, wait);
      },
      { credits: 12 },
    );
    expect(committed(run)).toEqual(all);
    expect(run.source.violations).toEqual([]);
  });

  test("a second sender of the same stream is refused until the first is gone (A19)", () => {
    const run = simulate(4, { counters: { keys: 1, until: 50 }, intervalMs: 100 }, async (run, wait) => {
      const intruder = { socket: { write: () => 0, terminate: () => {} } };
      await wait(1);
      const id = streamIdOf("key_0");
      run.source.streams.set(id, {
        ...{ name: "key_0", records: [], last: 0, committed: { records: 0, last: 0 } },
        owner: intruder as never,
      });
      run.source.restartAll();
      await wait(2000);
      expect(run.sender.troubles).toEqual(["key_0: another connection owns this stream"]);
      const stream = run.source.streams.get(id);
      if (stream !== undefined) stream.owner = undefined;
      await checkpointing(run, wait);
    });
    expect(run.isDone).toBe(true);
    expect(committed(run)).toEqual({ key_0: upTo(50) });
  });

  test("a new sender goes on where the worker says, without a file of its own", () => {
    const cluster = new SimCluster(5);
    const wait = (ms: number) => new Promise<void>((resolve) => cluster.scheduler.after(ms, resolve));
    cluster.scheduler.run(async () => {
      const source = new SourceDouble({
        world: cluster.host(WORKER).start().world,
        host: WORKER,
        port: 7000,
      });
      await source.listen();
      const config = configOf({ to: [`${WORKER}:7000`], counters: { keys: 1, until: 100 } });
      for (const isLast of [false, true]) {
        const { world } = cluster.host("10.0.0.9").start();
        const { promise: done, resolve } = Promise.withResolvers<void>();
        const sender = await Sender.open({ world, log: silentLog(), instance: "t", config, onDone: resolve });
        sender.start();
        await wait(220);
        source.checkpoint();
        if (isLast) {
          await wait(1000);
          source.checkpoint();
          await done;
          expect(sender.figures.sentAgain).toBe(0);
        }
        sender.stop();
        cluster.host("10.0.0.9").killProcess();
      }
      const [stream] = source.streams.values();
      expect(stream?.records.map((record) => readCounter(record).value)).toEqual(upTo(100));
      expect(source.duplicates).toBe(0);
      source.close();
    });
  });

  test("a wrong cookie is told with the worker's own words", () => {
    const run = simulate(6, { cookie: "no" }, async () => {}, { limitMs: 3000 });
    expect(run.isDone).toBe(false);
    expect(run.sender.troubles[0]).toBe("key_0: the worker says: wrong cookie");
  });
});

describe("raw sending", () => {
  test("keeps its rate whatever happens, and ends when the kernel has everything", () => {
    const cluster = new SimCluster(7);
    cluster.scheduler.run(async () => {
      const values = new Map<string, number[]>();
      const arrivals: number[] = [];
      const { world: there } = cluster.host(WORKER).start();
      const listener = await there.net.listen<FrameReader>({
        host: WORKER,
        port: 7000,
        handlers: {
          open: () => new FrameReader(),
          data: (_socket, reader, chunk) =>
            reader.feed(chunk, (bytes, start, end) => {
              const { key, value } = readCounter(bytes, start, end);
              values.set(key, [...(values.get(key) ?? []), value]);
              arrivals.push(there.clock.monotonicMs());
            }),
          drain: () => {},
          close: () => {},
        },
      });
      const { world } = cluster.host("10.0.0.9").start();
      const { promise: done, resolve } = Promise.withResolvers<void>();
      const startMs = world.clock.monotonicMs();
      const sender = await Sender.open({
        world,
        log: silentLog(),
        instance: "t",
        config: configOf({ protocol: "raw", to: [`${WORKER}:7000`], batch: 10, intervalMs: 100, counters }),
        onDone: resolve,
      });
      sender.start();
      await done;
      // 200 records, 10 at a time, the first at once: 19 intervals.
      const seconds = (world.clock.monotonicMs() - startMs) / 1000;
      expect(seconds).toBeGreaterThanOrEqual(1.9);
      expect(seconds).toBeLessThan(2.2);
      await new Promise<void>((resolve) => cluster.scheduler.after(1000, resolve));
      expect(Object.fromEntries([...values].sort())).toEqual(all);
      expect(sender.report()).toMatchObject({ sent: 600, settled: 600 });
      listener.stop();
    });
  });
});
