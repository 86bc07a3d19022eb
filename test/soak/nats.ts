/** `bun run soak nats [rounds] [seed]`: see test/e2e/nats-faults.ts. */
import { runNatsQueue, runNatsWorker } from "../e2e/nats-faults.ts";
import type { Soak } from "./run.ts";

export const soak: Soak = {
  summary: "queue, worker and two workers on three nats-servers that die, 40 rounds each: [rounds] [seed]",
  async run([rounds = "40", seed = String(Date.now() % 1_000_000)]) {
    const options = { rounds: Number(rounds), seed: Number(seed) };
    console.log(`nats: ${rounds} rounds, seed ${seed}`);
    const queue = await runNatsQueue(options);
    const worker = await runNatsWorker(options);
    const workers = await runNatsWorker({ ...options, size: 2 });
    const violations = [...queue.violations, ...worker.violations, ...workers.violations];
    if (violations.length > 0) throw new Error(violations.join("\n"));
    const { acknowledged, popped, killed } = queue;
    return { ...options, acknowledged, popped, killed, records: worker.records + workers.records };
  },
};
