/** Replicas of a shard that die, lose their disk, are cut off; a network that resets and splits; values that are too long. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { connect } from "node:net";
import { realWorld } from "../../src/core/seams/world-real.ts";
import { GroupClient } from "../../src/reactive/replication/group-client.ts";
import { encodeQuery } from "../../src/reactive/shard/query-messages.ts";
import { checkTransactions } from "../reactive/checkers/elle.ts";
import { bytesOf, PlainClient } from "../reactive/plain-client.ts";
import { DelayingProxy } from "./delaying-proxy.ts";
import { until } from "./executable.ts";
import { Partition } from "./partition.ts";
import { randomLoad } from "./store-load.ts";
import { StoreProcesses } from "./store-processes.ts";
import { backupKillAndRejoin, commitMany } from "./store-scenarios.ts";

setDefaultTimeout(120_000);

test("S18: a backup that was killed catches up, also with an empty disk, and then is part of a quorum", async () => {
  using store = await StoreProcesses.create({ tss: 1, shards: 1, replicas: 3, frontends: 1 });
  await store.startAll();
  await backupKillAndRejoin(store, 300);
});

test("S19: a shard's primary is killed with -9 six times under load; no anomaly, nothing acknowledged is lost", async () => {
  using store = await StoreProcesses.create({ tss: 1, shards: 1, replicas: 3, frontends: 2 });
  await store.startAll();
  let isOver = false;
  const load = randomLoad(store, { level: "strict", clients: 6, transactions: 4000, isOver: () => isOver });
  const gapsMs: number[] = [];
  const client = await PlainClient.connect(store.frontendPorts[0] as number);
  for (let round = 0; round < 6; round++) {
    const primary = await store.primary(0);
    await store.kill(primary);
    const fromMs = performance.now();
    await client.put({ [`round${round}`]: "done" });
    gapsMs.push(Math.round(performance.now() - fromMs));
    store.start(primary);
    await store.ready(primary);
  }
  isOver = true;
  client.terminate();
  const { history } = await load;
  console.log(`from kill -9 to the next commit: ${gapsMs.join(", ")} ms; ${history.length} transactions`);
  expect(checkTransactions(history, { isStrict: true })).toEqual([]);
  expect(history.length).toBeGreaterThan(50);
  // The bound of the scenario is for a quiet host; `bun run soak store-failover` judges it.
  expect(Math.max(...gapsMs)).toBeLessThan(60_000);
});

test("S21: a primary that is cut off from its backups commits nothing and answers no read; the others go on; all agree at the end", async () => {
  using partition = await Partition.open(3);
  using store = await StoreProcesses.create({
    tss: 1,
    shards: 1,
    replicas: 3,
    frontends: 2,
    peerAddress: (_shard, from, to, direct) => partition.addressFor(from, to, direct),
  });
  await store.startAll();
  let isOver = false;
  const load = randomLoad(store, { level: "strict", clients: 4, transactions: 4000, isOver: () => isOver });
  const old = await store.primary(0);
  partition.isolate(Number(old.at(-1)));
  await until("another primary", async () => (await store.primary(0)) !== old || undefined);
  await commitMany(store, "meanwhile", 30);
  const { port } = (await store.stats(old)).ports;
  const lonely = new GroupClient({
    world: realWorld(),
    replicas: [{ host: "127.0.0.1", port }],
    group: "shard0",
    timeoutMs: 800,
  });
  const read = lonely.query(encodeQuery({ kind: "committed", keys: [bytesOf("meanwhile1")] }));
  expect(await read.then(() => "answered", () => "refused")).toBe("refused"); // prettier-ignore
  lonely.close();
  partition.heal();
  await store.ready(old);
  // One way only: it hears the others, and nobody hears it.
  const muted = await store.primary(0);
  partition.mute(Number(muted.at(-1)));
  await until("another primary", async () => (await store.primary(0)) !== muted || undefined);
  await commitMany(store, "unheard", 10);
  partition.heal();
  await store.ready(muted);
  isOver = true;
  const { history } = await load;
  expect(checkTransactions(history, { isStrict: true })).toEqual([]);
  await until("all replicas to agree", async () => {
    const all = await Promise.all(
      store.names.filter((name) => name.includes("shard")).map((name) => store.stats(name)),
    );
    const states = all.map((each) =>
      JSON.stringify([each?.shard.commit, each?.shard.shard.largest, each?.shard.shard.keys]),
    );
    return new Set(states).size === 1 || undefined;
  });
});

test("S23: resets, jitter and bytes one by one between frontends and shards; long values, longer ones, garbage", async () => {
  const proxies: DelayingProxy[] = [];
  for (let shard = 0; shard < 2; shard++) proxies.push(await DelayingProxy.open());
  using store = await StoreProcesses.create({
    tss: 1,
    shards: 2,
    replicas: 1,
    frontends: 2,
    frontendConfig: { settleAfterMs: 300 },
    shardAddress: (shard, direct) => (proxies[shard] as DelayingProxy).before(direct),
  });
  await store.startAll();
  for (const proxy of proxies) {
    proxy.delayMs = () => Math.random() * 20;
    proxy.resetPercent = 1;
    proxy.splits = true;
  }
  const { history } = await randomLoad(store, { level: "strict", clients: 8, transactions: 50 });
  expect(checkTransactions(history, { isStrict: true })).toEqual([]);
  for (const proxy of proxies) Object.assign(proxy, { delayMs: () => 0, resetPercent: 0, splits: false });
  console.log(`${history.length} transactions, ${proxies.map(({ resets }) => resets).join(" and ")} resets`);

  const long = "v".repeat(8 * 1024 * 1024);
  // On a busy host it is prepared for longer than `settleAfterMs`, and the other frontend may settle it: then it is refused, and put again.
  await until("the long value to be put", async () => {
    const { status } = await store.ask(0, "keys/long", { method: "PUT", body: long });
    expect([200, 409]).toContain(status);
    return status === 200 || undefined;
  });
  expect((await store.ask(1, "keys/long")).body.value.text).toHaveLength(long.length);
  const longer = new Blob([long, long, long]);
  const refusal = await fetch(`http://127.0.0.1:${store.frontendPorts[0]}/v1/keys/longer`, { method: "PUT", body: longer }).then(({ status }) => status, () => 0); // prettier-ignore
  expect([0, 413]).toContain(refusal);
  for (const name of store.names.filter((each) => !each.includes("frontend"))) {
    const { port } = (await store.stats(name)).ports;
    await new Promise<void>((resolve) => {
      const socket = connect(port, "127.0.0.1", () => void socket.write(Buffer.alloc(4096, 0xa5)));
      socket.resume();
      socket.on("close", () => resolve());
      socket.on("error", () => {});
    });
  }
  await commitMany(store, "after", 20);
  const stats = await Promise.all(store.names.map((name) => store.stats(name)));
  expect(stats.map((each) => each?.ready)).toEqual(store.names.map(() => true));
  for (const proxy of proxies) proxy[Symbol.dispose]();
});
