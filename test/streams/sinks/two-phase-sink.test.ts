/**
 * The two-phase sink of a worker against the real sink process, in a simulated network: either side dies at any moment,
 * connections break, the cluster goes back to a checkpoint, and what is committed is every record once, in order.
 */
import { describe, expect, test } from "bun:test";
import { silentLog } from "../../../src/core/logging/log.ts";
import type { World } from "../../../src/core/role.ts";
import { sleep } from "../../../src/core/seams/clock.ts";
import { SimCluster } from "../../../src/core/sim/world.ts";
import { committedParts } from "../../../src/streams/receiver/committed.ts";
import { TwoPhaseReceiver } from "../../../src/streams/receiver/two-phase-receiver.ts";
import { TwoPhaseSink } from "../../../src/streams/sinks/two-phase-sink.ts";

const SINK = { host: "10.0.0.1", port: 5555 };
const DIRECTORY = "/out";

interface Life {
  seed: number;
  reset?: number;
  vote?: (isCommit: boolean) => boolean;
}

function newSink(world: World, onFatal: (error: Error) => void = () => {}): TwoPhaseSink {
  return new TwoPhaseSink(
    "out",
    { onPressure: () => {}, onFatal },
    {
      ...{ world, log: silentLog(), ...SINK, cookie: "", app: "app", instance: "worker2.out" },
    },
  );
}

/**
 * A worker that writes numbers, checkpoints now and then, dies now and then; the "cluster" is a variable that survives:
 * the last committed checkpoint with its position and its next number.
 */
function life({ seed, reset = 0.003, vote }: Life) {
  const cluster = new SimCluster(seed, { net: { reset }, disk: { latencyMinMs: 0.05, latencyMeanMs: 0.2 } });
  const random = cluster.scheduler.fork();
  const wait = (ms: number) => new Promise<void>((resolve) => cluster.scheduler.after(ms, resolve));
  const counts = { commits: 0, aborts: 0, workerDeaths: 0, sinkDeaths: 0, fatal: "" };
  let committed = { checkpoint: 0, position: undefined as unknown, next: 1 };
  let nextCheckpoint = 1;
  const numbers = cluster.scheduler.run(async () => {
    const sinkHost = cluster.host(SINK.host);
    let receiver: TwoPhaseReceiver;
    const startReceiver = async () => {
      const { world } = sinkHost.start();
      receiver = new TwoPhaseReceiver({
        ...{ world, address: SINK, directory: DIRECTORY, onCommit: () => {}, onProblem: () => {} },
        ...(vote !== undefined && { vote }),
      });
      await receiver.listen();
    };
    await startReceiver();
    const workerHost = cluster.host("10.0.0.2");
    for (let lifetime = 0; lifetime < 8; lifetime++) {
      const { world } = workerHost.start();
      const sink = newSink(world, (error) => (counts.fatal = error.message));
      await sink.open();
      await sink.rollBack(committed.checkpoint, committed.position);
      let next = committed.next;
      const endsAt = world.clock.monotonicMs() + 400 + random.float() * 600;
      while (world.clock.monotonicMs() < endsAt) {
        for (let count = Math.max(0, random.integer(8) - 4); count > 0; count--) {
          sink.writer.utf8(`${next++}${"·".repeat(random.integer(40))}\n`);
        }
        sink.flush();
        await wait(random.float() * 6);
        const chance = random.integer(60);
        if (chance === 0) {
          counts.sinkDeaths++;
          if (random.integer(2) === 0) sinkHost.killProcess();
          else sinkHost.losePower({ names: "any", isTearing: true });
          await wait(random.float() * 60);
          await startReceiver();
        }
        if (chance < 50) continue;
        const checkpoint = nextCheckpoint++;
        const { position, safe } = sink.prepare(checkpoint);
        const atBarrier = next;
        if (random.integer(2) === 0) sink.writer.utf8(`${next++}\n`);
        sink.flush();
        const isSafe = await Promise.race([safe, wait(60_000).then(() => undefined)]);
        if (isSafe === undefined) {
          counts.fatal ||= "no vote within a minute";
          break;
        }
        // The worker may die between the promise and the decision.
        if (random.integer(6) === 0) break;
        if (isSafe) {
          committed = { checkpoint, position, next: atBarrier };
          counts.commits++;
          // The worker may die between the decision and the sink's hearing of it.
          if (random.integer(6) === 0) break;
          sink.commit(checkpoint);
        } else {
          counts.aborts++;
          await sink.rollBack(committed.checkpoint, committed.position);
          next = committed.next;
        }
      }
      counts.workerDeaths++;
      workerHost.killProcess();
      await wait(random.float() * 30);
    }
    // One more life, so that the sink hears the last decision.
    const { world } = workerHost.start();
    const sink = newSink(world);
    await sink.rollBack(committed.checkpoint, committed.position);
    await wait(5000);
    const disk = sinkHost.disk;
    let text = "";
    for (const { chunks } of await committedParts(disk, DIRECTORY))
      for await (const chunk of chunks) text += Buffer.from(chunk).toString();
    return text.split("\n").filter(Boolean).map((record) => parseInt(record)); // prettier-ignore
  });
  return { numbers, wanted: committed.next - 1, ...counts };
}

const upTo = (count: number) => Array.from({ length: count }, (_, index) => index + 1);

