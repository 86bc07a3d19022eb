/**
 * `bun run bench reactive`: single-key commits and linearizable reads beside etcd, then over the built-in engine and over etcd behind
 * the same frontend, then what the store has to hold by itself.
 *
 * Both sides run 1 or 3 members as processes on this host, both sync before they answer, both are asked by the same
 * callers in this process, in turns, with values of 64 bytes. etcd is asked over gRPC, the store over WebSockets, as
 * its clients do. A member of the store is one process, as it is etcd's; the same with its roles apart, two groups and a frontend, is
 * measured beside it. Before it is measured each side does the same for as
 * long as one measurement takes: what runs for days is measured, not how soon it is compiled. The generator's CPU is shown,
 * because on a small host it is a part of what is measured.
 */
import { z } from "zod";
import { ensurePrograms } from "../../build.ts";
import { defaultFlag, integerFlag, numberFlag, valueFlag } from "../../src/core/load/flags.ts";
import { LatencyHistogram } from "../../src/core/load/histogram.ts";
import { milliseconds, thousands } from "../../src/core/load/table.ts";
import { StoreProcesses } from "../e2e/store-processes.ts";
import { benchCommand, type Report } from "./command.ts";
import { median, WARM_UP_SECONDS } from "./compare.ts";
import type { Limit } from "./verdict.ts";
import { startEtcdServer } from "./etcd-server.ts";
import { LightWatcher } from "./light-watcher.ts";
import { StoreClient } from "./store-client.ts";
import { compareLevels, hotCounter, restartOfManyKeys, whereTimeGoes } from "./store-lines.ts";
import { memoryStaysFlat } from "./store-memory.ts";

const flags = z.object({
  rounds: defaultFlag(integerFlag(1, 100), "N", "Interleaved rounds", "5"),
  seconds: defaultFlag(numberFlag(0.1, 600), "S", "Length of one measurement", "3"),
  callers: defaultFlag(integerFlag(1, 10_000), "N", "Callers at once", "64"),
  transactions: defaultFlag(integerFlag(10, 1e9), "N", "For each of two measurements of memory", "2000000"),
  keys: defaultFlag(integerFlag(1, 1e8), "N", "For the measurement of a restart", "1000000"),
  only: valueFlag(
    z.enum(["etcd", "engines", "cpu", "levels", "counter", "memory", "restart"]),
    "PART",
    "Measure only this",
  ),
});
type Options = z.output<typeof flags>;

const rateLimit = { name: "x etcd", better: "higher", floor: 1, goal: 2 } as const;
const latencyLimit = { name: "x etcd's p99", better: "lower", floor: 1 } as const;
// Which engine is faster is no promise: the figures are for who has to choose one.
const engineRate = { name: "x over etcd", better: "higher", floor: 0 } as const;
const engineLatency = { name: "x p99 over etcd", better: "lower", floor: Number.POSITIVE_INFINITY } as const;

const CONNECTIONS = 8;
const BODY = new Uint8Array(64).fill(118);

/** A store that can be asked. */
interface Contender {
  command(caller: number): Promise<void>;
  read(caller: number): Promise<void>;
  /** A commit, until somebody who watches is told of it; where the contender has such watches. */
  push?(caller: number): Promise<void>;
  stop(): Promise<void>;
}

interface Sample {
  perSecond: number;
  p50Ms: number;
  p99Ms: number;
  generatorCpu: number;
}

/** Members that are one process each. */
async function startStore(members: number): Promise<Contender> {
  return overFrontend(await StoreProcesses.inOne(members));
}

/** Groups of so many members behind a frontend, all of them processes. */
async function startRoles(members: number): Promise<Contender> {
  return overFrontend(
    await StoreProcesses.create({ tss: members, shards: 1, replicas: members, frontends: 1 }),
  );
}

/** An etcd of so many members behind a frontend. */
async function startStoreInEtcd(members: number): Promise<Contender> {
  const etcd = await startEtcdServer(members);
  const store = await overFrontend(await StoreProcesses.overEtcd(etcd.endpoints, 1));
  const stop = async () => {
    await store.stop();
    await etcd.stop();
  };
  return { ...store, stop };
}

async function overFrontend(store: StoreProcesses): Promise<Contender> {
  await store.startAll();
  const clients = await Promise.all(
    Array.from({ length: CONNECTIONS }, () => StoreClient.connect(store.frontendPorts[0] as number)),
  );
  const of = (caller: number) => clients[caller % CONNECTIONS] as StoreClient;
  const command = (caller: number) => of(caller).put(`bench${caller}`, BODY);
  /** One for each caller, who alone writes its key. */
  const watchers = new Map<number, LightWatcher>();
  return {
    command,
    read: async (caller) => void (await of(caller).read([`bench${caller}`])),
    async push(caller) {
      const port = store.frontendPorts[0] as number;
      const watcher = watchers.get(caller) ?? (await LightWatcher.open(port, `bench${caller}`));
      watchers.set(caller, watcher);
      const told = new Promise<void>((resolve) => (watcher.onRuns = () => resolve()));
      await Promise.all([command(caller), told]);
    },
    async stop() {
      for (const client of [...clients, ...watchers.values()]) client.close();
      store[Symbol.dispose]();
    },
  };
}

async function startEtcd(members: number): Promise<Contender> {
  const { client, stop } = await startEtcdServer(members);
  return {
    command: (caller) => client.put(`bench${caller}`, BODY),
    read: async (caller) => void (await client.get(`bench${caller}`)),
    stop,
  };
}

