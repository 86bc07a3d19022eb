/**
 * The demos of the original's scripts, each as its steps: what is started, what is killed, where it goes.
 *
 * `restart`, `migrate2` and `migrate3` are its verifying scripts: plain TCP, and the kill comes when a checkpoint holds
 * everything. In the others the senders never pause. `start2`, `start3` and `send` are the original's market, the rest the
 * detector, whose output can be judged value by value.
 */
import type { DemoRun, DemoSetting } from "./run.ts";

export interface Demo {
  name: string;
  /** What it shows, a sentence without full stop. */
  shows: string;
  workers: number;
  setting: DemoSetting;
  steps(run: DemoRun): Promise<void>;
}

const MOVED = 2;
/** Of the verifying scripts: 100 records at a time, each 50 ms. */
const SCRIPT_PACE = { batch: 100, intervalMs: 50 };
/** Per key and second: 1000. */
const FLOW_PACE = { batch: 10, intervalMs: 10 };
const HALF = 1000;
const STAGES = [500, 600, 700, 800, 900, 1000];

/** The first thousand in six sends, each awaited at the sink; then a checkpoint that holds them. */
async function firstHalf(run: DemoRun): Promise<void> {
  let from = 0;
  for (const until of STAGES) {
    await run.send(from, until, SCRIPT_PACE);
    await run.untilReceived(until);
    from = until;
  }
  await run.cluster.untilCheckpoint();
}

async function secondHalf(run: DemoRun): Promise<void> {
  await run.send(HALF, 2 * HALF, SCRIPT_PACE);
  await run.untilReceived(2 * HALF);
}

function verifying(
  name: string,
  shows: string,
  workers: number,
  change: (run: DemoRun) => Promise<void>,
): Demo {
  return {
    ...{ name, shows, workers, setting: { app: "detector", protocol: "raw", until: 2 * HALF } },
    async steps(run) {
      await firstHalf(run);
      await run.cluster.kill(MOVED);
      await change(run);
      await secondHalf(run);
    },
  };
}

async function moveAndRestart(run: DemoRun, host: number, isLost = false): Promise<void> {
  await run.cluster.kill(MOVED);
  await run.cluster.move(MOVED, host, isLost);
  await run.cluster.restart(MOVED, host === MOVED ? "same" : "moved");
}

/** Senders run from the first step to the last. */
function flowing(
  name: string,
  shows: string,
  workers: number,
  until: number,
  steps: (run: DemoRun) => Promise<void>,
): Demo {
  return {
    ...{ name, shows, workers, setting: { app: "detector", protocol: "acked", until } },
    async steps(run) {
      const sending = run.sendMeanwhile(run.setting.until, FLOW_PACE);
      await run.pause();
      await steps(run);
      const { isDone, troubles } = await sending;
      if (!isDone) throw new Error(`not everything was acknowledged: ${troubles.join("; ")}`);
    },
  };
}

/** Orders and quotes, and nothing else. */
function market(name: string, shows: string, workers: number, until: number): Demo {
  const demo = flowing(name, shows, workers, until, async () => {});
  return { ...demo, setting: { ...demo.setting, app: "market-spread" } };
}

function chain(name: string, workers: number, hosts: readonly number[]): Demo {
  const way = [MOVED, ...hosts].join(" → ");
  return flowing(name, `worker2 goes ${way} under load, ${workers} workers`, workers, 20_000, async (run) => {
    for (const host of hosts) {
      await moveAndRestart(run, host);
      await run.pause();
    }
  });
}

const RESTARTS = 5;

export const demos: readonly Demo[] = [
  verifying(
    "restart",
    "A worker is killed and started again: no window is lost, repeated or out of order",
    2,
    (run) => run.cluster.restart(MOVED, "same"),
  ),
  verifying(
    "migrate2",
    "A worker's machine is lost, it goes on from replicas elsewhere: 2 workers",
    2,
    async (run) => {
      await run.cluster.move(MOVED, 3, true);
      await run.cluster.restart(MOVED, "moved");
    },
  ),
  verifying("migrate3", "The same with 3 workers", 3, async (run) => {
    await run.cluster.move(MOVED, 4, true);
    await run.cluster.restart(MOVED, "moved");
  }),
  market("start2", "Start the market on 2 workers", 2, 2000),
  market("start3", "Start the market on 3 workers", 3, 2000),
  market("send", "Senders of orders and quotes at a steady rate", 2, 10_000),
  flowing("crash-move", "Crash worker2 under load and move it to another machine", 2, 10_000, (run) =>
    moveAndRestart(run, 4),
  ),
  flowing("move-restart5", "Move worker2, then restart it five times under load", 2, 20_000, async (run) => {
    await moveAndRestart(run, 4);
    for (let time = 0; time < RESTARTS; time++) {
      await run.pause();
      await run.cluster.kill(MOVED);
      await run.cluster.restart(MOVED, "moved");
    }
  }),
  chain("chain2-4-2-3", 2, [4, 2, 3]),
  chain("chain3-2-4-2-4", 3, [4, 2, 4]),
];
