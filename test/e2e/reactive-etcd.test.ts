/** Frontends whose store is in etcd, as an operator runs them: TLS, a user with rights on one prefix, and the client library. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createAuthority, issueCertificate } from "../../src/core/certificates.ts";
import { EtcdProcesses } from "./etcd-processes.ts";
import { until } from "./executable.ts";
import { plain, PlainClient } from "../reactive/plain-client.ts";
import { ReactiveLoad } from "./reactive-load.ts";
import { StoreProcesses } from "./store-processes.ts";

setDefaultTimeout(120_000);

const PASSWORD = "correct-horse-battery";
const PREFIX = "shop/";
const directory = mkdtempSync(join(tmpdir(), "node-x-etcd-tls-"));
let etcd: EtcdProcesses;
const path = (name: string) => join(directory, name);

/** An etcd that speaks TLS and knows one user, who may touch one prefix. */
beforeAll(async () => {
  const nowMs = Date.now();
  const authority = await createAuthority("etcd", 10, nowMs);
  const pair = await issueCertificate(authority, { name: "etcd", hosts: ["127.0.0.1"], days: 10, nowMs });
  const write = (name: string, text: string) => writeFileSync(path(name), text, { mode: 0o600 });
  write("ca.crt", authority.certificate);
  write("etcd.crt", pair.certificate);
  write("etcd.key", pair.key);
  write("password", `${PASSWORD}\n`);
  write("wrong-password", "not-the-password\n");
  const flags = ["--cert-file", path("etcd.crt"), "--key-file", path("etcd.key")];
  etcd = await EtcdProcesses.start({ scheme: "https", ca: authority.certificate, flags });
  const base64 = (text: string) => Buffer.from(text).toString("base64");
  for (const [method, body] of [
    ["user/add", { name: "root", password: "root-password" }],
    ["user/grant", { user: "root", role: "root" }],
    ["user/add", { name: "node-x", password: PASSWORD }],
    ["role/add", { name: "store" }],
    [
      "role/grant",
      { name: "store", perm: { permType: "READWRITE", key: base64(PREFIX), range_end: base64("shop0") } },
    ],
    ["user/grant", { user: "node-x", role: "store" }],
    ["enable", {}],
  ] as const) {
    const answer = await etcd.ask(`/auth/${method}`, body);
    expect({ method, error: answer["error"] }).toEqual({ method, error: undefined });
  }
});
afterAll(() => {
  etcd[Symbol.dispose]();
  rmSync(directory, { recursive: true, force: true });
});

const login = (file = "password") => ({
  prefix: PREFIX,
  user: "node-x",
  passwordFile: path(file),
  tls: { ca: path("ca.crt") },
});

const rootToken = () =>
  until("a token of root", async () => {
    const root = { name: "root", password: "root-password" };
    const { token } = await etcd.ask("/auth/authenticate", root).catch(() => ({ token: undefined }));
    return token as string | undefined;
  });

/** A changed password, although it is the same, ends the tokens that were given for it. */
async function endTokens(): Promise<void> {
  const change = { name: "node-x", password: PASSWORD };
  expect(await etcd.ask("/auth/user/changepw", change, 0, await rootToken())).toHaveProperty("header");
}

/** All that an instance tells: its command lines, its environment, its files, its figures. */
async function toldBy(store: StoreProcesses, name: string): Promise<string> {
  const logs = join(store.directory, name, "log");
  const files = readdirSync(logs).map((file) => readFileSync(join(logs, file), "utf8"));
  const { pid } = await store.stats(name);
  const process = ["cmdline", "environ"].map((file) => readFileSync(`/proc/${pid}/${file}`, "utf8"));
  return [...files, ...process, JSON.stringify(await store.stats(name))].join("\n");
}

test("a user's password opens the store over TLS, again when its token is no longer accepted, and is told to nobody", async () => {
  using store = await StoreProcesses.overEtcd(etcd.endpoints, 1, login());
  await store.startAll();
  expect(await store.ask(0, "keys/a", { method: "PUT", body: "1" })).toMatchObject({ status: 200 });
  await endTokens();
  expect(await store.ask(0, "keys/a", { method: "PUT", body: "2" })).toMatchObject({ status: 200 });
  expect((await store.ask(0, "keys/a")).body.value).toEqual({ type: "bytes", text: "2" });
  const told = (await store.stats("c.frontend0")).frontend.store;
  expect(told).toMatchObject({ engine: "etcd", transactionKeysMax: 126 });
  expect(told.logins).toBeGreaterThan(1);
  expect(await toldBy(store, "c.frontend0")).not.toContain(PASSWORD);
});

test("a watch is made again with a new token, when etcd was restarted and the old one is no longer accepted", async () => {
  using store = await StoreProcesses.overEtcd(etcd.endpoints, 1, login());
  await store.startAll();
  using client = await PlainClient.connect(store.frontendPorts[0] as number);
  await client.watch(1, ["watched"]);
  await until("the first run", () => client.runs[0]);
  await endTokens();
  await etcd.kill(0);
  etcd.run(0);
  await etcd.serving(0, await rootToken());
  await client.put({ watched: "1" });
  const seen = await until("the run behind it", () => client.runs[1]);
  expect(plain(seen.view.get("watched"))).toBe("1");
});

test.each([
  [
    "a wrong password",
    login("wrong-password"),
    'authentication failed, invalid user ID or password (user "node-x")',
  ],
  ["no user", { prefix: PREFIX, tls: { ca: path("ca.crt") } }, "configure engine.etcd.user and passwordFile"],
  ["a prefix without rights", { ...login(), prefix: "other/" }, "grant the user's role readwrite"],
  ["an authority that did not sign", { ...login(), tls: {} }, "certificate"],
])("%s: the frontend is not ready, and says why without the password", async (_what, config, reason) => {
  using store = await StoreProcesses.overEtcd(etcd.endpoints, 1, config);
  store.start("c.frontend0");
  const reasons = await until("a reason", async () => {
    const stats = await store.stats("c.frontend0").catch(() => undefined);
    const text: string = JSON.stringify(stats?.reasons ?? []);
    return /not answered yet"|starting|^\[\]$/.test(text) ? undefined : text;
  });
  expect(reasons).toContain(JSON.stringify(reason).slice(1, -1));
  expect(await toldBy(store, "c.frontend0")).not.toContain("not-the-password");
});

test("clients that write and watch over two frontends, of which one is killed: nothing is lost, no run is wrong", async () => {
  using store = await StoreProcesses.overEtcd(etcd.endpoints, 2, login());
  await store.startAll();
  await using load = new ReactiveLoad(store.frontends);
  await load.startWatchers(3);
  await load.startWriters(3);
  await load.more(20);
  await store.kill("c.frontend0");
  await load.more(20);
  expect(await load.finish()).toEqual([]);
});
