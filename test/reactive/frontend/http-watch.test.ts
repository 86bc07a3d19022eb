/** Streams of server-sent events over simulated shards: what ends them, and what they leave behind. */
import { expect, test } from "bun:test";
import { seededRandom } from "../../../src/core/seams/random.ts";
import { GuardedStore } from "../../../src/reactive/frontend/access/guarded-store.ts";
import { Principals } from "../../../src/reactive/frontend/access/principals.ts";
import { Tables } from "../../../src/reactive/frontend/access/tables.ts";
import { frontendApp } from "../../../src/reactive/frontend/http.ts";
import { WatchStreams } from "../../../src/reactive/frontend/http-watch.ts";
import { reactiveCluster, settled, write } from "./watch-harness.ts";

function watchedFrontend(seed: number) {
  const cluster = reactiveCluster({ seed, frontends: 1 });
  const { mail } = cluster.cluster;
  const { watching, backend } = cluster.frontends[0] as (typeof cluster.frontends)[0];
  const store = new GuardedStore(backend, new Tables([]));
  const streams = new WatchStreams(store, watching, () => 10);
  const app = frontendApp(store, seededRandom(1), new Principals(undefined), { requests: 0 }, streams);
  let response: Response | undefined;
  return {
    cluster,
    streams,
    watching,
    /** Opens a stream on a key and gives its body. */
    async open(key: string): Promise<ReadableStream<Uint8Array>> {
      await mail.run(
        Promise.resolve(app.request(`/v1/watch?key=${key}`, {}, { timeout: () => {} })).then((answer) => {
          response = answer;
        }),
      );
      await mail.run(settled(cluster));
      return response?.body as ReadableStream<Uint8Array>;
    },
    async write(key: string): Promise<void> {
      await mail.run(write(cluster, 0, [key]));
      await mail.run(settled(cluster));
    },
  };
}

test("a stream that the frontend ends is over: what is committed behind that is nobody's any more", async () => {
  const { cluster, streams, watching, open, write: put } = watchedFrontend(1);
  const body = await open("x");
  expect([streams.size, watching.figures.watches]).toEqual([1, 1]);
  streams.close();
  expect([streams.size, watching.figures.watches]).toEqual([0, 0]);
  await put("x");
  expect(await new Response(body).text()).toContain("event: run\n");
  cluster.close();
});

test("a reader who does not read costs a few events, and is given the latest state when he does", async () => {
  const { cluster, watching, open, write: put } = watchedFrontend(2);
  const body = await open("x");
  for (let turn = 0; turn < 30; turn++) await put("x");
  expect(watching.figures.runs).toBeLessThan(12);
  const reader = body.getReader();
  let text = "";
  while ((text.match(/event: run/g) ?? []).length < watching.figures.runs) {
    const { value } = await reader.read();
    text += new TextDecoder().decode(value);
    await cluster.cluster.mail.run(settled(cluster));
  }
  const changes = [...text.matchAll(/"changes":(\d+)/g)].reduce((sum, [, count]) => sum + Number(count), 0);
  expect(changes).toBe(30);
  await reader.cancel();
  expect(watching.figures.watches).toBe(0);
  cluster.close();
});
