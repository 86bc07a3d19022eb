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
function failingApp(error: Error, tokens?: ReadonlyMap<string, string>) {
  const fail = () => Promise.reject(error);
  // Nothing is watched here: no time passes.
  const still = { monotonicMs: () => 0, after: () => ({ cancel: () => {} }) } as unknown as Clock;
  const backend = new Backend([{ command: fail, query: fail }], { next: () => Promise.resolve(1) }, still);
  const logged: string[] = [];
  const log = { error: (text: string) => void logged.push(text) } as unknown as Log;
  const store = new GuardedStore(backend, new Tables([]));
  const streams = new WatchStreams(store, new Watching(backend, still), () => 1);
  const app = frontendApp(store, seededRandom(1), new Principals(tokens), { requests: 0 }, streams);
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

test.each<[string, string, RequestInit, string]>([
  ["a key that is no UTF-8", "/v1/keys/%ff", {}, "percent-encoded"],
  ["a key with a lone percent sign", "/v1/keys/100%", { method: "PUT", body: "x" }, "percent-encoded"],
  ["no key", "/v1/keys/", { method: "PUT", body: "x" }, "the key"],
  ["a key that is too long", `/v1/keys/${"k".repeat(65_536)}`, {}, "65535 bytes"],
  ["a timestamp of the future", "/v1/keys/k?at=99", {}, "never issued"],
  ["a range of the future", "/v1/scan?at=99", {}, "never issued"],
  ["a field of a read that there is not", "/v1/read", { method: "POST", body: '{ "keys": ["k"], "att": 1 }' }, "att"],
  ...[{ level: "strict" }, { level: "readCommitted", at: 1 }].map((more): [string, string, RequestInit, string] => [
    `a read with ${JSON.stringify(more)}`, "/v1/read", { method: "POST", body: JSON.stringify({ keys: ["k"], ...more }) }, "readCommitted",
  ]),
  ...(
    [
      ["a snapshot of the future", { level: "snapshot", snapshot: 99, operations: [{ op: "delete", key: "k" }] }, "never"],
      ["a key that is too long in a transaction", { operations: [{ op: "delete", key: "k".repeat(65_536) }] }, "65535"],
      ["more than 64 bits", { operations: [{ op: "add", key: "n", amount: "9999999999999999999" }] }, "64 bits"],
      ["a text that is bytes, too", { operations: [{ op: "put", key: "k", value: { type: "bytes", text: "a", base64: "Yg==" } }] }, "not both"],
      ["half of a surrogate pair as a key", { operations: [{ op: "delete", key: "\ud800" }] }, "surrogate"],
      ["half of a surrogate pair as a text", { operations: [{ op: "append", key: "k", element: "\udc00" }] }, "surrogate"],
      ["a field that there is not", { operation: [] }, "Unrecognized key"],
      ["a version that was never issued", { reads: [{ key: "k", version: 99, isPresent: true }], operations: [{ op: "delete", key: "k" }] }, "never issued"],
      ["half a thing", { operations: [{ op: "add", key: "n", amount: 1.5 }] }, "64 bits"],
      ["no amount", { operations: [{ op: "add", key: "n" }] }, "64 bits"],
      ["a number that JSON cannot keep", { operations: [{ op: "add", key: "n", amount: 2 ** 63 }] }, "as a text"],
    ] as const
  ).map(([what, body, answer]): [string, string, RequestInit, string] => [what, "/v1/transactions", { method: "POST", body: JSON.stringify(body) }, answer]),
])("%s is the client's mistake, and named", async (_what, path, init, wanted) => {
  const { app, logged } = failingApp(new Error("nobody gets this far"));
  const response = await app.request(path, init);
  expect([response.status, logged]).toEqual([400, []]);
  expect(((await response.json()) as { error: string }).error).toContain(wanted);
}); // prettier-ignore

test.each([
  ["POST", "/v1/keys/k", "GET, PUT, DELETE"],
  ["GET", "/v1/transactions", "POST"],
  ["PUT", "/v1/read", "POST"],
])("%s is not for %s, and what is", async (method, path, allowed) => {
  const { app } = failingApp(new Error("nobody gets this far"));
  const response = await app.request(path, { method });
  expect([response.status, response.headers.get("allow")]).toEqual([405, allowed]);
  expect(((await response.json()) as { error: string }).error).toContain(allowed);
});

test.each([
  [
    "keys",
    { operations: Array.from({ length: 100_001 }, (_, index) => ({ op: "delete", key: `k${index}` })) },
  ],
  [
    "reads of one key",
    {
      reads: Array.from({ length: 100_001 }, (_, index) => ({
        key: "k",
        version: 0,
        isPresent: false,
        index,
      })),
      operations: [{ op: "delete", key: "k" }],
    },
  ],
])("more %s than a shard takes are refused, not tried", async (what, transaction) => {
  const { app, logged } = failingApp(new Error("nobody gets this far"));
  const response = await app.request("/v1/transactions", {
    method: "POST",
    body: JSON.stringify(transaction),
  });
  expect([response.status, logged]).toEqual([413, []]);
  expect(await response.json()).toMatchObject({ code: "tooMany", error: expect.stringContaining(what) });
});

test("a token that is not known is not called missing", async () => {
  const { app } = failingApp(
    new Error("nobody gets this far"),
    new Map([["alice", "alice-0123456789abcdef"]]),
  );
  const said = async (headers: Record<string, string>) => {
    const response = await app.request("/v1/keys/k", { headers });
    return [response.status, ((await response.json()) as { error: string }).error];
  };
  expect(await said({})).toEqual([401, "a token is wanted: Authorization: Bearer …"]);
  expect(await said({ authorization: "Bearer bob-0123456789abcdef" })).toEqual([
    401,
    "the token is not known",
  ]);
});

test("a defect is a 500 that tells nothing, and a line in the log", async () => {
  const { app, logged } = failingApp(new Error("secret detail"));
  const response = await app.request("/v1/keys/k");
  expect(response.status).toBe(500);
  expect(await response.text()).not.toContain("secret");
  expect(logged).toEqual(["a request failed"]);
});
