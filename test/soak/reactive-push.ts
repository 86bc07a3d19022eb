/**
 * Long forms of the reactive scenarios over real processes: `bun run soak reactive-push [times]`. S4, S11 to S13, S15 to S17, S19, S20 and S25
 * as the specification has them; `times` shortens them (0.1: a tenth).
 */
import { DelayingProxy } from "../e2e/delaying-proxy.ts";
import { manyGames } from "../e2e/many-games.ts";
import {
  atomicVisibility,
  firstRunAndFollow,
  followThrough,
  registrationRace,
  requireNone,
  slowAndStalled,
  stopsAndCrashes,
} from "../e2e/reactive-scenarios.ts";
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

const repeat = (names: readonly string[], times: number) => Array.from({ length: times }, () => names).flat();

async function follow(times: number) {
  using store = await StoreProcesses.create({ tss: 1, shards: 2, replicas: 1, frontends: 2 });
  await store.startAll();
  return {
    s11: await firstRunAndFollow({ store, clients: 200, writes: Math.ceil(1000 * times), pauseMs: 20 }),
    s13: await registrationRace({ store, clients: 1, writes: Math.ceil(1000 * times), pauseMs: 0 }),
    s16: await slowAndStalled({ store, clients: 100, writes: Math.ceil(6000 * times), pauseMs: 2 }),
    s15: await stopsAndCrashes({ store, clients: 100, writes: Math.ceil(5000 * times), pauseMs: 0 }),
  };
}

async function late(times: number) {
  using proxy = await DelayingProxy.open();
  using store = await StoreProcesses.create({
    tss: 1,
    shards: 2,
    replicas: 1,
    frontends: 2,
    shardAddress: (shard, direct) => {
      if (shard !== 1) return direct;
      proxy.target = { host: "127.0.0.1", port: Number(direct.split(":")[1]) };
      return `127.0.0.1:${proxy.port}`;
    },
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
  return await followThrough({ store, clients: 50, writes: 500, pauseMs: 2 }, () =>
    killInTurn(store, repeat(["c.frontend0", "c.frontend1"], Math.ceil(25 * times)), 300),
  );
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
    s19: await followThrough(load, () => killInTurn(store, repeat(names, Math.ceil(2 * times)), 1000)),
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
  requireNone("S4", await manyGames(store.frontends, count));
  return { games: count };
}

/** S25: every process is asked to end and started again, in turn, under load. */
async function rolling(times: number) {
  using store = await StoreProcesses.create({ tss: 3, shards: 2, replicas: 3, frontends: 2 });
  await store.startAll();
  return await followThrough({ store, clients: 30, writes: 500, pauseMs: 5 }, async () => {
    for (let round = 0; round < Math.ceil(3 * times); round++)
      for (const name of store.names) {
        const code = await store.terminate(name);
        if (code !== 0) throw new Error(`${name} ended with ${code}`);
        store.start(name);
        await store.ready(name);
      }
  });
}

export const soak: Soak = {
  summary:
    "reactive clients: first runs, races, late shards, lost frontends, leaders and power; S4, S11-S13, S15-S17, S19, S20, S25",
  async run([times = "1"]) {
    const share = Number(times);
    return {
      ...(await follow(share)),
      s4: await games(share),
      s12: await late(share),
      s17: await frontends(share),
      ...(await leaders(share)),
      s25: await rolling(share),
    };
  },
};
