/** Reactive clients of the public library on real processes that are killed: the scenarios of the store, by their names. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { type Client, type ClientOptions, connect, long, type Reader } from "../../src/reactive/client.ts";
import { withoutReads } from "../reactive/faulty-clients.ts";
import { until } from "./executable.ts";
import { manyGamesAt } from "./many-games.ts";
import { ReactiveLoad } from "./reactive-load.ts";
import { StoreProcesses } from "./store-processes.ts";

setDefaultTimeout(120_000);

/** The bound of the scenarios, three seconds, is for a quiet host. */
const GAP_MS_MAX = 20_000;

test("S17: a frontend is killed with -9 again and again; clients move on, nothing is done twice, nothing is missed", async () => {
  using store = await StoreProcesses.create({
    ...{ tss: 1, shards: 2, replicas: 1, frontends: 2 },
    frontendConfig: { settleAfterMs: 200 },
  });
  await store.startAll();
  await using load = new ReactiveLoad(store.frontends);
  await load.startWatchers(4);
  await load.startWriters(4);
  for (let round = 0; round < 3; round++) {
    await load.more(20);
    const frontend = `c.frontend${round % 2}`;
    const sinceMs = performance.now();
    await store.kill(frontend);
    const gaps = await load.gapsMs(sinceMs);
    expect(Math.max(gaps.commit, gaps.run)).toBeLessThan(GAP_MS_MAX);
    store.start(frontend);
    await store.ready(frontend);
  }
  expect(await load.finish()).toEqual([]);
});

test("S19: primaries of shards and of the timestamp servers are killed with -9; commits go on, watchers miss nothing", async () => {
  using store = await StoreProcesses.create({ tss: 3, shards: 2, replicas: 3, frontends: 2 });
  await store.startAll();
  await using load = new ReactiveLoad(store.frontends);
  await load.startWatchers(3);
  await load.startWriters(3);
  const gapsMs: number[] = [];
  for (const group of ["c.shard0", "c.shard1", "c.tss"]) {
    await load.more(20);
    const primary = await store.primaryOf(group);
    const sinceMs = performance.now();
    await store.kill(primary);
    // What was on its way may still be acknowledged: what counts is what was sent behind it.
    await load.more(4);
    const gaps = await load.gapsMs(sinceMs);
    gapsMs.push(gaps.commit, gaps.run);
    store.start(primary);
    await store.ready(primary);
  }
  expect(Math.max(...gapsMs)).toBeLessThan(GAP_MS_MAX);
  expect(await load.finish()).toEqual([]);
});

test("S20: everything is killed with -9 under load; clients come back by themselves and agree on what was acknowledged", async () => {
  using store = await StoreProcesses.create({ tss: 1, shards: 2, replicas: 1, frontends: 1 });
  await store.startAll();
  await using load = new ReactiveLoad(store.frontends);
  await load.startWatchers(3);
  await load.startWriters(4);
  await load.more(60);
  await store.kill(...store.names);
  const largest = Math.max(...load.acknowledged.map(({ timestamp }) => timestamp));
  const before = load.acknowledged.length;
  await store.startAll();
  await load.more(20);
  const later = load.acknowledged.slice(before + 4).filter(({ timestamp }) => timestamp > 0);
  expect(Math.min(...later.map(({ timestamp }) => timestamp))).toBeGreaterThan(largest);
  expect(await load.finish()).toEqual([]);
});

const ACCOUNTS = 20;
const START = 100;
const accounts = Array.from({ length: ACCOUNTS }, (_, index) => long(`account:${index}`));

/** Transfers while auditors look; returns the sums that were seen, and what an account had at least. */
async function bank(
  store: StoreProcesses,
  isolation: "strict" | "snapshot",
  writer: ClientOptions = {},
): Promise<{ sums: Set<number>; lowest: number; audits: number }> {
  const clients: Client[] = [];
  const connected = async (options: ClientOptions = {}) => {
    const client = await connect({ frontends: store.frontends, ...options });
    clients.push(client);
    return client;
  };
  const [first] = [await connected()];
  await first.execute((transaction) => {
    for (const account of accounts) account.set(transaction, BigInt(START));
  });
  const seen = { sums: new Set<number>(), lowest: START, audits: 0 };
  const audit = async (transaction: Reader) => {
    const balances = (await Promise.all(accounts.map((account) => account.value(transaction)))).map(Number);
    seen.sums.add(balances.reduce((sum, balance) => sum + balance));
    seen.lowest = Math.min(seen.lowest, ...balances);
    seen.audits += 1;
  };
  for (let auditor = 0; auditor < 2; auditor++) (await connected()).executeReactive(audit);
  let isOver = false;
  const looking = (await connected()).readOnly(audit).then(async function again(): Promise<void> {
    if (!isOver) await first.readOnly(audit).then(again);
  });
  // All take from the same account at about the same time, each for another one.
  const transfer = async (client: Client, index: number, turn: number) => {
    const [from, to] = [accounts[(turn * 7) % ACCOUNTS], accounts[(turn * 7 + 1 + index) % ACCOUNTS]];
    if (from === undefined || to === undefined || from === to) return;
    const amount = BigInt(1 + ((turn * 31 + index) % 60));
    await client.execute(
      async (transaction) => {
        const [balance, other] = [await from.value(transaction), await to.value(transaction)];
        if (balance < amount) return;
        from.set(transaction, balance - amount);
        to.set(transaction, other + amount);
      },
      { isolation },
    );
  };
  await Promise.all(
    Array.from({ length: 6 }, async (_, index) => {
      const client = await connected(writer);
      for (let turn = 0; turn < 20; turn++) await transfer(client, index, turn);
    }),
  );
  isOver = true;
  await looking;
  await first.readOnly(audit);
  await until("the auditors", () => (seen.audits > 10 ? true : undefined));
  await Promise.all(clients.map((client) => client.close()));
  return seen;
}

test("S8: a bank with auditors, reading and reactive: every audit sees the whole money; control: unchecked reads lose some", async () => {
  using store = await StoreProcesses.create({ tss: 1, shards: 3, replicas: 1, frontends: 2 });
  await store.startAll();
  for (const isolation of ["strict", "snapshot"] as const) {
    const { sums, lowest } = await bank(store, isolation);
    expect([...sums]).toEqual([ACCOUNTS * START]);
    expect(lowest).toBeGreaterThanOrEqual(0);
  }
  const { sums } = await bank(store, "strict", withoutReads());
  expect(sums.size).toBeGreaterThan(1);
});

test("S4: many 100 games at once, their players on different frontends: every move by whose turn it is, one end for all", async () => {
  using store = await StoreProcesses.create({ tss: 1, shards: 3, replicas: 1, frontends: 2 });
  await store.startAll();
  expect(await manyGamesAt(store.frontends, 8)).toEqual([]);
});