describe("output in two phases", () => {
  test("is committed exactly once, whoever dies (A11, A12)", () => {
    let [commits, deaths] = [0, 0];
    for (let seed = 1; seed <= 12; seed++) {
      const { numbers, wanted, fatal, ...counts } = life({ seed });
      expect(fatal, `seed ${seed}`).toBe("");
      expect(numbers, `seed ${seed}`).toEqual(upTo(wanted));
      commits += counts.commits;
      deaths += counts.workerDeaths + counts.sinkDeaths;
    }
    expect(commits).toBeGreaterThan(100);
    expect(deaths).toBeGreaterThan(100);
  }, 60_000);

  test("a sink that votes against a checkpoint makes the worker go back, and the next one commits (A12)", () => {
    let votes = 0;
    const { numbers, wanted, aborts, fatal } = life({
      seed: 5,
      vote: (isCommit) => isCommit && ++votes % 3 !== 0,
    });
    expect(fatal).toBe("");
    expect(aborts).toBeGreaterThan(0);
    expect(numbers).toEqual(upTo(wanted));
  }, 60_000);

  test("a worker that joins goes on behind what an earlier one of its name left, committed or only promised", () => {
    const cluster = new SimCluster(1);
    const wait = (ms: number) => new Promise<void>((resolve) => cluster.scheduler.after(ms, resolve));
    cluster.scheduler.run(async () => {
      const workerHost = cluster.host("10.0.0.2");
      const { world } = cluster.host(SINK.host).start();
      const receiver = new TwoPhaseReceiver({
        ...{ world, address: SINK, directory: DIRECTORY, onCommit: () => {}, onProblem: () => {} },
      });
      await receiver.listen();
      let fatal = "";
      const begin = async (checkpoint: number, position?: unknown) => {
        const sink = newSink(workerHost.start().world, (error) => (fatal = error.message));
        await sink.open();
        await Promise.race([sink.rollBack(checkpoint, position), wait(1000)]);
        return sink;
      };
      const put = async (sink: TwoPhaseSink, text: string, checkpoint: number) => {
        sink.writer.utf8(text);
        const { safe, position } = sink.prepare(checkpoint);
        expect(await safe).toBe(true);
        return position;
      };
      const first = await begin(0);
      await put(first, "1\n", 1);
      first.commit(1);
      // It leaves with checkpoint 2, and the sink does not hear of that.
      await put(first, "2\n", 2);
      workerHost.killProcess();
      const joined = await begin(7);
      const position = await put(joined, "3\n", 8);
      joined.commit(8);
      await wait(100);
      expect(receiver.committedBytes).toBe(6);
      workerHost.killProcess();
      await begin(8, position);
      await wait(100);
      expect(fatal).toBe("");
      workerHost.killProcess();
      // A cluster that begins has no business here.
      await begin(0);
      await wait(100);
      expect(fatal).toMatch(/has \d bytes of this worker's output, 0 are committed/);
      workerHost.killProcess();
      await receiver.close();
    });
  });

  test("output of many megabytes at once, and a record longer than a frame may be, reach the sink", () => {
    const cluster = new SimCluster(1);
    cluster.scheduler.run(async () => {
      const { world } = cluster.host(SINK.host).start();
      const problems: string[] = [];
      const receiver = new TwoPhaseReceiver({
        ...{ world, address: SINK, directory: DIRECTORY, onCommit: () => {} },
        onProblem: (text) => problems.push(text),
      });
      await receiver.listen();
      const sink = newSink(cluster.host("10.0.0.2").start().world);
      await sink.open();
      await sink.rollBack(0, undefined);
      const run = "0123456789abcdef".repeat(3 << 16);
      sink.writer.utf8(run);
      sink.flush();
      sink.writer.utf8(`${run}end`);
      const { safe } = sink.prepare(1);
      expect(await Promise.race([safe, sleep(world.clock, 60_000)])).toBe(true);
      sink.commit(1);
      await sleep(world.clock, 1000);
      expect(problems).toEqual([]);
      expect(receiver.committedBytes).toBe(2 * run.length + 3);
      await receiver.close();
    });
  });

  test("a checkpoint without output, while the sink is away, does not make it drop the one before", () => {
    const cluster = new SimCluster(1);
    const wait = (ms: number) => new Promise<void>((resolve) => cluster.scheduler.after(ms, resolve));
    cluster.scheduler.run(async () => {
      const [sinkHost, workerHost] = [cluster.host(SINK.host), cluster.host("10.0.0.2")];
      const startReceiver = async () => {
        const { world } = sinkHost.start();
        const receiver = new TwoPhaseReceiver({
          ...{ world, address: SINK, directory: DIRECTORY, onCommit: () => {}, onProblem: () => {} },
        });
        await receiver.listen();
        return receiver;
      };
      const begin = async (checkpoint: number, position: unknown) => {
        const sink = newSink(workerHost.start().world);
        await sink.open();
        await sink.rollBack(checkpoint, position);
        return sink;
      };
      await startReceiver();
      const first = await begin(0, undefined);
      first.writer.utf8("1\n");
      const promised = first.prepare(1);
      expect(await promised.safe).toBe(true);
      workerHost.killProcess();
      sinkHost.killProcess();
      const second = await begin(1, promised.position);
      const empty = second.prepare(2);
      expect(await empty.safe).toBe(true);
      workerHost.killProcess();
      const receiver = await startReceiver();
      await begin(2, empty.position);
      await wait(1000);
      expect(receiver.committedBytes).toBe(2);
      await receiver.close();
    });
  });
});
