/** What HTTP clients are told when a request fails: the status says whether anything may have happened. */
import { expect, test } from "bun:test";
import { seededRandom } from "../../../src/core/seams/random.ts";
import type { Clock } from "../../../src/core/seams/clock.ts";
import type { Log } from "../../../src/core/logging/log.ts";
import { GuardedStore } from "../../../src/reactive/frontend/access/guarded-store.ts";
import { Principals } from "../../../src/reactive/frontend/access/principals.ts";
import { Tables } from "../../../src/reactive/frontend/access/tables.ts";
import { Backend } from "../../../src/reactive/engines/builtin/backend.ts";
import { failureAnswer, frontendApp } from "../../../src/reactive/frontend/http.ts";
import { WatchStreams } from "../../../src/reactive/frontend/http-watch.ts";
import { Watching } from "../../../src/reactive/frontend/watches/watching.ts";
import { OutcomeUnknownError, RefusedError, TooOldError } from "../../../src/reactive/failures.ts";

/** A frontend whose shard answers with this error. */
function failingApp(error: Error) {
  const fail = () => Promise.reject(error);
  // Nothing is watched here: no time passes.
  const still = { monotonicMs: () => 0, after: () => ({ cancel: () => {} }) } as unknown as Clock;
  const backend = new Backend([{ command: fail, query: fail }], { next: () => Promise.resolve(1) }, still);
  const logged: string[] = [];
  const log = { error: (text: string) => void logged.push(text) } as unknown as Log;
  const store = new GuardedStore(backend, new Tables([]));
  const streams = new WatchStreams(store, new Watching(backend, still), () => 1);
  const app = frontendApp(store, seededRandom(1), new Principals(undefined), { requests: 0 }, streams);
  app.onError((thrown, context) => failureAnswer(thrown, context, log));
  return { app, logged };
}

test.each([
  ["a timestamp that is too old", 410, new TooOldError(3, 9), undefined],
  ["an outcome that nobody knows", 503, new OutcomeUnknownError("no answer"), "unknown"],
  ["a group that does not answer", 503, new RefusedError("no primary"), "none"],
])("%s is answered %d", async (_what, status, error, outcome) => {
  const { app, logged } = failingApp(error);
  const responses = [
    await app.request("/v1/keys/k"),
    await app.request("/v1/keys/k", { method: "PUT", body: "v" }),
    await app.request("/v1/scan"),
  ];
  for (const response of responses) {
    expect(response.status).toBe(status);
    expect(((await response.json()) as { outcome?: string }).outcome).toBe(outcome as never);
  }
  expect(logged).toEqual([]);
});

test("a defect is a 500 that tells nothing, and a line in the log", async () => {
  const { app, logged } = failingApp(new Error("secret detail"));
  const response = await app.request("/v1/keys/k");
  expect(response.status).toBe(500);
  expect(await response.text()).not.toContain("secret");
  expect(logged).toEqual(["a request failed"]);
});
