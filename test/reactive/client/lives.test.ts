/**
 * Random lives of reactive clients: what they read moves, connections end, news are held back and gathered, code is slow. Every
 * value that a run saw is compared with what the store held at the run's timestamp.
 */
import { expect, setDefaultTimeout, test } from "bun:test";
import { seededRandom } from "../../../src/core/seams/random.ts";
import { type Client, type Reader, text } from "../../../src/reactive/client.ts";
import { fromUtf8, toUtf8 } from "../../../src/reactive/client/types/encodings.ts";
import { ModelCluster } from "./model-frontend.ts";

setDefaultTimeout(60_000);

const KEYS = 6;
const POINTERS = 2;
const STEPS = 60;
const SEEDS = 25;
const CONVERGE_MS = 2500;

interface RunSeen {
  timestamp: number;
  cause: string;
  values: Map<string, string>;
}

const turn = () => Bun.sleep(0);

/** Returns what was wrong. */
async function live(seed: number, hasCache: boolean): Promise<string[]> {
  const random = seededRandom(seed);
  const cluster = new ModelCluster();
  const { store } = cluster;
  cluster.latency = async () => {
    for (let turns = random.integer(4); turns > 0; turns--) await turn();
  };
  const faults: string[] = [];
  const clients: Client[] = [];
  const runs: RunSeen[][] = [];
  const options = {
    ...(!hasCache && { cacheBytesMax: 0 }),
    onError: (error: unknown) => faults.push(String(error)),
  };
  const valueAt = (key: string, timestamp: number) => fromUtf8(store.read(toUtf8(key), timestamp).value);

  async function watcher(pointer: string): Promise<void> {
    const client = await cluster.client(options);
    clients.push(client);
    const seen: RunSeen[] = [];
    runs.push(seen);
    client.executeReactive(async (transaction, run) => {
      const values = new Map<string, string>();
      const read = async (reader: Reader, key: string) => {
        const value = await text(key).value(reader);
        values.set(key, value);
        return value;
      };
      const targets = (await read(transaction, pointer)).split(",").filter((key) => key !== "");
      if (random.integer(3) === 0) await turn();
      for (const key of targets) await read(transaction, key);
      if (random.integer(4) === 0) await turn();
      judge(seen, { timestamp: run.timestamp, cause: run.cause, values });
    });
  }

  function judge(seen: RunSeen[], next: RunSeen): void {
    const before = seen.at(-1);
    seen.push(next);
    for (const [key, value] of next.values)
      if (value !== valueAt(key, next.timestamp))
        faults.push(`at ${next.timestamp} ${key} was "${valueAt(key, next.timestamp)}", seen was "${value}"`);
    if (before === undefined) return;
    if (next.timestamp <= before.timestamp) faults.push(`${next.timestamp} follows ${before.timestamp}`);
    const isChanged = [...before.values.keys()].some(
      (key) => store.read(toUtf8(key), next.timestamp).start > before.timestamp,
    );
    if (!isChanged && next.cause === "changed") faults.push(`a run at ${next.timestamp} without a change`);
  }

  for (let index = 0; index < 3; index++) await watcher(`p${index % POINTERS}`);
  const writer = await cluster.client(options);
  clients.push(writer);
  const someKey = () => `k${random.integer(KEYS)}`;
  for (let step = 0; step < STEPS; step++) {
    const action = random.integer(12);
    if (action === 0) cluster.cutAll();
    else if (action === 1) {
      cluster.isQuiet = !cluster.isQuiet;
      if (!cluster.isQuiet) cluster.pushAll();
    } else if (action === 2) cluster.pushAll();
    else if (action === 3) cluster.say({ type: "progress", at: cluster.isQuiet ? 0 : store.timestamp });
    else if (action < 6)
      await writer.execute((transaction) => {
        const targets = Array.from({ length: random.integer(3) }, someKey);
        text(`p${random.integer(POINTERS)}`).set(transaction, [...new Set(targets)].join());
      });
    else
      await writer.execute((transaction) => {
        for (let count = 1 + random.integer(2); count > 0; count--)
          text(someKey()).set(transaction, `${step}`);
      });
    if (random.integer(2) === 0) await turn();
  }
  cluster.isQuiet = false;
  // Who was cut off may wait before it comes back.
  const deadlineMs = performance.now() + CONVERGE_MS;
  for (let round = 0; performance.now() < deadlineMs; round++) {
    cluster.pushAll();
    await Bun.sleep(1);
    const isBehind = runs.some((seen) => {
      const last = seen.at(-1);
      return (
        last === undefined || [...last.values].some(([key, value]) => value !== valueAt(key, store.timestamp))
      );
    });
    if (!isBehind && round > 3) break;
  }
  for (const seen of runs)
    for (const [key, value] of seen.at(-1)?.values ?? [["", "no run"]])
      if (value !== valueAt(key ?? "", store.timestamp)) faults.push(`the end of ${key} was never seen`);
  await Promise.all(clients.map((client) => client.close()));
  return faults;
}

test.each([
  ["with", true],
  ["without", false],
])(
  "every run of 25 random lives %s a cache is what the store held, in order, and the end is seen",
  async (_name, hasCache) => {
    for (let seed = 1; seed <= SEEDS; seed++)
      expect({ seed, faults: await live(seed, hasCache) }).toEqual({ seed, faults: [] });
  },
);
