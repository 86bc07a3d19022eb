/**
 * Failures of a stream's processes beyond the demos, each judged by the validator: V(n) is every value of every key once,
 * in order, at what the two-phase sink committed.
 */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { realWorld } from "../../src/core/seams/world-real.ts";
import { DemoRun, type DemoResult, type DemoSetting } from "../../src/streams/demo/run.ts";

const LIMIT_MS = 120_000;
const PACE = { batch: 10, intervalMs: 10 };

let nextNetwork = process.pid % 200;
const network = () => `127.${60 + (nextNetwork >> 3)}.${1 + (nextNetwork++ % 250)}`;

async function play(
  setting: DemoSetting,
  workers: number,
  steps: (run: DemoRun) => Promise<void>,
): Promise<DemoResult> {
  const root = mkdtempSync(join(tmpdir(), "node-x-stream-"));
  try {
    const options = {
      world: realWorld(),
      root: join(root, "hosts"),
      network: network(),
      pauseMs: 200,
      checkpointMs: 150,
      say: () => {},
      interrupted: new AbortController().signal,
    };
    return await new DemoRun(options, setting).play(workers, steps);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

/** Steps while records flow; resolves when all of them are acknowledged. */
const flow = (until: number, steps: (run: DemoRun) => Promise<void>) => async (run: DemoRun) => {
  const sending = run.sendMeanwhile(until, PACE);
  await run.pause();
  await steps(run);
  expect((await sending).isDone).toBe(true);
};

function expectValid({ isValid, failure, report }: DemoResult, until: number): void {
  expect(failure).toBeUndefined();
  expect(report?.verdict?.violation ?? null).toBeNull();
  expect(isValid).toBe(true);
  expect(report?.verdict?.records).toBe(until * 11);
}

test(
  "A7, A8: the initializer and a worker are killed mid-stream, without waiting for a checkpoint",
  async () => {
    const until = 1200;
    const steps = flow(until, async ({ cluster }) => {
      await cluster.kill(1);
      await cluster.restart(1, "same");
      await cluster.kill(2);
      await cluster.restart(2, "same");
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
  "negative control: plain TCP and a kill without waiting for a checkpoint is told as lost values",
  async () => {
    const { isValid, failure } = await play(
      { app: "detector", protocol: "raw", until: 3000 },
      2,
      async (run) => {
        await run.send(0, 1000, { batch: 100, intervalMs: 5 });
        await run.cluster.kill(1);
        await run.cluster.restart(1, "same");
        await run.send(1000, 3000, { batch: 100, intervalMs: 5 });
        await run.untilReceived(3000, 10_000);
      },
    );
    expect(isValid).toBe(false);
    // The application looks at its own windows, so it stops before the sink could see a gap.
    expect(failure).toMatch(/ended by itself[^]*the window of key_\d+[^]* is \[/);
  },
  LIMIT_MS,
);
