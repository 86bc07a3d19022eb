/** The transactional store as a sink, with real processes: a checkpoint takes effect once, however often it is delivered. */
import { expect, test } from "bun:test";
import { realWorld } from "../../src/core/seams/world-real.ts";
import { storeTarget } from "../../src/streams/connectors/store-target.ts";
import { StoreProcesses } from "./store-processes.ts";

const { random } = realWorld();
const record = (key: string, value: string) => Buffer.from(`${key}\t${value}`);

test("a checkpoint that is delivered again changes nothing, the next one does", async () => {
  using store = await StoreProcesses.create({ tss: 1, shards: 2, replicas: 1, frontends: 1 });
  await store.startAll();
  const frontends = [`http://127.0.0.1:${store.frontendPorts[0]}`];
  const textOf = async (key: string) =>
    ((await store.ask(0, `keys/${encodeURIComponent(key)}`)) as { body: { value: { text: string } } }).body
      .value.text;
  const first = storeTarget({ frontends, output: "app-worker2.Out", random });
  await first.deliver(3, [record("a", "1"), record("b", "2"), record("a", "3")]);
  await first.close();
  // The worker died before it noted the delivery: a new one delivers again, here with other values to see the difference.
  const second = storeTarget({ frontends, output: "app-worker2.Out", random });
  await second.deliver(3, [record("a", "again")]);
  expect([await textOf("a"), await textOf("b"), await textOf("stream/app-worker2.Out")]).toEqual([
    "3",
    "2",
    "3",
  ]);
  await second.deliver(5, [record("b", "4")]);
  expect([await textOf("a"), await textOf("b"), await textOf("stream/app-worker2.Out")]).toEqual([
    "3",
    "4",
    "5",
  ]);
  // Another output has checkpoints of its own.
  const other = storeTarget({ frontends, output: "app-worker3.Out", random });
  await other.deliver(4, [record("c", "5")]);
  expect(await textOf("c")).toBe("5");
  // A cluster that begins anew counts from 1 again: its first checkpoint is not the one that was here long ago.
  const anew = storeTarget({ frontends, output: "app-worker2.Out", random });
  anew.resume?.(undefined);
  await anew.deliver(1, [record("a", "anew")]);
  const again = storeTarget({ frontends, output: "app-worker2.Out", random });
  again.resume?.(anew.position?.());
  await again.deliver(1, [record("a", "twice")]);
  expect(await textOf("a")).toBe("anew");
  for (const target of [second, other, anew, again]) await target.close();
}, 120_000);
