/** One client's conversation, over a carrier that only remembers: who may speak, what failures are called, how it ends. */
import { expect, test } from "bun:test";
import type { Clock } from "../../../src/core/seams/clock.ts";
import type { Log } from "../../../src/core/logging/log.ts";
import { decodeServerMessage, encodeClientMessage } from "../../../src/reactive/client-wire/codec.ts";
import {
  type ClientMessage,
  type FailureCode,
  limits as protocolLimits,
  type ServerMessage,
} from "../../../src/reactive/client-wire/messages.ts";
import { GuardedStore } from "../../../src/reactive/frontend/access/guarded-store.ts";
import { Principals } from "../../../src/reactive/frontend/access/principals.ts";
import { Tables } from "../../../src/reactive/frontend/access/tables.ts";
import { Backend } from "../../../src/reactive/engines/builtin/backend.ts";
import { Conversation } from "../../../src/reactive/frontend/clients/conversation.ts";
import { Turns } from "../../../src/reactive/frontend/clients/turns.ts";
import { Watching } from "../../../src/reactive/frontend/watches/watching.ts";
import { OutcomeUnknownError, RefusedError, TooOldError } from "../../../src/reactive/failures.ts";

const TOKEN = "alice-0123456789abcdef";
const key = new TextEncoder().encode("k");
const hello: ClientMessage = { type: "hello", protocols: [1], client: 1, token: TOKEN, unackedMax: 1 };
const read = (request: number): ClientMessage => ({ type: "read", request, at: 5, keys: [key] });

/** A conversation whose shard answers nothing, or with an error. */
function conversation({ error, requestsMax = 10 }: { error?: Error; requestsMax?: number } = {}) {
  const timers: { delayMs: number; callback(): void; isCancelled: boolean }[] = [];
  const clock = {
    monotonicMs: () => 0,
    after(delayMs: number, callback: () => void) {
      const timer = { delayMs, callback, isCancelled: false };
      timers.push(timer);
      return { cancel: () => void (timer.isCancelled = true) };
    },
  } as unknown as Clock;
  const logged: string[] = [];
  const note = (text: string) => void logged.push(text);
  const log = { error: note, info: () => {}, warn: () => {} } as unknown as Log;
  const fail = () => (error === undefined ? new Promise<never>(() => {}) : Promise.reject(error));
  const backend = new Backend([{ command: fail, query: fail }], { next: () => Promise.resolve(9) }, clock);
  const said: ServerMessage[] = [];
  const ended: { code: FailureCode; text: string }[] = [];
  const watching = new Watching(backend, clock);
  const principals = new Principals(new Map([["alice", TOKEN]]));
  const client = new Conversation(
    {
      store: new GuardedStore(backend, new Tables([])),
      ...{ watching, principals, turns: new Turns(clock) },
      ...{ clock, log },
      limits: () => ({
        ...{ requestBytesMax: 1e6, outboxBytesMax: 1e6, requestsMax },
        ...{ watchesMax: 10, watchedKeysMax: 100 },
      }),
      figures: { welcomed: 0, denied: 0, revoked: 0, garbled: 0, failures: {} },
    },
    {
      ...{ remoteAddress: "", waitingBytes: 0 },
      send: (message) => void said.push(decodeServerMessage(message)),
      close: (code, text) => void ended.push({ code, text }),
    },
  );
  const say = (...messages: ClientMessage[]) => {
    for (const message of messages) client.receive(encodeClientMessage(message));
  };
  return { client, say, said, ended, timers, logged, watching, principals };
}

const codesOf = ({ ended }: { ended: { code: FailureCode }[] }) => ended.map(({ code }) => code);

