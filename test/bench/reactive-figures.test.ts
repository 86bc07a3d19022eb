/** S24, a short slice over real processes: the transactions of figures 7 and 8 in every mode. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { StoreProcesses } from "../e2e/store-processes.ts";
import { modes } from "./reactive-figures.ts";
import { kinds, Retwis } from "./retwis.ts";
import { StoreClient } from "./store-client.ts";

setDefaultTimeout(120_000);

const CALLERS = 8;

test("S24: the Retwis mix commits in every mode; likes that commute are never refused, and as reads and writes they are", async () => {
  using store = await StoreProcesses.create({ tss: 1, shards: 3, replicas: 1, frontends: 1 });
  await store.startAll();
  const client = await StoreClient.connect(store.frontendPorts[0] as number);
  const run = (load: Retwis, mode: keyof typeof modes) =>
    Promise.all(Array.from({ length: CALLERS }, () => load.run(client, modes[mode])));
  for (const mode of Object.keys(modes) as (keyof typeof modes)[]) {
    const mix = new Retwis(10, 0.8);
    for (let round = 0; round < 5; round++) await run(mix, mode);
    expect(mix.committed).toBe(5 * CALLERS);
  }
  const refusedLikes = async (mode: keyof typeof modes) => {
    const likes = new Retwis(
      1,
      0,
      kinds.find(({ name }) => name === "like"),
    );
    await run(likes, mode);
    return likes.aborted;
  };
  expect(await refusedLikes("SS+DOCC")).toBe(0);
  expect(await refusedLikes("SS")).toBeGreaterThan(0);
  client.close();
});
