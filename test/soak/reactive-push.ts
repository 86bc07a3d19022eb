/**
 * Long forms of the reactive scenarios over real processes: `bun run soak reactive-push [times] [part]`. S4, S11 to S17, S19, S20 and
 * S25 as the specification has them; `times` shortens them (0.1: a tenth). S24 is `reactive-figures`.
 */
import { DeployedStore } from "../e2e/deployed-store.ts";
import { DelayingProxy } from "../e2e/delaying-proxy.ts";
import { manyGamesAt } from "../e2e/many-games.ts";
import {
  atomicVisibility,
  firstRunAndFollow,
  followThrough,
  movingReadSet,
  registrationRace,
  requireNone,
  slowAndStalled,
  stopsAndCrashes,
} from "../e2e/reactive-scenarios.ts";
import { rollingRestart } from "../e2e/rolling-restart.ts";
import { StoreProcesses } from "../e2e/store-processes.ts";
import type { Soak } from "./run.ts";

/** Kills one instance after the other, each for a while. */
async function killInTurn(store: StoreProcesses, names: readonly string[], downMs: number): Promise<void> {
  for (const name of names) {
    await Bun.sleep(downMs);
    await store.kill(name);
    await Bun.sleep(downMs);
    store.start(name);
    await store.ready(name);
  }
}

/** S17 and S19 on a quiet host: so long may nobody be served. */
const GAP_MS_MAX = 3000;

/** The figures, if nothing took longer than that. */
function withoutLongGaps<Figures extends { longestCommitGapMs: number; longestRunGapMs: number }>(
  scenario: string,
  figures: Figures,
): Figures {
  if (Math.max(figures.longestCommitGapMs, figures.longestRunGapMs) > GAP_MS_MAX)
    throw new Error(`${scenario}: nothing for longer than ${GAP_MS_MAX} ms: ${JSON.stringify(figures)}`);
  return figures;
}

const repeat = (names: readonly string[], times: number) => Array.from({ length: times }, () => names).flat();

async function follow(times: number) {
  using store = await StoreProcesses.create({ tss: 1, shards: 2, replicas: 1, frontends: 2 });
  await store.startAll();
  return {
    s11: await firstRunAndFollow({ store, clients: 200, writes: Math.ceil(1000 * times), pauseMs: 20 }),
    s13: await registrationRace({ store, clients: 1, writes: Math.ceil(1000 * times), pauseMs: 0 }),
    s16: await slowAndStalled({ store, clients: 100, writes: Math.ceil(12_000 * times), pauseMs: 3 }),
    s15: await stopsAndCrashes({ store, clients: 100, writes: Math.ceil(5000 * times), pauseMs: 0 }),
  };
}

async function moving(times: number) {
  using store = await StoreProcesses.create({ tss: 1, shards: 2, replicas: 1, frontends: 2 });
  await store.startAll();
  return await movingReadSet(store, Math.ceil(100 * times));
}

async function late(times: number) {
  using proxy = await DelayingProxy.open();
  using store = await StoreProcesses.create({
    tss: 1,
    shards: 2,
    replicas: 1,
    frontends: 2,
    shardAddress: (shard, direct) => (shard === 1 ? proxy.before(direct) : direct),
  });
  await store.startAll();
  // Awaited here: what `using` holds ends with the function.
  return await atomicVisibility({ store, clients: 20, writes: Math.ceil(200 * times), pauseMs: 0 }, [proxy]);
}

async function frontends(times: number) {
  using store = await StoreProcesses.create({
    tss: 1,
    shards: 2,
    replicas: 1,
    frontends: 2,
    frontendConfig: { settleAfterMs: 300 },
  });
  await store.startAll();
  const names = repeat(["c.frontend0", "c.frontend1"], Math.ceil(25 * times));
  const load = { store, clients: 50, writes: 500, pauseMs: 2 };
  return withoutLongGaps("S17", await followThrough(load, () => killInTurn(store, names, 300)));
}

async function leaders(times: number) {
  using store = await StoreProcesses.create({ tss: 3, shards: 2, replicas: 3, frontends: 2 });
  await store.startAll();
  const names = [0, 1, 2].flatMap((replica) => [
    `c.shard0.${replica}`,
    `c.tss.${replica}`,
    `c.shard1.${replica}`,
  ]);
  const load = { store, clients: 50, writes: 500, pauseMs: 2 };
  return {
    s19: withoutLongGaps(
      "S19",
      await followThrough(load, () => killInTurn(store, repeat(names, Math.ceil(2 * times)), 1000)),
    ),
    s20: await followThrough(load, async () => {
      for (let round = 0; round < Math.ceil(5 * times); round++) {
        await Bun.sleep(500);
        await store.kill(...store.names);
        await store.startAll();
      }
    }),
  };
}

/** S4: games of two players, each on a frontend of his own. */
async function games(times: number) {
  using store = await StoreProcesses.create({ tss: 1, shards: 2, replicas: 1, frontends: 2 });
  await store.startAll();
  const count = Math.ceil(50 * times);
  requireNone("S4", await manyGamesAt(store.frontends, count));
  return { games: count };
}

/** S25, for half an hour. */
async function rolling(times: number) {
  await using store = await DeployedStore.create({ tss: 3, shards: [3, 3], frontends: 2 });
  await store.do("start");
  const load = { writers: 8, watchers: 20, pauseMs: 5, restSeconds: 1800 * times };
  return await rollingRestart({ store, ...load });
}

const parts = { follow, moving, games, late, frontends, leaders, rolling };

export const soak: Soak = {
  summary:
    "reactive clients: first runs, races, late shards, lost frontends, leaders and power; S4, S11-S17, S19, S20, S25",
  async run([times = "1", only]) {
    const share = Number(times);
    const figures: Record<string, unknown> = {};
    for (const [name, part] of Object.entries(parts))
      if (only === undefined || only === name) figures[name] = await part(share);
    if (Object.keys(figures).length === 0)
      throw new Error(`there is no ${only}: one of ${Object.keys(parts).join(", ")}`);
    return figures;
  },
};
