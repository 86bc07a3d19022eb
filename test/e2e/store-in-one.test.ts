/** Stores whose timestamp server, shard and frontend are one process, alone and as replicas of each other. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { realWorld } from "../../src/core/seams/world-real.ts";
import { GroupClient } from "../../src/reactive/replication/group-client.ts";
import { Level } from "../../src/reactive/shard/transaction.ts";
import { checkTransactions } from "../reactive/checkers/elle.ts";
import { PlainClient } from "../reactive/plain-client.ts";
import { until } from "./executable.ts";
import { commutingLoad, randomLoad } from "./store-load.ts";
import { StoreProcesses } from "./store-processes.ts";
import { commitMany } from "./store-scenarios.ts";

setDefaultTimeout(120_000);

const nextTimestamp = async (client: PlainClient) => (await client.ask({ type: "begin" }, "begun")).at;

test("one process alone: killed with -9 under load, it loses nothing and its timestamps go on", async () => {
  using store = await StoreProcesses.inOne(1);
  await store.startAll();
  const load = commutingLoad(store, { level: Level.strict, clients: 6, rounds: 60, isMixed: false });
  let last = 0;
  for (let round = 0; round < 3; round++) {
    using client = await PlainClient.connect(store.frontendPorts[0] as number);
    await client.put({ [`round${round}`]: "done" });
    const timestamp = await nextTimestamp(client);
    expect(timestamp).toBeGreaterThan(last);
    last = timestamp;
    await store.kill("c.store0");
    store.start("c.store0");
    await store.ready("c.store0");
  }
  expect((await load).wrong).toEqual([]);
  using client = await PlainClient.connect(store.frontendPorts[0] as number);
  expect((await client.read(["round0", "round1", "round2"])).values).toEqual(["done", "done", "done"]);
});

test("its parts speak to each other without connections; further frontends and clients of either group reach them by its port", async () => {
  using store = await StoreProcesses.inOne(1);
  await store.startAll();
  await commitMany(store, "key", 20);
  const { connections, shard, tss } = (await store.stats("c.store0")).store;
  expect({ connections, keys: shard.keys, isPrimary: tss.isPrimary }).toEqual({
    connections: 0,
    keys: 20,
    isPrimary: true,
  });
  const { port } = (await store.stats("c.store0")).ports;
  const address = `127.0.0.1:${port}`;
  using beside = await StoreProcesses.create({
    tss: 0,
    shards: 0,
    replicas: 0,
    frontends: 1,
    frontendConfig: { timestampServers: [address], shards: [[address]] },
  });
  await beside.startAll();
  expect((await beside.ask(0, "keys/key7")).body.value.text).toBe("7");
  using watcher = await PlainClient.connect(store.frontendPorts[0] as number);
  const seen = new Promise<unknown>((resolve) => {
    watcher.onRun = ({ view }) => {
      const value = view.get("key7");
      if (value?.type === "bytes" && new TextDecoder().decode(value.bytes) === "changed") resolve(value);
    };
  });
  await watcher.watch(1, ["key7"]);
  await beside.ask(0, "keys/key7", { method: "PUT", body: "changed" });
  await seen;

  const stranger = new GroupClient({
    world: realWorld(),
    replicas: [{ host: "127.0.0.1", port }],
    group: "shard7",
    timeoutMs: 500,
  });
  expect(await stranger.query(new Uint8Array(4)).then(() => "answered", () => "refused")).toBe("refused"); // prettier-ignore
  stranger.close();
  expect(store.rootLog("c.store0")).toContain('this is group "tss" and "shard0", "shard7" was asked for');
});

test("three processes: the one that leads is killed with -9 under load, then all are; no anomaly, nothing acknowledged is lost", async () => {
  using store = await StoreProcesses.inOne(3);
  await store.startAll();
  let isOver = false;
  const load = randomLoad(store, { level: "strict", clients: 6, transactions: 4000, isOver: () => isOver });
  const kept: string[] = [];
  for (let round = 0; round < 4; round++) {
    const primary = await store.primary(0);
    await store.kill(primary);
    const other = store.names.indexOf(store.names.find((name) => name !== primary) as string);
    await until("the others to go on", async () => {
      const { status } = await store.ask(other, `keys/round${round}`, { method: "PUT", body: "done" });
      return status === 200 || undefined;
    });
    kept.push(`round${round}`);
    store.start(primary);
    await store.ready(primary);
  }
  await store.kill(...store.names);
  await store.startAll();
  isOver = true;
  const { history } = await load;
  expect(checkTransactions(history, { isStrict: true })).toEqual([]);
  expect(history.length).toBeGreaterThan(50);
  using client = await PlainClient.connect(store.frontendPorts[1] as number);
  expect((await client.read(kept)).values).toEqual(kept.map(() => "done"));
});

test("a planned stop hands both groups over, and its clients to the others", async () => {
  using store = await StoreProcesses.inOne(3);
  await store.startAll();
  const primary = await store.primary(0);
  const load = commutingLoad(store, { level: Level.strict, clients: 4, rounds: 40, isMixed: false });
  expect(await store.terminate(primary)).toBe(0);
  expect(await store.primary(0)).not.toBe(primary);
  expect((await load).wrong).toEqual([]);
  expect(store.rootLog(primary)).not.toContain("Error");
});
