/** The public client and the terminal client at frontends that want to know who is there: tokens, rights of tables, TLS. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect, counter, RequestError, text } from "../../src/reactive/client.ts";
import { cli } from "../cli/helpers.ts";
import { LoneExecutable, until } from "./executable.ts";
import { StoreProcesses } from "./store-processes.ts";

setDefaultTimeout(120_000);

const ALICE = "alice-0123456789abcdef";
const BOB = "bob-0123456789abcdef";

const codeOf = (work: Promise<unknown>) =>
  work.then(
    () => "done",
    (error: unknown) => (error instanceof RequestError ? error.code : String(error)),
  );

test("tokens and rights: who may not is told so, at once, and everything else goes on", async () => {
  using store = await StoreProcesses.create({
    ...{ tss: 1, shards: 2, replicas: 1, frontends: 1 },
    frontendConfig: {
      clientTokensFile: "client.tokens",
      tables: [
        { prefix: "score:", type: "counter", read: ["*"], write: ["alice"] },
        { prefix: "diary:", read: ["bob"], write: ["bob"] },
      ],
    },
  });
  writeFileSync(join(store.directory, "client.tokens"), `alice ${ALICE}\nbob ${BOB}\n`, { mode: 0o600 });
  await store.startAll();
  const { frontends } = store;
  await using nobody = await connect({ frontends, token: "nobody-0123456789abcdef" });
  expect(await codeOf(nobody.connected())).toBe("denied");
  await using alice = await connect({ frontends, token: ALICE });
  await using bob = await connect({ frontends, token: BOB });
  const [score, diary] = [counter("score:a"), text("diary:today")];

  const seen: bigint[] = [];
  const refused: unknown[] = [];
  bob.executeReactive(async (transaction) => void seen.push(await score.value(transaction)));
  alice.executeReactive(async (transaction) => void (await diary.value(transaction)), {
    onError: (error) => refused.push(error),
  });
  await alice.execute((transaction) => score.add(transaction, 2));
  expect(await codeOf(bob.execute((transaction) => score.add(transaction, 2)))).toBe("forbidden");
  expect(await codeOf(alice.readOnly((transaction) => diary.value(transaction)))).toBe("forbidden");
  expect(await codeOf(alice.execute((transaction) => text("score:a").set(transaction, "x")))).toBe(
    "wrongType",
  );
  expect(await codeOf(alice.execute((transaction) => text("elsewhere").set(transaction, "x")))).toBe(
    "forbidden",
  );
  await bob.execute((transaction) => diary.set(transaction, "seen"));
  await until("the score", () => (seen.at(-1) === 2n ? true : undefined));
  await until("the refusal", () => (refused.length > 0 ? true : undefined));
  expect(refused[0]).toMatchObject({ code: "forbidden" });

  writeFileSync(join(store.directory, "bob.token"), `${BOB}\n`, { mode: 0o600 });
  const shell = (...words: string[]) =>
    cli(["reactive", "shell", "-c", "c.frontend0", ...words], { cwd: store.directory });
  expect(await shell("--token-file", "bob.token", "get", "diary:today")).toMatchObject({
    code: 0,
    stdout: "seen\n",
  });
  expect(await shell("get", "diary:today")).toMatchObject({ code: 69 });
});

test("lists under a prefix follow what is added, changed and removed, over all shards", async () => {
  using store = await StoreProcesses.create({ tss: 1, shards: 3, replicas: 1, frontends: 2 });
  await store.startAll();
  await using watcher = await connect({ frontends: store.frontends.slice(0, 1) });
  await using writer = await connect({ frontends: store.frontends.slice(1) });
  let seen = "none";
  watcher.executeReactive(async (transaction) => {
    seen = (await transaction.list("user:")).map(({ key }) => key.slice(5)).join();
  });
  const shows = (wanted: string) => until(`"${wanted}"`, () => (seen === wanted ? true : undefined));
  await shows("");
  const names = Array.from({ length: 12 }, (_, index) => String.fromCharCode(97 + index));
  for (const [index, name] of names.entries()) {
    await writer.execute((transaction) => text(`user:${name}`).set(transaction, name));
    await shows(names.slice(0, index + 1).join());
  }
  await writer.execute((transaction) => {
    for (const name of names.slice(1)) text(`user:${name}`).delete(transaction);
  });
  await shows("a");
});

test("TLS: the address says https, and --ca whom to trust", async () => {
  using directory = await LoneExecutable.copy();
  for (const words of [
    ["ca", "ours"],
    ["issue", "server", "ours", "--host=127.0.0.1"],
  ])
    expect((await directory.run(["tls", ...words])).code).toBe(0);
  const pair = (name: string) => join(directory.directory, "ours", name);
  using store = await StoreProcesses.create({
    ...{ tss: 1, shards: 1, replicas: 1, frontends: 1 },
    frontendConfig: { tls: { cert: pair("server.crt"), key: pair("server.key") } },
  });
  await store.startAll();
  const shell = (...words: string[]) =>
    cli(["reactive", "shell", "-c", "c.frontend0", ...words], { cwd: store.directory });
  expect(await shell("--ca", pair("ca.crt"), "put", "k", "secret")).toEqual({
    code: 0,
    stdout: "ok\n",
    stderr: "",
  });
  const untrusting = await shell("get", "k");
  expect(untrusting.code).toBe(69);
});
