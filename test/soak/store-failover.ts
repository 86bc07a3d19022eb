/**
 * `bun run soak store-failover [kills] [in-one]`: the primary of a shard, or of the timestamp servers, is killed with -9 under load, again
 * and again; with `in-one` it is a store, frontend and all. Floors: median below 1 s and 99th percentile below 3 s from the kill to the next acknowledged commit; no anomaly in what
 * clients saw, nothing acknowledged lost.
 */
import { StoreProcesses } from "../e2e/store-processes.ts";
import { randomLoad, SteadyClient } from "../e2e/store-load.ts";
import { checkTransactions } from "../reactive/checkers/elle.ts";
import type { Soak } from "./run.ts";

const KILLS = 50;

const percentile = (values: number[], part: number) =>
  values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * part))] as number;

export const soak: Soak = {
  summary: `kill -9 of the primaries of a shard and of the timestamp servers, ${KILLS} times under load`,
  async run([kills = String(KILLS), form = "apart"]) {
    const isInOne = form === "in-one";
    using store = isInOne
      ? await StoreProcesses.inOne(3)
      : await StoreProcesses.create({ tss: 3, shards: 1, replicas: 3, frontends: 1 });
    await store.startAll();
    const client = new SteadyClient(store.frontendPorts, 0);
    const gapsMs: number[] = [];
    let transactions = 0;
    for (let round = 0; round < Number(kills); round++) {
      let isOver = false;
      const load = randomLoad(store, {
        level: "strict",
        clients: 4,
        transactions: 5000,
        isOver: () => isOver,
      });
      await client.put("before", `${round}`);
      const isTss = round % 3 === 2 && !isInOne;
      const primary = isTss ? await store.primaryOf("c.tss") : await store.primary(0);
      await store.kill(primary);
      const fromMs = performance.now();
      await client.put("after", `${round}`);
      gapsMs.push(performance.now() - fromMs);
      store.start(primary);
      await store.ready(primary);
      isOver = true;
      const { history } = await load;
      const anomalies = checkTransactions(history, { isStrict: true });
      if (anomalies.length > 0) throw new Error(`round ${round}: ${JSON.stringify(anomalies.slice(0, 3))}`);
      transactions += history.length;
    }
    client.close();
    const figures = {
      kills: gapsMs.length,
      transactions,
      medianMs: Math.round(percentile(gapsMs, 0.5)),
      p99Ms: Math.round(percentile(gapsMs, 0.99)),
      maxMs: Math.round(Math.max(...gapsMs)),
    };
    if (figures.medianMs >= 1000 || figures.p99Ms >= 3000)
      throw new Error(`too slow: ${JSON.stringify(figures)}`);
    return figures;
  },
};
