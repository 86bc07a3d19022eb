/** Who may do what at a frontend, over every way in; clients that do not behave. Real processes. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { seededRandom } from "../../src/core/seams/random.ts";
import { realWorld } from "../../src/core/seams/world-real.ts";
import { decodeServerMessage, encodeClientMessage } from "../../src/reactive/client-wire/codec.ts";
import { CONNECT_PATH, type ServerMessage } from "../../src/reactive/client-wire/messages.ts";
import { Level } from "../../src/reactive/shard/transaction.ts";
import { Dialer } from "../../src/reactive/wire/dialer.ts";
import { FrameType } from "../../src/reactive/wire/frame.ts";
import { bytesOf, FailedError, plain, PlainClient } from "../reactive/plain-client.ts";
import { LoneExecutable, until } from "./executable.ts";
import { stalledClient } from "./stalled-client.ts";
import { StoreProcesses } from "./store-processes.ts";

setDefaultTimeout(120_000);

const ALICE = "alice-0123456789abcdef";
const BOB = "bob-0123456789abcdef";
const CAROL = "carol-0123456789abcdef";

async function guardedStore(): Promise<StoreProcesses> {
  const store = await StoreProcesses.create({
    tss: 1,
    shards: 2,
    replicas: 1,
    frontends: 1,
    frontendConfig: {
      clientTokensFile: "client.tokens",
      tables: [
        { prefix: "open:" },
        { prefix: "score:", type: "counter", level: "strict", read: ["*"], write: ["alice"] },
        { prefix: "diary:", read: ["bob"], write: ["bob"] },
        { prefix: "snap:", level: "snapshot" },
      ],
    },
  });
  const file = join(store.directory, "client.tokens");
  writeFileSync(file, `# who may connect\nalice ${ALICE}\nbob   ${BOB}\n`, { mode: 0o600 });
  await store.startAll();
  return store;
}

const failsWith = async (code: string, work: Promise<unknown>) => {
  const error = await work.then(
    () => undefined,
    (reason) => reason as FailedError,
  );
  expect(error).toBeInstanceOf(FailedError);
  expect(error?.code).toBe(code as never);
};

const textPut = { kind: "put", value: { type: "bytes", bytes: bytesOf("x") } } as const;

test("tokens name principals; tables say who reads and writes, at which level, values of which type", async () => {
  using store = await guardedStore();
  const port = store.frontendPorts[0] as number;
  await failsWith("denied", PlainClient.connect(port));
  await failsWith("denied", PlainClient.connect(port, { token: "nobody-0123456789abcdef" }));
  using alice = await PlainClient.connect(port, { token: ALICE });
  using bob = await PlainClient.connect(port, { token: BOB });
  expect(alice.welcome?.principal).toBe("alice");
  expect(alice.welcome?.tables.map(({ mayRead, mayWrite }) => [mayRead, mayWrite])).toEqual([
    [true, true],
    [true, true],
    [false, false],
    [true, true],
  ]);

  expect(await alice.commit([["score:a", { kind: "add", amount: 2n }]])).toMatchObject({ kind: "committed" });
  await failsWith("forbidden", bob.commit([["score:a", { kind: "add", amount: 2n }]]));
  expect((await bob.read(["score:a"])).values).toEqual([2]);
  await failsWith("forbidden", alice.read(["diary:1"]));
  await failsWith("forbidden", alice.watch(1, ["open:1", "diary:1"]));
  await failsWith("forbidden", alice.watch(1, [], { prefixes: ["diary:"] }));
  await failsWith(
    "forbidden",
    alice.ask({ type: "scan", at: 0, prefix: bytesOf(""), after: bytesOf(""), countMax: 10 }, "scanned"),
  );
  await failsWith("forbidden", alice.put({ "elsewhere:1": "x" }));
  await failsWith("wrongType", alice.commit([["score:a", textPut]]));
  await failsWith(
    "wrongLevel",
    alice.commit([["score:a", { kind: "add", amount: 1n }]], { level: Level.readCommitted }),
  );
  // Over two tables the strictest level counts; a snapshot table takes a snapshot of its own for blind writes.
  expect(
    await alice.commit([
      ["snap:a", textPut],
      ["open:a", textPut],
    ]),
  ).toMatchObject({ kind: "committed" });
  expect(await alice.commit([["snap:a", textPut]])).toMatchObject({ kind: "committed" });

  const ask = (path: string, token: string, init: RequestInit = {}) =>
    store.ask(0, path, { ...init, headers: { authorization: `Bearer ${token}` } });
  expect((await store.ask(0, "keys/score:a")).status).toBe(401);
  expect((await ask("keys/score:a", BOB)).body.value).toEqual({ type: "counter", count: 2 });
  expect((await ask("keys/score:a", BOB, { method: "DELETE" })).status).toBe(403);
  expect((await ask("keys/score:a", ALICE, { method: "PUT", body: "x" })).status).toBe(400);
  expect((await ask("scan?prefix=diary:", ALICE)).status).toBe(403);
  expect((await ask("scan?prefix=score:&after=diary:", ALICE)).body.values).toHaveLength(1);
  // A token is changed by writing the file and a signal; who is in with one that is gone is sent away, from his watches too.
  await bob.watch(1, ["score:a"]);
  await alice.watch(1, ["score:a"]);
  const watchPath = `http://127.0.0.1:${port}/v1/watch?key=score:a`;
  const bobsStream = await fetch(watchPath, { headers: { authorization: `Bearer ${BOB}` } });
  writeFileSync(join(store.directory, "client.tokens"), `alice ${ALICE}\ncarol ${CAROL}\n`);
  store.signal("c.frontend0", "SIGHUP");
  await until("carol to be let in", () =>
    PlainClient.connect(port, { token: CAROL }).then(
      (client) => (client.terminate(), true),
      () => undefined,
    ),
  );
  await failsWith("denied", PlainClient.connect(port, { token: BOB }));
  expect(await bob.ended).toMatchObject({
    failure: { code: "denied", message: "denied: the token of bob does not count any more" },
    code: 4001,
  });
  expect(await bobsStream.text()).toEndWith(
    'event: denied\ndata: {"error":"the token does not count any more"}\n\n',
  );
  expect((await store.stats("c.frontend0")).frontend).toMatchObject({
    clients: { revoked: 1, streams: 0 },
    watches: { watches: 1 },
  });
  const seen = alice.runs.length;
  await alice.commit([["score:a", { kind: "add", amount: 1n }]]);
  await until("alice's run", () => alice.runs[seen]);
  const log = store.rootLog("c.frontend0");
  expect([CAROL, ALICE, BOB, "nobody-0123456789abcdef"].filter((token) => log.includes(token))).toEqual([]);
});

test("with TLS the WebSocket is encrypted, and a plain one is not answered", async () => {
  using directory = await LoneExecutable.copy();
  for (const words of [
    ["ca", "ours"],
    ["issue", "server", "ours", "--host=127.0.0.1"],
  ])
    expect((await directory.run(["tls", ...words])).code).toBe(0);
  const pair = (name: string) => join(directory.directory, "ours", `server.${name}`);
  using store = await StoreProcesses.create({
    tss: 1,
    shards: 1,
    replicas: 1,
    frontends: 1,
    frontendConfig: { tls: { cert: pair("crt"), key: pair("key") } },
  });
  await store.startAll();
  const port = store.frontendPorts[0] as number;
  using client = await PlainClient.connect(port, { isTls: true });
  await client.watch(1, ["k"]);
  const at = await client.put({ k: "secret" });
  await until("the run", () => client.runs.find((run) => run.at >= at));
  expect(
    await PlainClient.connect(port).then(
      () => "in",
      () => "out",
    ),
  ).toBe("out");
});

test("framed TCP speaks the same protocol, with checksums", async () => {
  using store = await StoreProcesses.create({
    tss: 1,
    shards: 1,
    replicas: 1,
    frontends: 1,
    frontendConfig: { port: 0 },
  });
  await store.startAll();
  const { ports } = await store.stats("c.frontend0");
  const heard: ServerMessage[] = [];
  const say = (message: Parameters<typeof encodeClientMessage>[0]) =>
    dialer.send(FrameType.message, (writer) => writer.raw(encodeClientMessage(message)));
  const dialer = new Dialer({
    world: realWorld(),
    host: "127.0.0.1",
    port: ports.port,
    hello: { peer: undefined, group: "frontend", token: "" },
    outboxBytesMax: 1 << 20,
    payloadBytesMax: 1 << 20,
    onWelcome: () => say({ type: "hello", protocols: [1], client: 5, token: "", unackedMax: 1 }),
    onFrame: (_type, payload) => void heard.push(decodeServerMessage(payload)),
    onLost: () => {},
  });
  try {
    await until("a welcome", () => heard.find(({ type }) => type === "welcome"));
    say({ type: "watch", request: 1, watch: 9, at: 0, delayMs: 0, keys: [bytesOf("k")], prefixes: [] });
    await until("the first run", () => heard.find(({ type }) => type === "runs"));
    await store.ask(0, "keys/k", { method: "PUT", body: "v" });
    expect(heard.filter(({ type }) => type === "runs")).toHaveLength(1);
    const [first] = heard.filter((message) => message.type === "runs");
    say({ type: "ack", at: first?.at ?? 0 });
    await until("the second run", () => heard.filter(({ type }) => type === "runs")[1]);
  } finally {
    dialer.stop();
  }
});

test("S23: text, garbage, a foreign version, a long hello, a page of another origin: refused, and nobody else notices", async () => {
  using store = await StoreProcesses.create({
    tss: 1,
    shards: 1,
    replicas: 1,
    frontends: 1,
    frontendConfig: {
      limits: { requestBytesMax: 100_000, requestsMax: 50, watchesMax: 2, watchedKeysMax: 5 },
    },
  });
  await store.startAll();
  const port = store.frontendPorts[0] as number;
  using witness = await PlainClient.connect(port);
  await witness.watch(1, ["k"]);
  for (const raw of ["text", new Uint8Array([200, 1, 2]), new Uint8Array([3, 0]), new Uint8Array(0)]) {
    const client = await PlainClient.connect(port);
    client.sendRaw(raw);
    expect((await client.ended).failure?.code).toBe("protocol");
  }
  // Before its hello a client may not even be long.
  const raw = new WebSocket(`ws://127.0.0.1:${port}${CONNECT_PATH}`);
  const closed = new Promise<number>((resolve) => raw.addEventListener("close", ({ code }) => resolve(code)));
  raw.addEventListener("open", () => raw.send(new Uint8Array(20_000)));
  expect(await closed).toBe(4000);
  const long = await PlainClient.connect(port);
  long.sendRaw(new Uint8Array(200_000));
  expect((await long.ended).code).toBe(1009);

  // Messages with flipped bytes: an answer, a refusal or the end of that connection, and no defect of ours.
  const random = seededRandom(23);
  const valid = [
    encodeClientMessage({ type: "read", request: 1, at: 0, keys: [bytesOf("k"), bytesOf("l")] }),
    encodeClientMessage({
      type: "watch",
      ...{ request: 2, watch: 1, at: 0, delayMs: 10 },
      ...{ keys: [bytesOf("k")], prefixes: [bytesOf("p")] },
    }),
    encodeClientMessage({
      type: "scan",
      request: 3,
      at: 0,
      prefix: bytesOf("k"),
      after: bytesOf(""),
      countMax: 5,
    }),
    encodeClientMessage({ type: "resolve", request: 4, id: { client: 1, number: 1 }, keys: [bytesOf("k")] }),
    encodeClientMessage({ type: "ack", at: 5 }),
  ];
  const flipping = Array.from({ length: 60 }, async () => {
    const client = await PlainClient.connect(port);
    for (let turn = 0; turn < 5; turn++) {
      const message = (valid[random.integer(valid.length)] as Uint8Array).slice();
      message[random.integer(message.byteLength)] = random.integer(256);
      client.sendRaw(message);
    }
    await Promise.race([client.ended, Bun.sleep(100)]);
    client.terminate();
  });
  await Promise.all(flipping);
  expect(store.rootLog("c.frontend0")).not.toContain("failed");

  const origin = (value: string) => PlainClient.connect(port, { headers: { origin: value } });
  expect(
    await origin("https://evil.example").then(
      () => "in",
      () => "out",
    ),
  ).toBe("out");
  (await origin(`http://127.0.0.1:${port}`)).terminate();

  using greedy = await PlainClient.connect(port);
  await failsWith("tooMany", greedy.watch(1, ["1", "2", "3", "4", "5", "6"]));
  await greedy.watch(1, ["1"]);
  await greedy.watch(2, ["2"]);
  await failsWith("tooMany", greedy.watch(3, ["3"]));
  await failsWith("protocol", greedy.watch(1, ["1"], { at: 2 ** 50 }));
  const many = await Promise.allSettled(Array.from({ length: 80 }, () => greedy.read(["k"])));
  expect(many.filter(({ status }) => status === "rejected").length).toBeGreaterThan(0);
  expect(many.filter(({ status }) => status === "fulfilled").length).toBeGreaterThanOrEqual(50);

  const at = await witness.put({ k: "still here" });
  const run = await until("the witness's run", () => witness.runs.find((seen) => seen.at >= at));
  expect(plain(run.view.get("k"))).toBe("still here");
});

test("S16: a client that reads nothing is cut off with a line in the log; the others' runs do not wait for it", async () => {
  using store = await StoreProcesses.create({
    tss: 1,
    shards: 1,
    replicas: 1,
    frontends: 1,
    frontendConfig: { limits: { outboxBytesMax: 1 << 20 } },
  });
  await store.startAll();
  const port = store.frontendPorts[0] as number;
  using writer = await PlainClient.connect(port);
  await writer.put({ large: "x".repeat(500_000), hot: "0" });
  using healthy = await PlainClient.connect(port);
  await healthy.watch(1, ["hot"]);
  // Says hello, asks for much, and never reads.
  const keys = [bytesOf("large")];
  const stalled = await stalledClient(
    port,
    Array.from({ length: 60 }, (_, index) => ({ type: "read", request: index + 1, at: 0, keys })),
  );
  // One who reads, but asks for more at once than may wait.
  await writer.put({ large1: "x".repeat(500_000), large2: "x".repeat(500_000) });
  await failsWith("tooLarge", writer.read(["large", "large1", "large2"]));
  const latenciesMs: number[] = [];
  for (let number = 1; number <= 50; number++) {
    const sentMs = performance.now();
    await writer.put({ hot: String(number) });
    const run = await until("the healthy client's run", () =>
      healthy.runs.find(({ view }) => plain(view.get("hot")) === String(number)),
    );
    latenciesMs.push(run.arrivedMs - sentMs);
  }
  await until(
    "the stalled client to be cut",
    async () => (await store.stats("c.frontend0")).frontend.clients.webSockets === 2 || undefined,
  );
  expect(store.rootLog("c.frontend0")).toContain("does not read what it is sent and is closed");
  expect(latenciesMs.sort((a, b) => a - b)[25]).toBeLessThan(5000);
  stalled.destroy();
});

test("a frontend that is asked to end sends its clients to another one", async () => {
  using store = await StoreProcesses.create({ tss: 1, shards: 1, replicas: 1, frontends: 1 });
  await store.startAll();
  using client = await PlainClient.connect(store.frontendPorts[0] as number);
  await client.watch(1, ["k"]);
  const code = store.terminate("c.frontend0");
  expect(await client.ended).toMatchObject({ failure: { code: "stopping" }, code: 4011 });
  expect(await code).toBe(0);
});
