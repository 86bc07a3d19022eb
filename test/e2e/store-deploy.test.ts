/**
 * A transactional store in Diamond's own files and words, with the real executable on this host: started with keys to load, a new
 * release and a rollback while clients commit and watch, a restart of every process, stop, kill. Nothing that was acknowledged is lost
 * on the way, and no client hears of it.
 */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { DeployedStore } from "./deployed-store.ts";
import { until } from "./executable.ts";
import { SteadyLoad } from "./steady-load.ts";

setDefaultTimeout(240_000);

let store: DeployedStore;

beforeAll(async () => {
  const keys = Array.from({ length: 40 }, (_, index) => `key${index}\n`).join("");
  store = await DeployedStore.create({
    ...{ tss: 3, shards: [3, 1], frontends: 2 },
    files: { "keys.list": keys },
  });
});

afterAll(() => store[Symbol.asyncDispose]());

/** Whatever answers; undefined when neither frontend does. */
async function ask(path: string): Promise<{ status: number; body: any } | undefined> {
  for (const frontend of store.frontends) {
    try {
      const response = await fetch(`${frontend}/v1/${path}`);
      if (response.status < 500) return { status: response.status, body: await response.json() };
    } catch {
      // The other one.
    }
  }
  return undefined;
}

test("start with --batch and --keys: every shard has its own keys, once", async () => {
  const words = ["--batch", "64", "--keys", "../platform/test/keys.list", "--numkeys", "30"];
  expect(await store.do("start", ...words)).toBe("9 instances started\n");
  const { body } = (await ask("scan?prefix=key&limit=100")) as { body: any };
  expect(body.values).toHaveLength(30);
  expect(body.values[0]).toMatchObject({ key: "key0", version: 1, value: { type: "bytes", text: "null" } });
  expect((await ask("keys/key35"))?.status).toBe(404);
});

test("status says who leads each group", async () => {
  const leaders = async () => {
    const rows = JSON.parse(await store.do("status", "--json")) as { instance: string; isLeader: boolean }[];
    return rows.filter(({ isLeader }) => isLeader).map(({ instance }) => instance.split(".")[1]);
  };
  // There may be none for a moment.
  const wanted = ["shard0", "shard1", "tss"].join();
  expect(
    await until("one of each", async () => (await leaders()).sort().join() === wanted || undefined),
  ).toBe(true);
});

test("S25: a new release, a rollback and a restart of every process, while clients commit and watch: none of them notices", async () => {
  await using load = new SteadyLoad(store.frontends, { timeoutMs: 120_000 }, 60_000);
  await load.start(2, 2, 5);
  for (const [verb, ...words] of [
    ["deploy", "--batch", "32", "-y"],
    ["rollback", "-y"],
    ["restart"],
  ] as const) {
    await load.more(5);
    await store.do(verb, ...words);
  }
  await load.more(5);
  expect(await load.finish()).toEqual([]);
  console.log(`${load.committed} commits; longest gap ${Math.round(load.longestGapMs)} ms`);
});

test("stop ends every process, start brings the store back with everything", async () => {
  await store.do("stop");
  expect(await ask("keys/key0")).toBeUndefined();
  await store.do("start");
  expect((await ask("keys/key0"))?.body.value).toEqual({ type: "bytes", text: "null" });
  expect((await ask("keys/x"))?.status).toBe(200);
});

test("kill ends only what it was told to, and start with the same words brings it back", async () => {
  const some = ["--shards", "1", "--frontends", "1"];
  expect(await store.do("kill", "--role", "shard", ...some)).toBe(
    "killed myconfig.shard0.0 myconfig.shard0.1 myconfig.shard0.2\n",
  );
  expect(await store.do("start", ...some)).toBe("3 instances started\n");
  const { body } = await until("a frontend that answers", () => ask("keys/key0"));
  expect(body.value).toEqual({ type: "bytes", text: "null" });
  expect(await store.do("kill")).toContain("myconfig.tss.0");
  expect(await ask("keys/key0")).toBeUndefined();
});

test("three stores of one process each: a restart of every process, the one that leads last, and no client notices", async () => {
  await using stores = await DeployedStore.create({ tss: 0, shards: [], frontends: 0, stores: 3 });
  await stores.do("start");
  const leader = async () => {
    const rows = JSON.parse(await stores.do("status", "--json")) as { instance: string; isLeader: boolean }[];
    return rows.find(({ isLeader }) => isLeader)?.instance;
  };
  const before = await until("a leader", leader);
  {
    await using load = new SteadyLoad(stores.frontends, { timeoutMs: 120_000 }, 60_000);
    await load.start(2, 2, 5);
    const { stdout: plan } = await stores.run("restart", "--plan");
    const order = stores.names.toSorted((one, other) => plan.indexOf(one) - plan.indexOf(other));
    expect(order.at(-1)).toBe(before);
    await stores.do("restart");
    await load.more(5);
    expect(await load.finish()).toEqual([]);
  }
});
