/**
 * `bun run soak store-load [seconds]`: a store of three replicas each, with every caller that it can serve, for ten minutes. Floors: no
 * group changes its view, so a replica that is only busy is not taken for dead; each role's memory at the end is within a tenth of
 * what it was after a third of the time.
 */
import { StoreClient } from "../bench/store-client.ts";
import { StoreProcesses } from "../e2e/store-processes.ts";
import type { Soak } from "./run.ts";

const SECONDS = 600;
const CALLERS = 64;
const CONNECTIONS = 8;
const KEYS = 1000;
const VALUE = new Uint8Array(64).fill(118);
/** Shorter runs end before what is kept for slow replicas has its full size: memory is not judged. */
const MEMORY_SECONDS_MIN = 180;
const MEMORY_RATIO_MAX = 1.1;

interface Reading {
  views: Record<string, number>;
  bytes: Record<string, number>;
}

/** Views of the groups' replicas, and memory of all processes. */
async function read(store: StoreProcesses): Promise<Reading> {
  const reading: Reading = { views: {}, bytes: {} };
  for (const name of store.names) {
    const stats = await store.stats(name);
    const group = stats.shard ?? stats.tss;
    if (group !== undefined) reading.views[name] = group.view;
    reading.bytes[name] = stats.process.rssBytes;
  }
  return reading;
}

export const soak: Soak = {
  summary: `a store of three replicas under full load for ${SECONDS} s: no change of a primary, memory flat`,
  async run([words = String(SECONDS)]) {
    const seconds = Number(words);
    using store = await StoreProcesses.create({ tss: 3, shards: 1, replicas: 3, frontends: 1 });
    await store.startAll();
    const port = store.frontendPorts[0] as number;
    const clients = await Promise.all(Array.from({ length: CONNECTIONS }, () => StoreClient.connect(port)));
    let commits = 0;
    await (clients[0] as StoreClient).put("first", VALUE);
    const before = await read(store);
    const endMs = performance.now() + seconds * 1000;
    const work = Array.from({ length: CALLERS }, async (_, caller) => {
      for (let turn = 0; performance.now() < endMs; turn++, commits++)
        await clients[caller % CONNECTIONS]?.put(`k${(caller * 31 + turn) % KEYS}`, VALUE);
    });
    await Bun.sleep((seconds * 1000) / 3);
    const early = await read(store);
    await Promise.all(work);
    const late = await read(store);
    for (const client of clients) client.close();
    // Of a role's processes together: each by itself has more or less of what waits to be collected.
    const bytesOf = ({ bytes }: Reading, role: string) =>
      store.names.filter((name) => name.includes(role)).reduce((sum, name) => sum + (bytes[name] ?? 0), 0);
    const growth = Math.max(
      ...["tss", "shard", "frontend"].map((role) => bytesOf(late, role) / bytesOf(early, role)),
    );
    const figures = { commits, views: late.views, growth: Number(growth.toFixed(2)) };
    if (JSON.stringify(late.views) !== JSON.stringify(before.views))
      throw new Error(`a primary changed: ${JSON.stringify({ before: before.views, ...figures })}`);
    if (seconds >= MEMORY_SECONDS_MIN && !(growth <= MEMORY_RATIO_MAX))
      throw new Error(`memory grows: ${JSON.stringify({ early: early.bytes, late: late.bytes })}`);
    return figures;
  },
};