test("a client says hello first, once, with a token that is known and a version that is spoken", () => {
  const [before, twice, nobody, old, long] = Array.from({ length: 5 }, () => conversation());
  before?.say(read(1));
  twice?.say(hello, hello);
  nobody?.say({ ...hello, token: "someone-0123456789abcdef" });
  old?.say({ ...hello, protocols: [0, 7] });
  long?.client.receive(new Uint8Array(protocolLimits.helloBytesMax + 1));
  expect([before, twice, nobody, old, long].map((each) => codesOf(each as never))).toEqual([
    ["protocol"],
    ["protocol"],
    ["denied"],
    ["protocol"],
    ["protocol"],
  ]);
  expect(twice?.said[0]).toMatchObject({ type: "welcome", principal: "alice", protocol: 1 });
});

test("of the versions of the protocol that a client speaks, the newest that is spoken here is taken", () => {
  const spoken = [[1], [2, 1], [1, 2, 9]].map((protocols) => {
    const each = conversation();
    each.say({ ...hello, protocols });
    return each.said[0];
  });
  expect(spoken).toMatchObject([{ protocol: 1 }, { protocol: 2 }, { protocol: 2 }]);
});

test("a client that says nothing is closed after a while, one that was welcomed is not", () => {
  const [silent, welcome] = [conversation(), conversation()];
  welcome.say(hello);
  const due = ({ timers }: typeof silent) =>
    timers.filter(({ delayMs, isCancelled }) => delayMs === 10_000 && !isCancelled);
  expect([due(silent).length, due(welcome).length]).toEqual([1, 0]);
  due(silent)[0]?.callback();
  expect(codesOf(silent)).toEqual(["protocol"]);
});

test.each([
  ["tooOld", new TooOldError(5, 8)],
  ["unknownOutcome", new OutcomeUnknownError("no answer")],
  ["unavailable", new RefusedError("no primary")],
] as const)("a failed request is called %s, and the connection stays", async (code, error) => {
  const { say, said, ended, logged } = conversation({ error });
  say(hello, read(7));
  await Bun.sleep(0);
  expect(said.slice(1)).toEqual([{ type: "failed", request: 7, code, text: error.message }]);
  expect([ended, logged]).toEqual([[], []]);
});

test("a defect tells nothing and is logged", async () => {
  const { say, said, logged } = conversation({ error: new Error("secret") });
  say(hello, read(7));
  await Bun.sleep(0);
  expect(said[1]).toMatchObject({ type: "failed", request: 7, code: "internal" });
  expect(JSON.stringify(said)).not.toContain("secret");
  expect(logged).toEqual(["a client's request failed"]);
});

test("requests over the limit are refused, those under way go on", async () => {
  const { say, said } = conversation({ requestsMax: 3 });
  say(hello, read(1), read(2), read(3), read(4), read(5), { type: "ping" });
  await Bun.sleep(0);
  expect(said.slice(1)).toMatchObject([
    { type: "failed", request: 4, code: "tooMany" },
    { type: "failed", request: 5, code: "tooMany" },
    { type: "pong" },
  ]);
});

test("a client whose token does not count any more is sent away with its watches; others stay", () => {
  const { client, say, said, ended, watching, principals } = conversation();
  const early = conversation();
  say(hello, {
    ...{ type: "watch", request: 1, watch: 1, at: 0, delayMs: 0 },
    ...{ keys: [key], prefixes: [] },
  });
  expect(watching.figures.watches).toBe(1);
  client.recheck();
  early.client.recheck();
  expect([ended, early.ended]).toEqual([[], []]);
  principals.replaceBy(new Principals(new Map([["alice", "another-0123456789abcdef"]])));
  client.recheck();
  say(read(2));
  expect(ended).toEqual([{ code: "denied", text: "the token of alice does not count any more" }]);
  expect(said.at(-1)).toMatchObject({ type: "failed", request: 0, code: "denied" });
  expect(watching.figures.watches).toBe(0);
});

test("a frontend that stops says where to go, and what is said behind the end is not heard", () => {
  const { client, say, said, ended, watching } = conversation();
  say(hello);
  client.dismiss();
  client.dismiss();
  say(read(1));
  client.receive(undefined);
  expect(ended.map(({ code }) => code)).toEqual(["stopping"]);
  expect(said.map(({ type }) => type)).toEqual(["welcome", "failed"]);
  expect(watching.figures.watches).toBe(0);
});
