/**
 * Failures of a stream's processes beyond the demos, each judged by the validator: V(n) is every value of every key once,
 * in order, at what the two-phase sink committed. `bun run soak stream-acceptance` plays their long forms.
 */
import { expect, test } from "bun:test";
import { ownCommand } from "../../src/core/own-command.ts";
import { join } from "node:path";
import type { DemoRun, DemoResult, DemoSetting } from "../../src/streams/demo/run.ts";
import { damageState, flow, play, slowSink } from "./stream-plays.ts";

const LIMIT_MS = 180_000;

function expectValid({ isValid, failure, report }: DemoResult, until: number): void {
  expect(failure).toBeUndefined();
  expect(report?.verdict?.violation ?? null).toBeNull();
  expect(isValid).toBe(true);
  expect(report?.verdict?.records).toBe(until * 11);
}

test(
  "A7, A8: the initializer is killed mid-stream, comes back, and moves to another host; a worker is killed, too",
  async () => {
    const until = 2500;
    const steps = flow(until, async ({ cluster }) => {
      const hasCheckpoint = async () => ((await cluster.status(2))?.checkpoint ?? 0) > 0;
      await cluster.until("worker2 to hear of the first checkpoint", hasCheckpoint);
      await cluster.kill(1);
      // What was decided before has come to the other worker when its connection is seen to be gone.
      const isAlone = async () => (await cluster.status(2))?.hasLeader === false;
      await cluster.until("worker2 to miss its leader", isAlone);
      const before = (await cluster.status(2))?.checkpoint;
      await Bun.sleep(600);
      expect((await cluster.status(2))?.checkpoint).toBe(before as number);
      await cluster.restart(1, "same");
      await cluster.untilCheckpoint();
      await cluster.kill(2);
      await cluster.restart(2, "same");
      await cluster.kill(1);
      await cluster.move(1, 4, true);
      await cluster.restart(1, "moved");
      await cluster.untilCheckpoint();
    });
    expectValid(await play({ app: "detector", protocol: "acked", until }, 2, steps), until);
  },
  LIMIT_MS,
);

test(
  "A9: all three workers are killed at once, and come back in another order",
  async () => {
    const until = 1200;
    const steps = flow(until, async ({ cluster }) => {
      await Promise.all([cluster.kill(1), cluster.kill(2), cluster.kill(3)]);
      await cluster.launchAgain([3, 1, 2]);
    });
    expectValid(await play({ app: "detector", protocol: "acked", until }, 3, steps), until);
  },
  LIMIT_MS,
);

test(
  "A15: with one replica away records flow; with both away checkpoints wait, and go on when they are back",
  async () => {
    const until = 2500;
    const steps = flow(until, async ({ cluster }) => {
      await cluster.killReplica(2);
      await cluster.untilCheckpoint();
      await cluster.killReplica(1);
      const stalled = async () => (await cluster.status(2))?.replicas?.troubles.length === 2;
      await cluster.until("the status to say that both replicas are away", stalled);
      const before = (await cluster.status(1))?.cluster?.checkpoint;
      await Bun.sleep(1000);
      expect((await cluster.status(1))?.cluster?.checkpoint).toBe(before as number);
      await cluster.startReplica(1);
      await cluster.startReplica(2);
      await cluster.untilCheckpoint();
      // What the replicas have is enough for another host.
      await cluster.kill(2);
      await cluster.move(2, 4, true);
      await cluster.restart(2, "moved");
    });
    expectValid(await play({ app: "detector", protocol: "acked", until }, 2, steps), until);
  },
  LIMIT_MS,
);

test(
  "A22: what the market rejects is what the oracle rejects, with a worker killed and moved on the way",
  async () => {
    const until = 2500;
    const steps = flow(until, async ({ cluster }) => {
      await cluster.kill(2);
      await cluster.move(2, 4, true);
      await cluster.restart(2, "moved");
    });
    const setting: DemoSetting = { app: "market-spread", protocol: "acked", until };
    const { isValid, failure, market } = await play(setting, 3, steps);
    expect(failure).toBeUndefined();
    expect(market?.difference).toBeNull();
    expect(market?.results).toBeGreaterThan(20);
    expect(isValid).toBe(true);
  },
  LIMIT_MS,
);

test(
  "A13: a worker whose state has a flipped bit refuses to start and names the file; restored from a replica it goes on",
  async () => {
    const until = 1500;
    const steps = flow(until, async ({ cluster }) => {
      await cluster.untilCheckpoint();
      await cluster.kill(2);
      const { directory } = cluster.host(2);
      const file = damageState(join(directory, "worker2/state"));
      const refused = Bun.spawn(
        [...ownCommand(), "run", "worker", "--config", join(directory, "demo.worker2.json")],
        {
          ...{ stdin: "ignore", stdout: "ignore", stderr: "pipe" },
        },
      );
      const said = await new Response(refused.stderr).text();
      expect(await refused.exited).not.toBe(0);
      expect(said).toMatch(new RegExp(`${file}, byte \\d+`));
      await cluster.move(2, 2, true);
      await cluster.restart(2, "same");
    });
    expectValid(await play({ app: "detector", protocol: "acked", until }, 2, steps), until);
  },
  LIMIT_MS,
);

test(
  "A21: a sink that reads slowly slows the senders down, memory does not grow, and then everything arrives",
  async () => {
    const until = 30_000;
    const { growthBytes, throttled, recordsWhenFreed, records, violation, failure } = await slowSink({
      ...{ until, bytesPerSecond: 1_000_000, slowMs: 2000 },
    });
    expect(growthBytes).toBeLessThan(64 << 20);
    expect(throttled).toBeGreaterThan(0);
    expect(recordsWhenFreed).toBeLessThan(until * 11);
    expect(violation).toBeUndefined();
    expect(failure).toBeUndefined();
    expect(records).toBe(until * 11);
  },
  LIMIT_MS,
);

/** Plain TCP, and a kill without waiting for a checkpoint. */
async function loseRecords(run: DemoRun): Promise<void> {
  await run.send(0, 1000, { batch: 100, intervalMs: 5 });
  await run.cluster.kill(1);
  await run.cluster.restart(1, "same");
  await run.send(1000, 3000, { batch: 100, intervalMs: 5 });
  await run.untilReceived(3000, 10_000);
}

test(
  "negative control: lost values stop the application, which looks at its own windows",
  async () => {
    const setting: DemoSetting = { app: "detector", protocol: "raw", until: 3000 };
    const { isValid, failure } = await play(setting, 2, loseRecords);
    expect(isValid).toBe(false);
    expect(failure).toMatch(/ended by itself[^]*the window of key_\d+[^]* is \[/);
  },
  LIMIT_MS,
);

test(
  "negative control: where the application lets them through, the validator names the first",
  async () => {
    const appArguments = ["--tolerant"];
    const setting: DemoSetting = { app: "detector", protocol: "raw", until: 3000, appArguments };
    const { isValid, failure, report } = await play(setting, 2, loseRecords);
    expect(isValid).toBe(false);
    expect(failure).toBeUndefined();
    expect(report?.end).toBe("violation");
    expect(report?.verdict?.violation?.key).toMatch(/^key_\d+$/);
    expect(["sequence", "window"]).toContain(report?.verdict?.violation?.rule as string);
  },
  LIMIT_MS,
);
