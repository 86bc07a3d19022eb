/**
 * `bun run soak stream-acceptance [A4 A7 …] [moments]`: the long forms of acceptance scenarios, with processes. `check` has
 * short ones in test/e2e/stream-failures.test.ts, and the rest of each in the simulation (test/streams/worker).
 */
import { join } from "node:path";
import { seededRandom } from "../../src/core/seams/random.ts";
import { type DemoRun, type DemoSetting, KEYS } from "../../src/streams/demo/run.ts";
import { workerName } from "../../src/streams/demo/cluster.ts";
import { assertSent, flow, play, slowSink } from "../e2e/stream-plays.ts";
import { askByVerbs, Questions } from "../e2e/stream-questions.ts";
import type { Soak } from "./run.ts";

/** Of each key, for a second of flow. */
const VALUES_PER_SECOND = 1000;

async function judged(
  setting: Omit<DemoSetting, "app">,
  workers: number,
  steps: (run: DemoRun) => Promise<void>,
): Promise<number> {
  const { isValid, failure, report } = await play({ app: "detector", ...setting }, workers, steps);
  if (!isValid) throw new Error(failure ?? JSON.stringify(report?.verdict?.violation ?? report));
  return report?.verdict?.records ?? 0;
}

/** Kills worker2 again and again without waiting for anything. */
const atRandomMoments =
  (moments: number, seed: number) =>
  async ({ cluster }: DemoRun) => {
    const random = seededRandom(seed);
    for (let kill = 0; kill < moments; kill++) {
      await Bun.sleep(random.float() * 600);
      await cluster.kill(2);
      await Bun.sleep(random.float() * 300);
      await cluster.restart(2, "same");
    }
  };

const ORDERS = [[1, 2, 3], [1, 3, 2], [2, 1, 3], [2, 3, 1], [3, 1, 2], [3, 2, 1]]; // prettier-ignore

type Scenario = (moments: number) => Promise<Record<string, number | string>>;

/** Under load: moves worker2 from host to host. */
const moving =
  (hosts: readonly number[]) =>
  async ({ cluster }: DemoRun) => {
    for (const host of hosts) {
      await Bun.sleep(1000);
      await cluster.kill(2);
      await cluster.move(2, host, false);
      await cluster.restart(2, "moved");
    }
  };

const ANSWER_MS_MAX = 1000;
/** Orders and quotes together. */
const MARKET_MESSAGES = 1_000_000;

/** Everything that stops a cluster for a while, with questions to all workers beside it. */
async function asked(run: DemoRun, until: number, questions: Questions): Promise<void> {
  const { cluster } = run;
  const dataDir = (worker: number, host = worker) => join(cluster.host(host).directory, workerName(worker));
  const over = new AbortController();
  const asking = [dataDir(1), dataDir(2), dataDir(3), dataDir(2, 4)].map((each) =>
    questions.keepAsking(each, over.signal),
  );
  const steps = flow(until, async () => {
    for (const worker of [1, 2, 3]) await askByVerbs(dataDir(worker));
    for (const worker of [1, 2, 3, 2]) {
      await cluster.kill(worker);
      await cluster.restart(worker, "same");
    }
    await Promise.all([cluster.kill(2), cluster.kill(3)]);
    await cluster.launchAgain([2, 3]);
    // Checkpoints wait.
    await Promise.all([cluster.killReplica(1), cluster.killReplica(2)]);
    await askByVerbs(dataDir(1));
    await Promise.all([cluster.startReplica(1), cluster.startReplica(2)]);
    await cluster.untilCheckpoint();
    await cluster.kill(2);
    await cluster.move(2, 4, false);
    await cluster.restart(2, "moved");
  });
  try {
    await steps(run);
  } finally {
    over.abort();
    await Promise.all(asking);
  }
}

