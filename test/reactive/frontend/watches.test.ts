/**
 * Reactive runs: each shows the store exactly as it was at one timestamp over all shards, and none is missed, whatever order messages
 * arrive in, whoever acknowledges what, whichever frontend a client comes back to.
 */
import { expect, test } from "bun:test";
import { type ReactiveCluster, ReactiveClient, reactiveCluster, write } from "./watch-harness.ts";

const KEYS = ["a", "b", "c", "d", "e", "f"];

/** Resolves when it holds, looked at between messages. */
async function until(
  { cluster: { mail } }: ReactiveCluster,
  what: string,
  holds: () => boolean,
): Promise<void> {
  for (let turn = 0; turn < 20_000; turn++) {
    if (holds()) return;
    await mail.turn();
  }
  throw new Error(`${what}: not so after 20 000 messages`);
}

/** The newest versions of some keys, by the store itself. */
const newest = async ({ cluster }: ReactiveCluster, keys: string[]) => {
  const found = await cluster.read(keys, 0);
  return new Map([...found].map(([key, { start }]) => [key, start]));
};

async function converged(store: ReactiveCluster, client: ReactiveClient): Promise<void> {
  await store.cluster.mail.turn();
  const wanted = await newest(store, client.keys);
  await until(store, "the last run shows the last state", () => {
    const seen = client.runs.at(-1)?.versions;
    return seen !== undefined && client.keys.every((key) => seen.get(key) === wanted.get(key));
  });
}

const pick = (random: () => number, from: readonly string[], share: number) => {
  const some = from.filter(() => random() < share);
  return some.length > 0 ? some : [from[Math.floor(random() * from.length)] as string];
};

async function life(seed: number): Promise<string[]> {
  const store = reactiveCluster({ seed });
  const { cluster, random } = store;
  try {
    const clients = Array.from(
      { length: 4 },
      (_, index) => new ReactiveClient(store, pick(random, KEYS, 0.4), { unackedMax: 1 + (index % 3) }),
    );
    const watcher = async (client: ReactiveClient) => {
      await client.connect(Math.floor(random() * 2));
      for (let move = 0; move < 3; move++) {
        for (let wait = random() * 60; wait > 0; wait--) await cluster.mail.turn();
        await client.connect(Math.floor(random() * 2));
      }
    };
    const writer = async (frontend: number) => {
      for (let number = 0; number < 12; number++) await write(store, frontend, pick(random, KEYS, 0.4));
    };
    await cluster.mail.run(Promise.all([...clients.map(watcher), writer(0), writer(1)]));
    await cluster.mail.run(Promise.all(store.frontends.map(({ backend }) => backend.coordinator.idle())));
    await cluster.mail.run(Promise.all(clients.map((client) => converged(store, client))));
    const checked = Promise.all(clients.map((client) => client.check()));
    await cluster.mail.run(checked);
    return (await checked).flat().map((fault) => `seed ${seed}: ${fault}`);
  } finally {
    store.close();
  }
}

test("every run of 40 random lives is the store at its timestamp, and the last one is the last state", async () => {
  const faults: string[] = [];
  for (let seed = 1; seed <= 40; seed++) faults.push(...(await life(seed)));
  expect(faults).toEqual([]);
}, 30_000);
