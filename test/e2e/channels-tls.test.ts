/**
 * TLS between the programs of the channels family: the client library, the mirror link, dhtdump and a redistribution, with
 * certificates of `node-x tls`.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DhtClient, neo, type NodeAddress, readOwnCredential } from "../../src/channels/client.ts";
import { realWorld } from "../../src/core/seams/world-real.ts";
import { until } from "./executable.ts";
import { NodeDirectory, type NodeProcess } from "./node-process.ts";

const world = realWorld();
const directories: NodeDirectory[] = [];
const directory = (role = "dht") => {
  const made = new NodeDirectory(role);
  directories.push(made);
  return made;
};

const shared = directory();
const file = (name: string) => join(shared.path, name);
const ca = (authority = "ours") => readFileSync(file(`${authority}/ca.crt`), "utf8");
const own = () => ({
  cert: readFileSync(file("ours/server.crt"), "utf8"),
  key: readFileSync(file("ours/server.key"), "utf8"),
});

const settings = () => ({
  neoPort: 0,
  tls: { cert: file("ours/server.crt"), key: file("ours/server.key"), clientCa: file("ours/ca.crt") },
  neo: { credentialsFile: file("credentials") },
  nodesCa: file("ours/ca.crt"),
  log: { console: "off" },
});

async function verb(...words: string[]): Promise<void> {
  const { code, stderr } = await shared.runToEnd(words);
  expect({ words, code, stderr: code === 0 ? "" : stderr }).toEqual({ words, code: 0, stderr: "" });
}

beforeAll(async () => {
  await verb("tls", "ca", "ours");
  await verb("tls", "issue", "server", "ours", "--host=127.0.0.1");
  await verb("tls", "ca", "foreign");
  writeFileSync(file("credentials"), `admin:${"5a".repeat(128)}\n`, { mode: 0o600 });
}, 120_000);

afterAll(() => directories.forEach((each) => each[Symbol.dispose]()));

const address = (node: NodeProcess, name: string): NodeAddress => ({
  host: "127.0.0.1",
  port: node.ports[name] as number,
});

const connect = (nodes: NodeAddress[], tls: NodeAddress["tls"]) =>
  DhtClient.connect(world, { nodes, timeoutMs: 10_000, ...(tls !== undefined && { tls }) });

test("the client library calls nodes with TLS, over either protocol, and refuses a node of another authority", async () => {
  const node = await directory().start(settings());
  const tls = { ca: ca(), ...own() };
  const client = await connect([address(node, "port")], tls);
  await client.put("ch", 1n, "over TLS");
  const options = {
    ...neo(world, readOwnCredential(file("credentials"))),
    nodes: [address(node, "neoPort")],
    tls,
  };
  const other = await DhtClient.connect(world, { ...options, timeoutMs: 10_000 });
  expect(String(await other.get("ch", 1n))).toBe("over TLS");
  client.close();
  other.close();
  const refused = { code: "NX_CONNECT_FAILED" };
  const nodes = [address(node, "port")];
  const impatient = { nodes, timeoutMs: 500, attemptTimeoutMs: 200 };
  for (const wrong of [{ ca: ca("foreign"), ...own() }, { ca: ca() }])
    await expect(DhtClient.connect(world, { ...impatient, tls: wrong })).rejects.toMatchObject(refused);
}, 120_000);

test("a mirror follows over TLS, and one that trusts another authority does not", async () => {
  const node = await directory().start({ ...settings(), durability: "log", mirror: { port: 0 } });
  const client = await connect([address(node, "port")], { ca: ca(), ...own() });
  await client.put("ch", 1n, "mirrored");
  client.close();
  const mirror = { of: `127.0.0.1:${node.ports["mirror.port"]}`, credentialsFile: file("credentials") };
  const follower = directory();
  await follower.start({ ...settings(), durability: "log", mirror });
  expect(follower.rootLog()).toContain("the mirror has all records");
  const distrustful = directory();
  const foreign = { ...settings(), nodesCa: file("foreign/ca.crt"), durability: "log", mirror };
  await distrustful.start(foreign, { isReady: false });
  await until("a reason", () => (distrustful.rootLog().includes("not following") ? true : undefined));
  expect(distrustful.rootLog()).not.toContain("the mirror has all records");
}, 120_000);

test("dhtdump reads, and records move, over TLS", async () => {
  const first = await directory().start(settings());
  const second = await directory().start({
    ...settings(),
    hashRange: { min: "f".repeat(16), max: "0".repeat(16) },
  });
  const nodes = [address(first, "port"), address(second, "port")];
  const client = await connect(nodes, { ca: ca(), ...own() });
  const keys = Array.from({ length: 50 }, (_, index) => BigInt(index));
  await client.putMany(
    "ch",
    keys.map((key) => ({ key, value: `value ${key}` })),
  );

  const dumper = directory("dhtdump");
  mkdirSync(file("dumps"));
  const { tls, nodesCa, log } = settings();
  const dump = { node: { ...nodes[0] }, dumpDir: file("dumps"), isOneshot: true, tls, nodesCa, log };
  writeFileSync(dumper.configFile, JSON.stringify({ dataDir: dumper.dataDir, ...dump }));
  expect((await dumper.runToEnd()).code).toBe(0);
  expect(readFileSync(file("dumps/ch.tcm")).toString("latin1")).toContain("value 49");

  writeFileSync(file("nodes"), nodes.map(({ host, port }) => `${host}:${port}\n`).join(""));
  const pem = ["--cert", file("ours/server.crt"), "--key", file("ours/server.key")];
  await verb("channels", "redistribute", "--nodes", file("nodes"), "--ca", file("ours/ca.crt"), ...pem);
  expect((await second.stats()).dht.records).toBe(25);
  expect((await client.getMany("ch", keys)).map(String)).toEqual(keys.map((key) => `value ${key}`));
  client.close();
}, 120_000);
