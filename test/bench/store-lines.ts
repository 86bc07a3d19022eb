/**
 * What the store must hold by itself, beside no other: isolation levels and commuting operations compared, a hot counter, the
 * restart of many keys.
 */
import { type Operation } from "../../src/reactive/shard/operations.ts";
import { Level } from "../../src/reactive/shard/transaction.ts";
import { StoreProcesses } from "../e2e/store-processes.ts";
import type { Report } from "./command.ts";
import { median, WARM_UP_SECONDS } from "./compare.ts";
import { type Mix, Retwis } from "./retwis.ts";
import { StoreClient } from "./store-client.ts";

const SKEW = 0.8;
const MIX_KEYS = 300;
const VALUE = new Uint8Array(64).fill(118);

const limits = {
  levels: { name: "RC / SS", better: "higher", floor: 1.5 },
  // What one shard decides alone is one entry at every level, and nobody else's disk is waited for: there is less to spare.
  levelsElsewhere: { name: "RC / SS", better: "higher", floor: 1 },
  commuting: { name: "DOCC on / off", better: "higher", floor: 1.3 },
  aborts: { name: "aborts on a hot counter", better: "lower", floor: 0 },
  restart: { name: "restart s", better: "lower", floor: 3 },
} as const;

async function withStore<Value>(
  shards: number,
  use: (client: StoreClient, store: StoreProcesses) => Promise<Value>,
  replicas = 1,
): Promise<Value> {
  using store = await StoreProcesses.create({ tss: replicas, shards, replicas, frontends: 1 });
  await store.startAll();
  const client = await StoreClient.connect(store.frontendPorts[0] as number);
  try {
    return await use(client, store);
  } finally {
    client.close();
  }
}

/** So many callers, each doing one thing after the other until the time is over. */
async function callFor(seconds: number, callers: number, call: () => Promise<void>): Promise<void> {
  const endMs = performance.now() + seconds * 1000;
  const caller = async () => {
    while (performance.now() < endMs) await call();
  };
  await Promise.all(Array.from({ length: callers }, caller));
}

interface LevelsOptions {
  rounds: number;
  seconds: number;
  callers: number;
}

/**
 * Committed transactions of the mix for each level, in turns. The floor is that of the paper's kind of store, several shards of
 * three replicas (diamond.md 6.1, 6.5); the others are told beside it.
 */
export async function compareLevels(options: LevelsOptions, report: Report): Promise<void> {
  for (const [shards, replicas] of [
    [3, 1],
    [1, 3],
    [3, 3],
  ] as const)
    await compareLevelsOf(shards, replicas, options, report);
}

async function compareLevelsOf(
  shards: number,
  replicas: number,
  { rounds, seconds, callers }: LevelsOptions,
  report: Report,
): Promise<void> {
  const mixes: Record<"docc" | "plain" | "rc", Mix> = {
    docc: { level: Level.strict, commutes: true },
    plain: { level: Level.strict, commutes: false },
    rc: { level: Level.readCommitted, commutes: true },
  };
  const measureAll = async (client: StoreClient) => {
    const rates = { docc: [] as number[], plain: [] as number[], rc: [] as number[] };
    const aborts = { docc: 0, plain: 0, rc: 0 };
    for (const mix of [mixes.docc, mixes.rc]) {
      const load = new Retwis(MIX_KEYS, SKEW);
      await callFor(Math.max(seconds, WARM_UP_SECONDS), callers, () => load.run(client, mix));
    }
    for (let round = 0; round < rounds; round++)
      for (const name of ["docc", "plain", "rc"] as const) {
        const load = new Retwis(MIX_KEYS, SKEW);
        await callFor(seconds, callers, () => load.run(client, mixes[name]));
        rates[name].push(load.committed / seconds);
        aborts[name] += load.aborted;
      }
    const [docc, plain, rc] = [median(rates.docc), median(rates.plain), median(rates.rc)];
    const text = (a: number, b: number) => `${Math.round(a)} to ${Math.round(b)} transactions/s`;
    const name = `Retwis mix, ${shards} shard(s) of ${replicas}`;
    const levels = shards > 1 && replicas > 1 ? limits.levels : limits.levelsElsewhere;
    report(levels, `${name}, RC to SS (${aborts.docc} aborts)`, rc / docc, text(rc, docc));
    report(
      limits.commuting,
      `${name}, DOCC on to off (${aborts.plain} aborts)`,
      docc / plain,
      text(docc, plain),
    );
  };
  await withStore(shards, measureAll, replicas);
}

