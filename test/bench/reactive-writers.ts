/**
 * `bun run bench reactive-writers`: many writers of one key that each read it and write what they make of it, as fast as they can. How long
 * each of them waits until it is committed, and how often it had to try, beside etcd's transactions under the same writers.
 *
 * A writer of the store is a client of its own, with `execute`; one of etcd reads, and compares the version that it has read in a transaction;
 * what is not committed is tried again after a pause between half of, and all of, 2 ms, 4 ms … 500 ms, which is what the
 * store's clients do where no frontend gives them turns. One member each; writers and generator are one process on the same host.
 */
import { z } from "zod";
import { ensurePrograms } from "../../build.ts";
import { defaultFlag, numberFlag, integerFlag, valueFlag } from "../../src/core/load/flags.ts";
import { LatencyHistogram } from "../../src/core/load/histogram.ts";
import { milliseconds, thousands } from "../../src/core/load/table.ts";
import { connect, type Client, long } from "../../src/reactive/client.ts";
import { backoffMs } from "../../src/reactive/client/backoff.ts";
import { StoreProcesses } from "../e2e/store-processes.ts";
import { benchCommand, type Report } from "./command.ts";
import { startEtcdServer } from "./etcd-server.ts";
import type { Limit } from "./verdict.ts";

const flags = z.object({
  seconds: defaultFlag(numberFlag(0.5, 600), "S", "Length of one measurement", "5"),
  writers: defaultFlag(integerFlag(0, 10_000), "N", "Only with so many writers; 0: with 8, 64 and 256", "0"),
  frontends: defaultFlag(
    integerFlag(1, 16),
    "N",
    "Frontends of the store; one: all of it is one process",
    "1",
  ),
  only: valueFlag(z.enum(["store", "etcd"]), "SIDE", "Measure only this"),
});
type Options = z.output<typeof flags>;

/** One read, decision and write; resolves with how often it was tried. */
type Write = () => Promise<number>;

interface Side {
  writer(index: number): Promise<Write>;
  stop(): Promise<void>;
}

const WARM_UP_SECONDS = 2;
const KEY = "contended";
/** A writer's longest wait, as a multiple of what it would be if all stood in line. */
const fairness: Limit = { name: "x a perfect line", better: "lower", floor: 10, goal: 4 };
const compared: Limit = { name: "x etcd", better: "higher", floor: 0 };

export async function storeSide(frontends: number): Promise<Side> {
  const store = await (frontends === 1
    ? StoreProcesses.inOne(1)
    : StoreProcesses.create({ tss: 1, shards: 1, replicas: 1, frontends }));
  await store.startAll();
  return storeAt(store.frontendPorts, () => store[Symbol.dispose]());
}

export function storeAt(ports: readonly number[], end: () => void): Side {
  const clients: Client[] = [];
  const value = long(KEY);
  return {
    async writer(index) {
      const client = await connect({ frontends: [`http://127.0.0.1:${ports[index % ports.length]}`] });
      clients.push(client);
      await client.connected();
      return async () => {
        let attempts = 0;
        await client.execute(
          async (transaction) => {
            attempts += 1;
            value.set(transaction, (await value.value(transaction)) + 1n);
          },
          { retries: Number.POSITIVE_INFINITY },
        );
        return attempts;
      };
    },
    async stop() {
      await Promise.all(clients.map((client) => client.close()));
      end();
    },
  };
}

async function etcdSide(): Promise<Side> {
  const { client, stop } = await startEtcdServer(1);
  return {
    writer: async () => async () => {
      for (let attempts = 1; ; attempts++) {
        const { value, revision } = await client.read(KEY);
        const next = Buffer.from(String(Number(value) + 1));
        if (await client.putIfUnchanged(KEY, next, revision)) return attempts;
        await Bun.sleep(backoffMs(attempts, { firstMs: 2, maxMs: 500 }, Math.random()));
      }
    },
    stop,
  };
}

interface Figures {
  waits: LatencyHistogram;
  attempts: number[];
  perSecond: number;
  /** The smallest and the largest number of commits of one writer. */
  commits: [number, number];
}

export async function measureWriters(writes: readonly Write[], seconds: number): Promise<Figures> {
  const waits = new LatencyHistogram();
  const attempts: number[] = [];
  const startMs = performance.now();
  const endMs = startMs + seconds * 1000;
  const commits = await Promise.all(
    writes.map(async (write) => {
      let count = 0;
      for (; performance.now() < endMs; count++) {
        const beginMs = performance.now();
        attempts.push(await write());
        waits.record(performance.now() - beginMs);
      }
      return count;
    }),
  );
  const perSecond = attempts.length / ((performance.now() - startMs) / 1000);
  return { waits, attempts, perSecond, commits: [Math.min(...commits), Math.max(...commits)] };
}

export function figuresText({ waits, attempts, perSecond, commits }: Figures): string {
  const { p50Ms, p99Ms, maxMs } = waits.summary();
  const sorted = attempts.toSorted((a, b) => a - b);
  const at = (part: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;
  const wait = [p50Ms, p99Ms, maxMs].map(milliseconds).join(" / ");
  return `${thousands(perSecond)}/s; p50 / p99 / max: ${wait}, attempts ${at(0.5)} / ${at(0.99)} / ${sorted.at(-1) ?? 0}; a writer ${commits.join(" to ")}`;
}

async function measureSide(side: Side, writers: number, seconds: number): Promise<Figures> {
  try {
    const writes = await Promise.all(Array.from({ length: writers }, (_, index) => side.writer(index)));
    await measureWriters(writes, WARM_UP_SECONDS);
    return await measureWriters(writes, seconds);
  } finally {
    await side.stop();
  }
}

async function compareWriters(
  writers: number,
  { seconds, frontends, only }: Options,
  report: Report,
): Promise<void> {
  const etcd = only === "store" ? undefined : await measureSide(await etcdSide(), writers, seconds);
  if (etcd !== undefined) console.log(`etcd, ${writers} writers of one key: ${figuresText(etcd)}`);
  if (only === "etcd") return;
  const store = await measureSide(await storeSide(frontends), writers, seconds);
  const line = (writers * 1000) / store.perSecond;
  const name = `${writers} writers of one key`;
  report(fairness, `${name}, longest wait`, store.waits.summary().maxMs / line, figuresText(store));
  if (etcd !== undefined)
    report(compared, `${name}, commits`, store.perSecond / etcd.perSecond, `etcd ${figuresText(etcd)}`);
}

export const benchReactiveWriters = benchCommand({
  name: "reactive-writers",
  summary: "How long each of many writers of one key waits, beside etcd's transactions",
  flags,
  async run(options, report) {
    if (options.only !== "store") await ensurePrograms([{ program: "etcd", package: "etcd-server" }]);
    for (const writers of options.writers > 0 ? [options.writers] : [8, 64, 256])
      await compareWriters(writers, options, report);
  },
});
