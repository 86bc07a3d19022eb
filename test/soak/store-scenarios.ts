/**
 * Long forms of scenarios of the transactional store: `bun run soak store-scenarios [times]`. S9, S10 and S18 as the specification has
 * them; `times` shortens them (0.1: a tenth). S6 and S7 are `store-random`, S19 is `store-failover`, S22 `reactive-sim` and `reactive`.
 */
import { Level } from "../../src/reactive/shard/transaction.ts";
import { StoreClient } from "../bench/store-client.ts";
import { DelayingProxy } from "../e2e/delaying-proxy.ts";
import { commutingLoad } from "../e2e/store-load.ts";
import { StoreProcesses } from "../e2e/store-processes.ts";
import { until } from "../e2e/executable.ts";
import { backupKillAndRejoin, readAfterAck } from "../e2e/store-scenarios.ts";
import type { Soak } from "./run.ts";

const layout = { tss: 1, shards: 2, replicas: 1, frontends: 2 };

/** S9: what commutes never aborts, at any level; mixed with what does not, each counts once. */
async function commuting(times: number) {
  using store = await StoreProcesses.create(layout);
  await store.startAll();
  const load = { clients: 64, rounds: Math.ceil(500 * times) };
  for (const level of Object.values(Level)) {
    const { aborted, wrong } = await commutingLoad(store, { ...load, level, isMixed: false });
    if (aborted > 0 || wrong.length > 0) throw new Error(`S9: ${aborted} aborts; ${wrong.join("; ")}`);
  }
  const mixed = { ...load, clients: 16, level: Level.strict, isMixed: true };
  const { aborted, wrong } = await commutingLoad(store, mixed);
  if (wrong.length > 0) throw new Error(`S9, mixed: ${wrong.join("; ")}`);
  return { commits: 3 * load.clients * load.rounds, abortedWhenMixed: aborted };
}

/** S10, with one of two shards told late. */
async function acknowledged(times: number) {
  using proxy = await DelayingProxy.open();
  using store = await StoreProcesses.create({
    ...layout,
    shardAddress: (shard, direct) => (shard === 1 ? proxy.before(direct) : direct),
  });
  await store.startAll();
  proxy.delayMs = () => Math.random() * 4;
  return await readAfterAck(store, Math.ceil(5000 * times));
}

async function rejoining(times: number) {
  using store = await StoreProcesses.create({ tss: 1, shards: 1, replicas: 3, frontends: 1 });
  await store.startAll();
  await backupKillAndRejoin(store, Math.ceil(5000 * times));
  return "caught up";
}

/**
 * S18 while clients write all the time, more than the primary keeps for replicas that missed some: a lost backup catches up all the
 * same, by one snapshot.
 */
async function rejoiningUnderLoad(times: number) {
  using store = await StoreProcesses.create({ tss: 1, shards: 1, replicas: 3, frontends: 1 });
  await store.startAll();
  const clients = await Promise.all(
    Array.from({ length: 4 }, () => StoreClient.connect(store.frontendPorts[0] as number)),
  );
  const keys = Math.ceil(8000 * times);
  const value = new Uint8Array(8192).fill(118);
  let commits = 0;
  const write = (isOver: () => boolean) =>
    Promise.all(
      Array.from({ length: 32 }, async (_, caller) => {
        for (; !isOver(); commits++) await clients[caller % 4]?.put(`k${commits % keys}`, value);
      }),
    );
  await write(() => commits >= keys);
  const primary = await store.primary(0);
  const backup = store.names.find((name) => name.includes(".shard0.") && name !== primary) as string;
  await store.kill(backup);
  store.wipe(backup);
  const startMs = performance.now();
  let isCaughtUp = false;
  const writing = write(() => isCaughtUp);
  store.start(backup);
  const catchUp = async () => {
    await store.ready(backup);
    return until("the backup to be as far as the primary", async () => {
      const [{ shard: one }, { shard: other }] = await Promise.all([
        store.stats(backup),
        store.stats(primary),
      ]);
      return other.op - one.commit < 200 ? (one.snapshotsFetched as number) : undefined;
    });
  };
  const snapshots = await catchUp().finally(() => (isCaughtUp = true));
  await writing;
  for (const client of clients) client.close();
  if (snapshots > 1) throw new Error(`S18: it took ${snapshots} snapshots until a backup had caught up`);
  return { commits, seconds: Math.round((performance.now() - startMs) / 1000) };
}

export const soak: Soak = {
  summary:
    "the store's scenarios at full length: commuting operations, reads behind acknowledgements, lost backups: S9, S10, S18",
  async run([times = "1"]) {
    const share = Number(times);
    return {
      s9: await commuting(share),
      s10: await acknowledged(share),
      s18: await rejoining(share),
      s18UnderLoad: await rejoiningUnderLoad(share),
    };
  },
};
