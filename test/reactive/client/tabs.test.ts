/** Tabs of one page: what closed ones have queued is committed by those that are open, once, by who knows its code. */
import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { type Client, counter, list } from "../../../src/reactive/client.ts";
import { browser } from "./browser-tabs.ts";
import { until } from "../../core/kernel/harness.ts";
import { LifeClock } from "./life.ts";
import { ModelCluster } from "./model-frontend.ts";

setDefaultTimeout(60_000);

const open: Client[] = [];
afterEach(() => Promise.all(open.splice(0).map((client) => client.close())));

const [score, lines] = [counter("score"), list("lines")];
const defineAdd = (client: Client) =>
  client.queued("add", (transaction, amount: number) => score.add(transaction, amount));
const defineSay = (client: Client) =>
  client.queued("say", (transaction, words: string) => lines.append(transaction, words));

/** A page's tabs over one store; those that are `isOffline` reach nobody. */
function page() {
  const cluster = new ModelCluster();
  const clock = new LifeClock();
  const { tab, held } = browser();
  cluster.down.add("nobody:1");
  return {
    cluster,
    held,
    async openTab(isOffline = false): Promise<Client> {
      const frontends = isOffline ? ["nobody:1"] : ["one:1"];
      const client = await cluster.client({ storage: tab(), frontends, seams: { clock } });
      open.push(client);
      return client;
    },
    /** Lets so much time go by for the open tabs. */
    async pass(seconds: number): Promise<void> {
      for (let second = 0; second < seconds; second++) {
        clock.advance(1000);
        await Bun.sleep(1);
      }
    },
  };
}

test("what two closed tabs have queued is seen, and committed once, by the one that stays open", async () => {
  const { cluster, held, openTab, pass } = page();
  const staying = await openTab();
  defineAdd(staying);
  defineSay(staying);
  await staying.connected();
  const seen: bigint[] = [];
  staying.executeReactive(async (transaction) => void seen.push(await score.value(transaction)), {
    optimistic: true,
  });
  const closing = [await openTab(true), await openTab(true)];
  for (const client of closing) {
    await defineAdd(client)(5);
    await defineSay(client)("once");
  }
  await Promise.all(closing.map((client) => client.close()));
  expect(held.size).toBe(1);
  await pass(10);
  await until("all to be committed", () => seen.at(-1) === 10n || undefined);
  await until("nothing to wait", () => staying.queuedCount === 0 || undefined);
  await until("their logs to be let go", () => held.size === 1 || undefined);
  expect(await staying.readOnly((transaction) => lines.value(transaction))).toEqual(["once", "once"]);
  expect(cluster.store.commits).toBe(4);
});

test("a page that is loaded again gets its own log back, whoever else is open", async () => {
  const { openTab, pass } = page();
  defineAdd(await openTab());
  const before = await openTab(true);
  await defineAdd(before)(5);
  await pass(3);
  await before.close();
  // The other tab looks once meanwhile.
  await pass(2);
  const after = await openTab(true);
  expect(after.queuedCount).toBe(1);
});

test("a log is left to who knows its code", async () => {
  const { openTab, pass, cluster } = page();
  const other = await openTab();
  const before = await openTab(true);
  await defineSay(before)("kept");
  await before.close();
  defineAdd(other);
  await pass(20);
  expect([other.queuedCount, cluster.store.commits]).toEqual([0, 0]);
  defineSay(await openTab());
  await until("it to be committed", () => cluster.store.commits === 1 || undefined);
});