export async function hotCounter(seconds: number, callers: number, report: Report): Promise<void> {
  await withStore(1, async (client) => {
    let [commits, aborts] = [0, 0];
    const operations: Operation[] = [{ kind: "add", amount: 1n }];
    await callFor(seconds, callers, async () => {
      const outcome = await client.commit(Level.strict, [{ key: "hot", operations }]);
      if (outcome.kind === "committed") commits += 1;
      else aborts += 1;
    });
    report(limits.aborts, "hot counter", aborts, `${Math.round(commits / seconds)} increments/s`);
  });
}

/**
 * CPU of each process for one commit and one read, of 1 and of 3 members, as one process each and as roles apart: it bounds the
 * rate, whatever else the host does.
 */
export async function whereTimeGoes(seconds: number, callers: number): Promise<void> {
  const apart = (members: number) =>
    StoreProcesses.create({ tss: members, shards: 1, replicas: members, frontends: 1 });
  for (const [members, create] of [1, 3].flatMap((count) => [
    [count, () => StoreProcesses.inOne(count)] as const,
    [count, () => apart(count)] as const,
  ])) {
    using store = await create();
    await store.startAll();
    const client = await StoreClient.connect(store.frontendPorts[0] as number);
    const calls = {
      commit: (caller: number) => client.put(`k${caller}`, VALUE),
      read: async (caller: number) => void (await client.read([`k${caller}`])),
    };
    const cpuSeconds = async () => {
      const all = await Promise.all(store.names.map((name) => store.stats(name)));
      return all.map(({ process: each }) => each.cpuUserSeconds + each.cpuSystemSeconds);
    };
    for (const [name, call] of Object.entries(calls)) {
      // Warm first: half of what a young process does is compiling.
      await callFor(seconds, callers, () => call(Math.floor(Math.random() * 1000)));
      const before = await cpuSeconds();
      let count = 0;
      await callFor(seconds, callers, async () => {
        await call(count++ % 1000);
      });
      const used = (await cpuSeconds()).map(
        (each, index) => ((each - (before[index] as number)) * 1e6) / count,
      );
      const parts = store.names.map((instance, index) => `${instance} ${Math.round(used[index] as number)}`);
      console.log(`CPU of one ${name}, ${members} member(s), microseconds: ${parts.join(", ")}`);
    }
    client.close();
  }
}

export async function restartOfManyKeys(keys: number, report: Report): Promise<void> {
  await withStore(1, async (client, store) => {
    const perCommit = 1000;
    const operations: Operation[] = [{ kind: "put", value: { type: "bytes", bytes: VALUE } }];
    for (let first = 0; first < keys; first += perCommit) {
      const count = Math.min(perCommit, keys - first);
      const accesses = Array.from({ length: count }, (_, index) => ({
        key: `key:${first + index}`,
        operations,
      }));
      await client.commit(Level.strict, accesses);
    }
    await store.kill("c.shard0.0");
    const startMs = performance.now();
    store.start("c.shard0.0");
    await store.ready("c.shard0.0");
    const seconds = (performance.now() - startMs) / 1000;
    const stats = await store.stats("c.shard0.0");
    report(limits.restart, `restart with ${stats.shard.shard.keys} keys`, seconds, "kill -9 to ready");
  });
}
