/** Reactive clients and real processes: the client protocol over WebSockets, against frontends, shards and timestamp servers. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { plain, PlainClient } from "../reactive/plain-client.ts";
import { until } from "./executable.ts";
import { StoreProcesses } from "./store-processes.ts";

setDefaultTimeout(60_000);

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
