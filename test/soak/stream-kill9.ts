/**
 * `bun run soak stream-kill9 [seconds] [seed]`: three workers and two replicas as processes; any of them is killed at any
 * moment, worker2 also moves from host to host; at the end every value of every key is there once, in order.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { seededRandom } from "../../src/core/seams/random.ts";
import { realWorld } from "../../src/core/seams/world-real.ts";
import { DemoRun } from "../../src/streams/demo/run.ts";
import type { Soak } from "./run.ts";

/** Of each key. */
const VALUES_PER_SECOND = 500;
const HOSTS_OF_WORKER2 = [2, 4, 5];

export const soak: Soak = {
  summary: "kill -9 under a stream's workers and replicas, with moves: [seconds] [seed]",
  async run([seconds = "600", seed = String(Date.now() % 1_000_000)]) {
    console.log(`stream-kill9: ${seconds} s, seed ${seed}`);
    const random = seededRandom(Number(seed));
    const root = mkdtempSync(join(tmpdir(), "node-x-soak-"));
    const until = Number(seconds) * VALUES_PER_SECOND;
    const counts = { kills: 0, moves: 0, replicaKills: 0 };
    const run = new DemoRun(
      {
        ...{ world: realWorld(), root, network: `127.${100 + (process.pid % 100)}.1` },
        ...{
          pauseMs: 0,
          checkpointMs: 500,
          metricsHub: undefined,
          say: () => {},
          interrupted: new AbortController().signal,
        },
      },
      { app: "detector", protocol: "acked", until },
    );
    const { isValid, failure, report } = await run.play(3, async ({ cluster }) => {
      let isOver = false;
      const pace = { batch: 5, intervalMs: (5 * 1000) / VALUES_PER_SECOND };
      const sending = run.sendMeanwhile(until, pace).finally(() => (isOver = true));
      let isMoved = false;
      while (!isOver) {
        await Bun.sleep(random.float() * 4000);
        const chance = random.integer(10);
        if (chance === 0) {
          const replica = 1 + random.integer(2);
          await cluster.killReplica(replica);
          await Bun.sleep(random.float() * 1000);
          await cluster.startReplica(replica);
          // One acknowledgement is enough for a checkpoint: the next loss waits until both replicas have it again.
          for (const worker of [1, 2, 3]) {
            const isInSync = async () => (await cluster.status(worker))?.replicas?.inSync === 2;
            await cluster.until(`worker ${worker} to have both replicas`, isInSync);
          }
          counts.replicaKills++;
          continue;
        }
        const worker = 1 + random.integer(3);
        await cluster.kill(worker);
        counts.kills++;
        if (worker === 2 && random.integer(2) === 0) {
          await cluster.move(2, HOSTS_OF_WORKER2[random.integer(3)] as number, random.integer(2) === 0);
          isMoved = true;
          counts.moves++;
        }
        await cluster.restart(worker, worker === 2 && isMoved ? "moved" : "same");
      }
      await sending;
    });
    const violation = report?.verdict?.violation;
    if (!isValid) throw new Error(failure ?? JSON.stringify(violation ?? report));
    rmSync(root, { recursive: true, force: true });
    return { seconds: Number(seconds), seed: Number(seed), ...counts, windows: report?.verdict?.records };
  },
};
