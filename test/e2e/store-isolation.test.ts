/** Isolation with real processes, of each engine: scripted interleavings, random histories, operations that commute. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { shardOf } from "../../src/reactive/engines/builtin/placement.ts";
import { Level } from "../../src/reactive/shard/transaction.ts";
import { bytesOf, PlainClient } from "../reactive/plain-client.ts";
import { checkTransactions } from "../reactive/checkers/elle.ts";
import { cases, type LevelName, runScript } from "./hermitage.ts";
import { commutingLoad, randomLoad } from "./store-load.ts";
import { EtcdProcesses } from "./etcd-processes.ts";
import { StoreProcesses } from "./store-processes.ts";

setDefaultTimeout(120_000);

const SHARDS = 3;
let store: StoreProcesses;
let etcd: EtcdProcesses;
let inEtcd: StoreProcesses;

beforeAll(async () => {
  store = await StoreProcesses.create({ tss: 1, shards: SHARDS, replicas: 1, frontends: 2 });
  etcd = await EtcdProcesses.start();
  inEtcd = await StoreProcesses.overEtcd(etcd.endpoints, 2);
  await Promise.all([store.startAll(), inEtcd.startAll()]);
});
afterAll(() => {
  for (const each of [store, inEtcd, etcd]) each[Symbol.dispose]();
});

/** `rounds`: in etcd what commutes is repeated until it holds. */
const engines = [
  ["built-in", () => store, 15],
  ["etcd", () => inEtcd, 4],
] as const;

let runs = 0;

/** Names for x, y and z that nobody has used, on one shard or on different ones. */
function freshKeys(isOneShard: boolean): (name: string) => string {
  runs += 1;
  const found = new Map<string, string>();
  return (name) => {
    const shard = isOneShard ? 0 : "xyz".indexOf(name);
    for (let suffix = 0; !found.has(name); suffix++) {
      const key = `h${runs}:${name}${suffix}`;
      if (shardOf(bytesOf(key), SHARDS) === shard) found.set(name, key);
    }
    return found.get(name) as string;
  };
}

describe.each(Object.entries(cases))("S5: %s", (_name, { script, outcomes }) => {
  test.each(["strict", "snapshot", "readCommitted"] as LevelName[])("%s", async (level) => {
    const clients = await Promise.all(store.frontendPorts.map((port) => PlainClient.connect(port)));
    for (const isOneShard of [true, false])
      for (const used of [clients.slice(0, 1), clients]) {
        const answer = await runScript(script, level, used, freshKeys(isOneShard));
        expect({ isOneShard, frontends: used.length, answer }).toEqual({
          isOneShard,
          frontends: used.length,
          answer: outcomes[level],
        });
      }
    for (const client of clients) client.terminate();
  });
});

describe.each(engines)("%s", (name, opened, rounds) => {
  test("S6: random strict transactions show no anomaly, also not in real time", async () => {
    const { history, refused } = await randomLoad(opened(), {
      level: "strict",
      clients: 8,
      transactions: 400,
    });
    expect(checkTransactions(history, { isStrict: true })).toEqual([]);
    console.log(`${name}, strict: ${history.length} transactions, ${refused} refused`);
    expect(refused).toBeGreaterThan(0);
  });

  test("S7: snapshot isolation shows write skew at most, read committed neither dirty writes nor dirty reads", async () => {
    for (const [level, allowed] of [
      ["snapshot", /^G2-item/],
      ["readCommitted", /^(G-single|G2-item|lost update)/],
    ] as const) {
      const { history } = await randomLoad(opened(), { level, clients: 8, transactions: 300 });
      const wrong = checkTransactions(history).filter(({ kind }) => !allowed.test(kind));
      expect({ level, wrong }).toEqual({ level, wrong: [] });
    }
  });

  test("S9: blind increments, appends and inserts never abort each other; mixed with others each counts once", async () => {
    for (const level of [Level.strict, Level.snapshot, Level.readCommitted])
      expect(await commutingLoad(opened(), { level, clients: 16, rounds, isMixed: false })).toMatchObject({
        aborted: 0,
        wrong: [],
      });
    expect(
      await commutingLoad(opened(), { level: Level.strict, clients: 8, rounds, isMixed: true }),
    ).toMatchObject({
      wrong: [],
    });
  });
});