const scenarios: Readonly<Record<string, Scenario>> = {
  async A4() {
    const until = 20_000;
    return { records: await judged({ protocol: "acked", until }, 2, flow(until, moving([4, 2, 3]))) };
  },
  async A5() {
    const until = 20_000;
    return { records: await judged({ protocol: "acked", until }, 3, flow(until, moving([4, 2, 4]))) };
  },
  async A6() {
    const until = 20_000;
    const steps = flow(until, async (run) => {
      await moving([4])(run);
      for (let restart = 0; restart < 5; restart++) {
        await run.cluster.kill(2);
        await Bun.sleep(1000);
        await run.cluster.restart(2, "moved");
      }
    });
    return { records: await judged({ protocol: "acked", until }, 2, steps) };
  },
  async A7(moments) {
    const until = 2 * moments * VALUES_PER_SECOND;
    const steps = atRandomMoments(moments, 7);
    const acked = await judged({ protocol: "acked", until }, 2, flow(until, steps));
    const logged = await judged({ protocol: "logged", until }, 2, flow(until, steps));
    return { acked, logged };
  },
  async A8(moments) {
    const until = 3 * moments * VALUES_PER_SECOND;
    const steps = flow(until, async ({ cluster }) => {
      for (let kill = 0; kill < moments; kill++) {
        await cluster.kill(1);
        const isMoved = kill % 2 === 1;
        if (isMoved) await cluster.move(1, kill % 4 === 1 ? 4 : 1, true);
        await cluster.restart(1, isMoved ? "moved" : "same");
        await cluster.untilCheckpoint();
      }
    });
    return { records: await judged({ protocol: "acked", until }, 3, steps) };
  },
  async A9() {
    const until = 2 * ORDERS.length * VALUES_PER_SECOND;
    const steps = flow(until, async ({ cluster }) => {
      for (const order of ORDERS) {
        await Promise.all(order.map((worker) => cluster.kill(worker)));
        await cluster.launchAgain(order);
        await Bun.sleep(300);
      }
    });
    return { records: await judged({ protocol: "acked", until }, 3, steps) };
  },
  async A21() {
    const until = 120_000;
    const result = await slowSink({ until, bytesPerSecond: 1_000_000, slowMs: 20_000 });
    const { growthBytes, throttled, records, violation, failure } = result;
    if (failure !== undefined) throw failure;
    if (violation !== undefined || records !== until * KEYS) throw new Error(JSON.stringify(result));
    if (growthBytes > 64 << 20 || throttled === 0) throw new Error(JSON.stringify(result));
    return { growthMebibytes: Math.round(growthBytes / 2 ** 20), throttled, records };
  },
  async A22() {
    const figures: Record<string, number> = {};
    for (const workers of [1, 2, 3]) {
      const setting: DemoSetting = { app: "market-spread", protocol: "acked", until: MARKET_MESSAGES / 2 };
      const { isValid, failure, market } = await play(setting, workers, async (run) => {
        const sending = run.sendMeanwhile(setting.until, { batch: 500, intervalMs: 10 });
        await run.cluster.untilCheckpoint();
        await run.cluster.kill(workers);
        await run.cluster.restart(workers, "same");
        await assertSent(sending);
      });
      if (!isValid) throw new Error(failure ?? market?.difference ?? "the market was not judged");
      figures[`rejected on ${workers}`] = market?.results ?? 0;
    }
    return figures;
  },
  async A25() {
    const until = 20_000;
    const questions = new Questions();
    const records = await judged({ protocol: "acked", until }, 3, (run) => asked(run, until, questions));
    if (questions.slowest > ANSWER_MS_MAX)
      throw new Error(`not every answer came within ${ANSWER_MS_MAX} ms: ${questions.slowestText}`);
    return { records, answers: questions.answers, slowest: questions.slowestText };
  },
};

const MOMENTS = 20;

export const soak: Soak = {
  summary: "the long forms of a stream's acceptance scenarios: [A4 A5 A6 A7 A8 A9 A21 A22 A25] [moments]",
  async run(words) {
    const asked = words.filter((word) => Object.hasOwn(scenarios, word));
    const moments = Number(words.find((word) => /^\d+$/.test(word)) ?? MOMENTS);
    const figures: Record<string, string> = {};
    for (const name of asked.length > 0 ? asked : Object.keys(scenarios)) {
      const found = await (scenarios[name] as Scenario)(moments);
      console.log(`${name}: ${JSON.stringify(found)}`);
      figures[name] = JSON.stringify(found);
    }
    return figures;
  },
};
