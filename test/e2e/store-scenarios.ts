/**
 * Scenarios of the transactional store over real processes, in any length: short slices run in `check`, long forms in `bun run soak
 * store-scenarios`. Each throws when something that it promises did not hold, and returns figures.
 */
import { PlainClient } from "../reactive/plain-client.ts";
import { until } from "./executable.ts";
import type { StoreProcesses } from "./store-processes.ts";

/** On different shards of two: carried out on each by itself. */
const PAIR = ["x", "another"];

/**
 * S10: what one of two frontends acknowledged, the other one shows, also when a shard is told late. And what a read at an earlier
 * moment shows may be older, which it says itself: that is how the judge is known to see it.
 */
export async function readAfterAck(store: StoreProcesses, turns: number): Promise<{ older: number }> {
  const readBy = async (frontend: number, at?: number) => {
    const body = JSON.stringify({ keys: PAIR, at });
    const { body: read } = await store.ask(frontend, "read", { method: "POST", body });
    const texts = read.values.map(({ value }: { value: { text?: string } }) => value.text);
    return { timestamp: read.timestamp as number, texts: texts as (string | undefined)[] };
  };
  let older = 0;
  let { timestamp: before } = await readBy(0);
  for (let turn = 1; turn <= turns; turn++) {
    const operations = PAIR.map((key) => ({
      ...{ op: "put", key },
      value: { type: "bytes", text: `${turn}` },
    }));
    // Refused while the one before is not carried out everywhere.
    const written = await until("a commit", async () => {
      const { status, body } = await store.commit(turn % 2, { operations });
      return status === 200 ? (body as { timestamp: number }) : undefined;
    });
    const reader = (turn + 1) % 2;
    const [fresh, earlier] = [await readBy(reader), await readBy(reader, before)];
    if (fresh.texts.some((text) => text !== `${turn}`))
      throw new Error(`S10: ${turn} was acknowledged, and then ${fresh.texts.join()} was read`);
    if (earlier.texts.every((text) => text === `${turn}`)) continue;
    older += 1;
    if (earlier.timestamp >= written.timestamp)
      throw new Error(`S10: ${earlier.texts.join()} is said to be of ${earlier.timestamp}`);
    before = fresh.timestamp;
  }
  return { older };
}

/** Commits that all must be acknowledged at the first attempt. */
export async function commitMany(store: StoreProcesses, prefix: string, count: number): Promise<void> {
  using client = await PlainClient.connect(store.frontendPorts[0] as number);
  const caller = async (first: number) => {
    for (let index = first; index < count; index += 8)
      await client.put({ [`${prefix}${index}`]: `${index}` });
  };
  await Promise.all(Array.from({ length: 8 }, (_, first) => caller(first)));
}

/** S18, of a store with one shard of three: a backup dies, comes back with its disk and without, and then is part of a quorum. */
export async function backupKillAndRejoin(store: StoreProcesses, commits: number): Promise<void> {
  await commitMany(store, "first", 50);
  const primary = await store.primary(0);
  const [backup = "", other = ""] = store.names.filter(
    (name) => name.includes(".shard0.") && name !== primary,
  );
  for (const isWiped of [false, true]) {
    await store.kill(backup);
    if (isWiped) store.wipe(backup);
    await commitMany(store, `without${isWiped}`, commits);
    store.start(backup);
    await store.ready(backup);
  }
  const { incarnation } = (await store.stats(backup)).shard;
  if (incarnation !== 2) throw new Error(`S18: an empty disk is incarnation ${incarnation}`);
  // Only with it there is a majority.
  await store.kill(other);
  await commitMany(store, "last", 50);
  await until("the backup to have everything", async () => {
    const stats = await store.stats(backup);
    return stats?.shard.shard.keys === 100 + 2 * commits || undefined;
  });
}