type Ask = (caller: number) => Promise<void>;

/** What callers do, and what it is called. */
const kinds = [
  ["command", "commit"],
  ["read", "read"],
  ["push", "commit until told"],
] as const;

async function measure(ask: Ask, callers: number, seconds: number): Promise<Sample> {
  const latencies = new LatencyHistogram();
  const startMs = performance.now();
  const endMs = startMs + seconds * 1000;
  const cpuBefore = process.cpuUsage();
  const call = async (caller: number) => {
    while (performance.now() < endMs) {
      const sentMs = performance.now();
      await ask(caller);
      latencies.record(performance.now() - sentMs);
    }
  };
  await Promise.all(Array.from({ length: callers }, (_, caller) => call(caller)));
  const tookSeconds = (performance.now() - startMs) / 1000;
  const cpu = process.cpuUsage(cpuBefore);
  const { count, p50Ms, p99Ms } = latencies.summary();
  return {
    perSecond: count / tookSeconds,
    p50Ms,
    p99Ms,
    generatorCpu: (cpu.user + cpu.system) / 1e6 / tookSeconds,
  };
}

/** Which form of the store is compared with what, and how that is told. */
interface Comparison {
  startOwn(members: number): Promise<Contender>;
  startOther(members: number): Promise<Contender>;
  own: string;
  other: string;
  limits: readonly [rate: Limit, latency: Limit];
}

const besideEtcd: Comparison = { startOwn: startStore, startOther: startEtcd, own: "node-x", other: "etcd", limits: [rateLimit, latencyLimit] }; // prettier-ignore
const rolesBesideEtcd: Comparison = { startOwn: startRoles, startOther: startEtcd, own: "roles apart", other: "etcd", limits: [rateLimit, latencyLimit] }; // prettier-ignore
const engines: Comparison = { startOwn: startRoles, startOther: startStoreInEtcd, own: "built-in", other: "over etcd", limits: [engineRate, engineLatency] }; // prettier-ignore

/** Both sides in turns; ratios of throughput, and of the 99th percentile. */
async function compare(
  comparison: Comparison,
  members: number,
  { rounds, seconds, callers }: Options,
  report: Report,
): Promise<void> {
  const contenders = {
    other: await comparison.startOther(members),
    store: await comparison.startOwn(members),
  };
  try {
    for (const [kind, name] of kinds) {
      const asks = { other: contenders.other[kind], store: contenders.store[kind] };
      if (asks.other === undefined || asks.store === undefined) continue;
      const samples = { other: [] as Sample[], store: [] as Sample[] };
      for (const ask of [asks.other, asks.store])
        await measure(ask, callers, Math.max(seconds, WARM_UP_SECONDS));
      for (let round = 0; round < rounds; round++)
        for (const side of round % 2 === 0 ? (["other", "store"] as const) : (["store", "other"] as const))
          samples[side].push(await measure(asks[side] as Ask, callers, seconds));
      tell(comparison, `${comparison.own}: ${name}, ${members} member(s)`, samples, report);
    }
  } finally {
    await Promise.all([contenders.other.stop(), contenders.store.stop()]);
  }
}

function tell(
  { own, other: otherName, limits: [rate, latencyOf] }: Comparison,
  name: string,
  { other, store }: Record<"other" | "store", Sample[]>,
  report: Report,
): void {
  const of = (samples: Sample[], pick: (sample: Sample) => number) => median(samples.map(pick));
  const ratioOf = (pick: (sample: Sample) => number) =>
    median(store.map((sample, round) => pick(sample) / pick(other[round] as Sample)));
  const texts = ([samples, label]: [Sample[], string]) =>
    `${label} ${thousands(of(samples, ({ perSecond }) => perSecond))}/s, generator ${of(samples, ({ generatorCpu }) => generatorCpu).toFixed(2)} CPU`;
  report(rate, name, ratioOf(({ perSecond }) => perSecond), `${texts([store, own])}; ${texts([other, otherName])}`); // prettier-ignore
  const latency = (samples: Sample[]) =>
    `${milliseconds(of(samples, ({ p50Ms }) => p50Ms))} / ${milliseconds(of(samples, ({ p99Ms }) => p99Ms))}`;
  report(latencyOf, `${name}, p99`, ratioOf(({ p99Ms }) => p99Ms), `p50 / p99: ${own} ${latency(store)}, ${otherName} ${latency(other)}`); // prettier-ignore
}

export const benchReactive = benchCommand({
  name: "reactive",
  summary: "Compare the transactional store with etcd, its engines, and its isolation levels with each other",
  flags,
  async run(options, report) {
    const { only, transactions, keys, callers, seconds } = options;
    const isWanted = (part: string) => only === undefined || only === part;
    for (const [part, comparison] of [
      ["etcd", besideEtcd],
      ["etcd", rolesBesideEtcd],
      ["engines", engines],
    ] as const) {
      if (!isWanted(part)) continue;
      await ensurePrograms([{ program: "etcd", package: "etcd-server" }]);
      for (const members of [1, 3]) await compare(comparison, members, options, report);
    }
    if (isWanted("cpu")) await whereTimeGoes(seconds, callers);
    if (isWanted("levels")) await compareLevels(options, report);
    if (isWanted("counter")) await hotCounter(seconds, callers, report);
    if (isWanted("memory")) await memoryStaysFlat(transactions, report);
    if (isWanted("restart")) await restartOfManyKeys(keys, report);
  },
});
