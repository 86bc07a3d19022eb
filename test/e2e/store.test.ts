/** The transactional store as processes: what curl sees, and the scenarios of the frontend by their names. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { DelayingProxy } from "./delaying-proxy.ts";
import { until } from "./executable.ts";
import { StoreProcesses } from "./store-processes.ts";
import { readAfterAck } from "./store-scenarios.ts";

setDefaultTimeout(120_000);

const put = (key: string, text: string) => ({ op: "put", key, value: { type: "bytes", text } });

test("keys, snapshots, ranges and transactions by HTTP", async () => {
  using store = await StoreProcesses.create({ tss: 1, shards: 2, replicas: 1, frontends: 1 });
  await store.startAll();
  const first = await store.ask(0, "keys/greeting", { method: "PUT", body: "hello" });
  expect(first).toMatchObject({ status: 200, body: { outcome: "committed" } });
  expect(await store.ask(0, "keys/greeting")).toMatchObject({
    status: 200,
    body: { version: first.body.timestamp, value: { type: "bytes", text: "hello" } },
  });
  expect((await store.ask(0, "keys/nothing")).status).toBe(404);

  const second = await store.commit(0, {
    operations: [
      put("a", "1"),
      put("b", "2"),
      { op: "add", key: "n", amount: 5 },
      { op: "append", key: "l", element: "x" },
    ],
  });
  const { body: before } = await store.ask(0, "read", {
    method: "POST",
    body: JSON.stringify({ keys: ["a", "n"], at: second.body.timestamp - 1 }),
  });
  expect(before.values.map(({ value }: { value: unknown }) => value)).toEqual([
    { type: "absent" },
    { type: "absent" },
  ]);
  const { body: all } = await store.ask(0, "scan?limit=2");
  expect(all).toMatchObject({ isMore: true, values: [{ key: "a" }, { key: "b" }] });
  const { body: rest } = await store.ask(0, "scan?after=b");
  expect(rest.values.map(({ key }: { key: string }) => key)).toEqual(["greeting", "l", "n"]);

  // Read, changed by somebody else, written: refused.
  const read = { key: "a", version: second.body.timestamp, isPresent: true };
  await store.ask(0, "keys/a", { method: "PUT", body: "changed" });
  expect(await store.commit(0, { reads: [read], operations: [put("b", "3")] })).toMatchObject({
    status: 409,
    body: { outcome: "aborted", reason: "stale", key: "a" },
  });
  // Sent again under the same name: not executed again.
  const named = { id: { client: 7, number: 1 }, operations: [{ op: "add", key: "n", amount: 1 }] };
  const once = await store.commit(0, named);
  expect((await store.commit(0, named)).body).toEqual(once.body);
  expect((await store.ask(0, "keys/n")).body.value).toEqual({ type: "counter", count: 6 });
  // Nothing is under way on it: what is committed is what was acknowledged.
  const body = JSON.stringify({ keys: ["n", "never"], level: "readCommitted" });
  const { body: committed } = await store.ask(0, "read", { method: "POST", body });
  expect(committed).toMatchObject({
    values: [
      { key: "n", version: once.body.timestamp, value: { type: "counter", count: 6 } },
      { key: "never", version: 0, value: { type: "absent" } },
    ],
  });
  expect(committed.timestamp).toBeUndefined();

  await store.ask(0, "keys/greeting", { method: "DELETE" });
  expect((await store.ask(0, "keys/greeting")).status).toBe(404);
  for (const body of ["no JSON", '{"operations":[{"op":"nothing"}]}', '{"reads":[{"key":""}]}'])
    expect((await store.ask(0, "transactions", { method: "POST", body })).status).toBe(400);
});

test("S10: what one frontend acknowledged, the other one shows, also when a shard is told late; an older state says so", async () => {
  using proxy = await DelayingProxy.open();
  using store = await StoreProcesses.create({
    ...{ tss: 1, shards: 2, replicas: 1, frontends: 2 },
    shardAddress: (shard, direct) => (shard === 1 ? proxy.before(direct) : direct),
  });
  await store.startAll();
  await readAfterAck(store, 50);
  proxy.delayMs = () => Math.random() * 10;
  // Control: that an older state is seen as one.
  expect((await readAfterAck(store, 20)).older).toBe(20);
});

test("S17: a frontend is killed with -9 under load; what it left locked is settled, nothing is half done", async () => {
  using store = await StoreProcesses.create({
    tss: 1,
    shards: 2,
    replicas: 1,
    frontends: 2,
    frontendConfig: { settleAfterMs: 200 },
  });
  await store.startAll();
  const keys = ["x", "another", "third"];
  for (let round = 1; round <= 4; round++) {
    // One key is always written, and two blind increments of all: both halves or none.
    const load = Array.from({ length: 60 }, (_, index) =>
      store
        .commit(0, {
          operations: [
            ...keys.map((key) => ({ op: "add", key: `${key}.sum`, amount: 1 })),
            ...(index % 3 === 0 ? keys.map((key) => put(key, `${round}.${index}`)) : []),
          ],
        })
        .catch(() => undefined),
    );
    // Killed behind a commit: the first answer may well be a refusal.
    await Promise.any(load.map((result) => result.then((known) => expect(known?.status).toBe(200))));
    await store.kill("c.frontend0");
    await Promise.all(load);
    const { body } = await until("the orphans to be settled", async () => {
      const result = await store.commit(1, { operations: keys.map((key) => put(key, "after")) });
      return result.status === 200 ? result : undefined;
    });
    const read = await store.ask(1, "read", {
      method: "POST",
      body: JSON.stringify({ keys: [...keys.map((key) => `${key}.sum`), ...keys], at: body.timestamp }),
    });
    const counts = read.body.values.slice(0, 3).map(({ value }: { value: { count: number } }) => value.count);
    expect(new Set(counts).size).toBe(1);
    expect(counts[0]).toBeGreaterThan(0);
    store.start("c.frontend0");
    await store.ready("c.frontend0");
  }
});

test("S20: everything is killed with -9 under load; every acknowledged transaction is there, none half", async () => {
  using store = await StoreProcesses.create({ tss: 3, shards: 2, replicas: 3, frontends: 1 });
  await store.startAll();
  const acknowledged: string[] = [];
  let largest = 0;
  const load = Array.from({ length: 40 }, async (_, index) => {
    for (let turn = 0; turn < 20; turn++) {
      const element = `${index}.${turn}`;
      const result = await store
        .commit(0, {
          operations: ["x", "another"].map((key) => ({ op: "append", key, element })),
        })
        .catch(() => undefined);
      if (result?.status !== 200) return;
      acknowledged.push(element);
      largest = Math.max(largest, result.body.timestamp);
    }
  });
  await until("some load", async () => acknowledged.length > 100 || undefined);
  await store.kill(...store.names);
  await Promise.all(load);
  await store.startAll();
  const { body } = await store.ask(0, "read", {
    method: "POST",
    body: JSON.stringify({ keys: ["x", "another"] }),
  });
  expect(body.timestamp).toBeGreaterThan(largest);
  const [x, another] = body.values.map(({ value }: { value: { elements: string[] } }) => value.elements);
  expect(x).toEqual(another);
  expect(new Set(x).size).toBe(x.length);
  expect(acknowledged.filter((element) => !x.includes(element))).toEqual([]);
});
