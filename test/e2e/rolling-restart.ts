/**
 * S25: mixed load for long; every process of a deployed store is restarted in turn by the management command; what a shard keeps does
 * not grow; a client that asks for what is no longer kept is told so.
 */
import { PlainClient } from "../reactive/plain-client.ts";
import type { DeployedStore } from "./deployed-store.ts";
import { largestGrowth, type Moment } from "./flat-memory.ts";
import { requireNone } from "./reactive-scenarios.ts";
import { SteadyLoad } from "./steady-load.ts";

export interface RollingOptions {
  store: DeployedStore;
  writers: number;
  watchers: number;
  pauseMs: number;
  /** Of load behind the restart: its second half must not take more memory than its first. */
  restSeconds: number;
}

/** Below this little can be said of memory: programs still warm up. */
const JUDGED_SECONDS = 300;
const MOMENTS = 180;
const MEMORY_RATIO_MAX = 1.2;
/** Shards keep 30 s of versions for readers: what is older is refused. */
const RETENTION_MS = 30_000;
/** Of the few keys of this load, with what half a minute of writes leaves. */
const VERSIONS_MAX = 200_000;

export async function rollingRestart(options: RollingOptions) {
  const { store, writers, watchers, pauseMs, restSeconds } = options;
  await using load = new SteadyLoad(store.frontends);
  await load.start(writers, watchers, pauseMs);
  const early = await timestampOf(store);
  const startMs = performance.now();
  const pids = await Promise.all(store.names.map(async (name) => (await store.stats(name)).pid as number));
  await store.do("restart");
  for (const [index, name] of store.names.entries())
    if ((await store.stats(name)).pid === pids[index]) throw new Error(`S25: ${name} was not restarted`);
  const memory: Moment[] = [];
  for (let count = 0; count < MOMENTS && load.faults.length === 0; count++) {
    await load.rest(restSeconds / MOMENTS);
    memory.push(await bytesOf(store));
  }
  requireNone("S25", await load.finish());
  const growth = largestGrowth(memory);
  if (restSeconds >= JUDGED_SECONDS && growth.ratio > MEMORY_RATIO_MAX)
    throw new Error(
      `S25: memory of ${growth.name} grew ${growth.ratio.toFixed(2)} times in ${restSeconds / 2} s`,
    );
  for (const name of store.names.filter((each) => each.includes(".shard"))) {
    const { versions } = (await store.stats(name)).shard.shard;
    if (!(versions <= VERSIONS_MAX)) throw new Error(`S25: ${name} keeps ${versions} versions`);
  }
  const isForgotten = performance.now() - startMs > 2 * RETENTION_MS;
  if (isForgotten) await requireTooOld(store, early);
  return {
    commits: load.committed,
    restarts: store.names.length,
    longestGapMs: Math.round(load.longestGapMs),
    longestStallMs: Math.round(load.longestStallMs),
    growth: `${growth.ratio.toFixed(2)} (${growth.name})`,
    tooOldWasTold: isForgotten,
  };
}

async function timestampOf(store: DeployedStore): Promise<number> {
  using client = await PlainClient.connect(store.frontendPorts[0] as number);
  return await client.put({ "steady:early": "1" });
}

async function requireTooOld(store: DeployedStore, at: number): Promise<void> {
  using client = await PlainClient.connect(store.frontendPorts[0] as number);
  const outcome = await client.read(["x"], at).then(
    () => "a value",
    (error: Error) => error.message,
  );
  if (!outcome.startsWith("tooOld:")) throw new Error(`S25: a forgotten moment is answered with ${outcome}`);
}

/** Resident memory of every process. */
async function bytesOf(store: DeployedStore): Promise<Moment> {
  const all = store.names.map(async (name) => {
    const { rssBytes } = (await store.stats(name)).process as { rssBytes: number };
    return [name, rssBytes] as const;
  });
  return new Map(await Promise.all(all));
}
