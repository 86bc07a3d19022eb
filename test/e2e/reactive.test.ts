/** Reactive clients and real processes: the client protocol over WebSockets, against frontends, shards and timestamp servers. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { plain, PlainClient } from "../reactive/plain-client.ts";
import { DelayingProxy } from "./delaying-proxy.ts";
import { until } from "./executable.ts";
import {
  atomicVisibility,
  firstRunAndFollow,
  followThrough,
  movingReadSet,
  registrationRace,
  stopsAndCrashes,
} from "./reactive-scenarios.ts";
import { StoreProcesses } from "./store-processes.ts";

setDefaultTimeout(120_000);

test("a watch runs once at first, again for each change of what it reads, and not for others", async () => {
  using store = await StoreProcesses.create({ tss: 1, shards: 2, replicas: 1, frontends: 1 });
  await store.startAll();
  using client = await PlainClient.connect(store.frontendPorts[0] as number);
  using writer = await PlainClient.connect(store.frontendPorts[0] as number);
  await writer.put({ x: "1" });
  await client.watch(1, ["x", "another"]);
  const first = await until("the first run", () => client.runs[0]);
  expect(first.run).toMatchObject({ cause: "first", since: 0, changes: 0 });
  expect(plain(first.view.get("x"))).toBe("1");
  expect(plain(first.view.get("another"))).toBeUndefined();

  const at = await writer.put({ x: "2", another: "2" });
  const second = await until("the second run", () => client.runs[1]);
  expect(second.at).toBeGreaterThanOrEqual(at);
  expect([...second.view.values()].map(plain)).toEqual(["2", "2"]);
  await writer.put({ third: "3" });
  await until("progress behind the unrelated write", () => client.progress.find((seen) => seen > at + 1));
  expect(client.runs).toHaveLength(2);

  await client.ask({ type: "unwatch", watch: 1 }, "unwatched");
  await writer.put({ x: "3" });
  await writer.read(["x"]);
  expect(client.runs).toHaveLength(2);
});

/** The events of a stream, one at a time. */
async function* eventsOf(response: Response): AsyncGenerator<{ name: string; id: string; data: any }> {
  let text = "";
  for await (const chunk of response.body as ReadableStream<Uint8Array>) {
    text += new TextDecoder().decode(chunk);
    for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
      const [, name = "", id = "", data = ""] =
        /^event: (.*)\nid: (.*)\ndata: (.*)$/.exec(text.slice(0, end)) ?? [];
      text = text.slice(end + 2);
      yield { name, id, data: JSON.parse(data) };
    }
  }
}

test("runs by plain HTTP: a stream of events that goes on behind the last one that was seen", async () => {
  using store = await StoreProcesses.create({ tss: 1, shards: 2, replicas: 1, frontends: 2 });
  await store.startAll();
  const put = (body: string) => store.ask(0, "keys/x", { method: "PUT", body });
  const open = async (frontend: number, lastEventId?: string) => {
    const aborter = new AbortController();
    const response = await fetch(
      `http://127.0.0.1:${store.frontendPorts[frontend]}/v1/watch?key=x&prefix=list:`,
      {
        signal: aborter.signal,
        ...(lastEventId !== undefined && { headers: { "last-event-id": lastEventId } }),
      },
    );
    const events = eventsOf(response);
    const nextRun = async () => {
      for (;;) {
        const { value } = await events.next();
        if (value?.name === "run") return value;
      }
    };
    return { nextRun, aborter };
  };
  await put("1");
  const first = await open(0);
  expect((await first.nextRun()).data).toMatchObject({
    cause: "first",
    values: [{ key: "x", value: { text: "1" } }],
  });
  await put("2");
  const second = await first.nextRun();
  expect(second.data).toMatchObject({ cause: "changed", changes: 1, values: [{ value: { text: "2" } }] });
  first.aborter.abort();
  await put("3");
  // A range is told of, and read again by whoever wants it.
  const resumed = await open(1, second.id);
  expect((await resumed.nextRun()).data.values).toMatchObject([{ key: "x", value: { text: "3" } }]);
  await store.ask(1, "keys/list:a", { method: "PUT", body: "a" });
  expect((await resumed.nextRun()).data).toMatchObject({ cause: "changed", values: [] });
  resumed.aborter.abort();
  expect((await store.ask(0, "watch").catch(() => ({ status: 0 }))).status).toBe(400);
  await until("the streams to be forgotten", async () => {
    const { clients, watches } = (await store.stats("c.frontend1")).frontend;
    return (clients.streams === 0 && watches.watches === 0) || undefined;
  });
});

test("S11, S13, S15: first runs and what follows, races with registrations, clients that stop and crash", async () => {
  using store = await StoreProcesses.create({ tss: 1, shards: 2, replicas: 1, frontends: 2 });
  await store.startAll();
  // A second on a quiet host, which the soak judges.
  const patienceMs = 30_000;
  const followed = await firstRunAndFollow({ store, clients: 30, writes: 60, pauseMs: 10, patienceMs });
  expect(followed.runs).toBeGreaterThan(60);
  const raced = await registrationRace({ store, clients: 1, writes: 60, pauseMs: 0, patienceMs });
  expect(raced.toldByASecondRun).toBeGreaterThan(0);
  await stopsAndCrashes({ store, clients: 20, writes: 100, pauseMs: 0 });
});

test("S14: a pointer that moves through ten keys takes its watcher along, and nothing else runs", async () => {
  using store = await StoreProcesses.create({ tss: 1, shards: 2, replicas: 1, frontends: 2 });
  await store.startAll();
  expect((await movingReadSet(store, 1)).runs).toBe(21);
});

test("S12: a shard that carries commits out late shows nobody half a transaction", async () => {
  using proxy = await DelayingProxy.open();
  using store = await StoreProcesses.create({
    tss: 1,
    shards: 2,
    replicas: 1,
    frontends: 2,
    shardAddress: (shard, direct) => (shard === 1 ? proxy.before(direct) : direct),
  });
  await store.startAll();
  const { runs } = await atomicVisibility({ store, clients: 10, writes: 15, pauseMs: 0 }, [proxy]);
  expect(runs).toBeGreaterThan(15);
});

test("S17: reactive clients of a frontend that is killed with -9 go to the other one and miss nothing", async () => {
  using store = await StoreProcesses.create({
    tss: 1,
    shards: 2,
    replicas: 1,
    frontends: 2,
    frontendConfig: { settleAfterMs: 300 },
  });
  await store.startAll();
  const figures = await followThrough({ store, clients: 10, writes: 40, pauseMs: 2 }, async () => {
    for (const name of ["c.frontend0", "c.frontend1"]) {
      await Bun.sleep(300);
      await store.kill(name);
      await Bun.sleep(300);
      store.start(name);
      await store.ready(name);
    }
  });
  expect(figures.connections).toBeGreaterThan(10);
  // Three seconds on a quiet host.
  expect(figures.longestRunGapMs).toBeLessThan(20_000);
});
