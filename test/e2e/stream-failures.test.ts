/**
 * Failures of a stream's processes beyond the demos, each judged by the validator: V(n) is every value of every key once,
 * in order, at what the two-phase sink committed.
 */
import { expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { ownCommand } from "../../src/core/own-command.ts";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { realWorld } from "../../src/core/seams/world-real.ts";
import { DemoCluster } from "../../src/streams/demo/cluster.ts";
import { FrameReceiver } from "../../src/streams/receiver/frame-receiver.ts";
import { senderConfig } from "../../src/streams/sender/config.ts";
import { sendOnce } from "../../src/streams/sender/once.ts";
import { SequenceJudge, type Violation } from "../../src/streams/validate/sequence.ts";
import { parseWindow } from "../../src/streams/validate/window-text.ts";
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
      metricsHub: undefined,
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

/** Flips a bit in the middle of what is written of a state log; returns the file. */
function damage(directory: string): string {
  const logs = readdirSync(directory).filter((name) => name.startsWith("log-"));
  const path = join(directory, logs.toSorted().at(-1) as string);
  const bytes = readFileSync(path);
  // The log reserves space: what is written ends before the zeros.
  const middle = bytes.findLastIndex((byte) => byte !== 0) >> 1;
  bytes[middle] = (bytes[middle] as number) ^ 0x10;
  writeFileSync(path, bytes);
  return path;
}

test(
  "A13: a worker whose state has a flipped bit refuses to start and names the file; restored from a replica it goes on",
  async () => {
    const until = 1500;
    const steps = flow(until, async ({ cluster }) => {
      await cluster.untilCheckpoint();
      await cluster.kill(2);
      const { directory } = cluster.host(2);
      const file = damage(join(directory, "worker2/state"));
      const refused = Bun.spawn(
        [...ownCommand(), "run", "worker", "--config", join(directory, "demo.worker2.json")],
        {
          ...{ stdin: "ignore", stdout: "ignore", stderr: "pipe" },
        },
      );
      const said = await new Response(refused.stderr).text();
      expect(await refused.exited).not.toBe(0);
      expect(said).toContain(file);
      await cluster.move(2, 2, true);
      await cluster.restart(2, "same");
    });
    expectValid(await play({ app: "detector", protocol: "acked", until }, 2, steps), until);
  },
  LIMIT_MS,
);

test(
  "A21: a sink that does not read slows the senders down, and memory does not grow with it",
  async () => {
    const UNTIL = 40_000;
    const world = realWorld();
    const root = mkdtempSync(join(tmpdir(), "node-x-stream-"));
    const host = network();
    let failure: Error | undefined;
    const cluster = new DemoCluster({
      ...{
        world,
        root,
        network: host,
        app: "detector",
        appArguments: [],
        checkpointMs: 150,
        metricsHub: undefined,
      },
      sources: [`Detector=acked://${host}.1:7000?cookie=cookie`],
      sinks: [`windows=tcp://${host}.1:5555`],
      say: () => {},
      onFailed: (error) => (failure ??= error),
    });
    const keys = Array.from({ length: 11 }, (_, key) => `key_${key}`);
    const judge = new SequenceJudge({ keys, expected: UNTIL, first: 1, isExactlyOnce: true });
    let violation: Violation | undefined;
    const receiver = new FrameReceiver({
      ...{ world, address: cluster.sink, bodyBytesMax: 1 << 16, bytesPerSecondMax: 0 },
      onFrame(bytes, start, bodyStart, end) {
        const window = parseWindow(Buffer.from(bytes.subarray(bodyStart, end)).toString());
        violation ??= judge.judge(window, { source: "sink", offset: start });
      },
      onProblem: () => {},
    });
    try {
      await receiver.listen();
      await cluster.start(1);
      receiver.hold();
      const config = senderConfig.parse({
        ...{
          role: "sender",
          instance: "t",
          dataDir: root,
          to: [`${host}.1:7000`],
          batch: 1000,
          intervalMs: 0,
        },
        counters: { keys: 11, until: UNTIL },
      });
      let throttled = 0;
      const sending = sendOnce({
        ...{ world, config, timeoutMs: 60_000, interrupted: new AbortController().signal },
        onProgress: ({ figures }) => (throttled = figures.throttled),
      });
      const rssBytes = async () => (await cluster.status(1))?.rssBytes ?? 0;
      let stillLooks = 0;
      let before = -1;
      await cluster.until("the flow to stand still", async () => {
        const { recordsIn = 0 } = (await cluster.status(1)) ?? {};
        const isStill = recordsIn === before && recordsIn > 0 && recordsIn < UNTIL * 11;
        stillLooks = isStill ? stillLooks + 1 : 0;
        before = recordsIn;
        await Bun.sleep(200);
        return stillLooks === 5;
      });
      const full = await rssBytes();
      await Bun.sleep(1500);
      expect((await rssBytes()) - full).toBeLessThan(64 << 20);
      expect(throttled).toBeGreaterThan(0);
      receiver.release();
      expect((await sending).isDone).toBe(true);
      await cluster.until("every window", () => judge.records >= UNTIL * 11 || violation !== undefined);
      expect(violation ?? judge.end()).toBeUndefined();
      expect(failure).toBeUndefined();
    } finally {
      receiver.close();
      await cluster.stop();
      rmSync(root, { recursive: true, force: true });
    }
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
