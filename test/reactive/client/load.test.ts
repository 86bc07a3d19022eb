/** The judge of the scenarios with reactive clients (test/e2e/reactive-load.ts): what it accepts, and what turns it red. */
import { expect, setDefaultTimeout, test } from "bun:test";
import type { ClientOptions } from "../../../src/reactive/client.ts";
import { until } from "../../e2e/executable.ts";
import { ReactiveLoad } from "../../e2e/reactive-load.ts";
import { SteadyLoad } from "../../e2e/steady-load.ts";
import { withForgetfulWatches, withNewNames, withoutKey } from "../faulty-clients.ts";
import { ModelCluster } from "./model-frontend.ts";

setDefaultTimeout(120_000);

const CONVERGE_MS = 300;

/** A load while answers are lost and connections end. */
async function faultsOf(
  options: (cluster: ModelCluster) => ClientOptions,
  meanwhile: (cluster: ModelCluster) => void = () => {},
): Promise<string[]> {
  const cluster = new ModelCluster();
  let commits = 0;
  cluster.fault = ({ type }) => (type === "commit" && ++commits % 7 === 0 ? "after" : false);
  await using load = new ReactiveLoad(["one:1", "two:2"], options(cluster), CONVERGE_MS);
  await load.startWatchers(2);
  await load.startWriters(2);
  for (let round = 0; round < 4; round++) {
    await load.more(5);
    cluster.cutAll();
    meanwhile(cluster);
  }
  return await load.finish();
}

const plain = (cluster: ModelCluster): ClientOptions => ({ seams: { open: cluster.open } });

test("nothing is wrong with the client, over lost answers and lost connections", async () => {
  expect(await faultsOf(plain)).toEqual([]);
});

test("control for S17, S19, S20: a client that sends a commit again under a new name does it twice", async () => {
  const faults = await faultsOf((cluster) => withNewNames(cluster.open));
  expect(faults.some((fault) => fault.includes("a name twice"))).toBe(true);
});

test("control: a client that does not say what its watches have seen misses the end", async () => {
  const faults = await faultsOf((cluster) => withForgetfulWatches(cluster.open));
  expect(faults.some((fault) => fault.includes("have not seen the end"))).toBe(true);
});

test("control: a store that loses half of a transaction is found out", async () => {
  let isDone = false;
  const faults = await faultsOf(plain, ({ store }) => {
    if (isDone) return;
    isDone = true;
    store.timestamp += 1;
    // Kind 2, delete: of one of the two lists.
    store.versions.write(new TextEncoder().encode("another"), store.timestamp, 0, new Uint8Array([2]));
  });
  expect(faults.some((fault) => fault.includes("half a transaction"))).toBe(true);
});

/** The same of the load that may last for hours. */
async function steadyFaultsOf(
  options: (cluster: ModelCluster) => ClientOptions,
  spoil: (cluster: ModelCluster) => void = () => {},
): Promise<string[]> {
  const cluster = new ModelCluster();
  let commits = 0;
  cluster.fault = ({ type }) => (type === "commit" && ++commits % 7 === 0 ? "after" : false);
  await using load = new SteadyLoad(["one:1", "two:2"], options(cluster), CONVERGE_MS);
  await load.start(3, 2, 1);
  for (let round = 1; round <= 4; round++) {
    await until("more commits", () => load.committed >= 8 * round || undefined);
    cluster.cutAll();
    spoil(cluster);
    if (load.faults.length > 0) break;
  }
  return await load.finish();
}

const spoilOnce = (how: (store: ModelCluster["store"]) => void) => {
  let isDone = false;
  return ({ store }: ModelCluster) => {
    if (!isDone) how(store);
    isDone = true;
  };
};

test("S25: the load that may last for hours finds nothing wrong over lost answers and connections", async () => {
  expect(await steadyFaultsOf(plain)).toEqual([]);
});

test.each<
  [string, (cluster: ModelCluster) => ClientOptions, ((cluster: ModelCluster) => void) | undefined, string]
>([
  [
    "a commit that is sent again under a new name",
    (cluster) => withNewNames(cluster.open),
    undefined,
    "acknowledged transactions",
  ],
  [
    "watches that do not say what they have seen",
    (cluster) => withForgetfulWatches(cluster.open),
    undefined,
    "have not seen the end",
  ],
  [
    "half a transaction that is not sent",
    (cluster) => withoutKey("another", cluster.open),
    undefined,
    "half a transaction",
  ],
  [
    "a counter that is set back",
    plain,
    spoilOnce((store) => {
      store.timestamp += 1;
      store.versions.write(new TextEncoder().encode("steady:total"), store.timestamp, 0, new Uint8Array([2]));
    }),
    "the counter",
  ],
])("control for S25: %s is found out", async (_what, options, spoil, fault) => {
  const faults = await steadyFaultsOf(options, spoil);
  expect(faults.some((each) => each.includes(fault))).toBe(true);
});
