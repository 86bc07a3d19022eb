/** Starting and stopping the executable: configuration errors, a taken port, reloads, orderly and forced stops. */
import { expect, test } from "bun:test";
import { chmodSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { replyText } from "./client.ts";
import { until } from "./executable.ts";
import { runKill9 } from "./kill9.ts";
import { NodeDirectory, type NodeProcess } from "./node-process.ts";

const QUIET = { log: { console: "off" } };

test("configuration errors end with 78, all at once, each with its place", async () => {
  using directory = new NodeDirectory();
  writeFileSync(
    directory.configFile,
    '{\n  "respPort": 70000,\n  "durabilty": "log",\n  "limits": { "connections": "many" }\n}\n',
  );
  const { code, stderr } = await directory.runToEnd(["run", "dht", "--config", "dht.json"]);
  expect(code).toBe(78);
  expect(stderr).toStartWith("error: 3 mistakes\n");
  expect(stderr).toContain("dht.json:2:15: respPort: wanted an integer from 0 to 65535 or null, got 70000");
  expect(stderr).toContain(
    'dht.json:3:3: durabilty: wanted a known key, got "durabilty" (did you mean "durability"?)',
  );
  expect(stderr).toMatch(/dht\.json:4:\d+: limits\.connections: wanted an integer .*, got "many"/);
  expect(stderr).toContain("code: NX_CONFIG_INVALID");
});

test("a file that is no JSON ends with 78 and names the place", async () => {
  using directory = new NodeDirectory();
  writeFileSync(directory.configFile, '{ "respPort": 0,\n  "dataDir" "x" }');
  const { code, stderr } = await directory.runToEnd();
  expect(code).toBe(78);
  expect(stderr).toContain("dht.json:2:13: ");
});

test("a taken port ends with 69 and a sentence that names it", async () => {
  using first = new NodeDirectory();
  const node = await first.start(QUIET);
  using second = new NodeDirectory();
  second.configure({ ...QUIET, respPort: node.port });
  const { code, stderr } = await second.runToEnd();
  expect({ code, stderr }).toEqual({
    code: 69,
    stderr: expect.stringContaining(`error: port 127.0.0.1:${node.port} is taken`),
  });
  expect(stderr).toContain("code: NX_LISTEN_IN_USE");
});

async function command(node: NodeProcess, ...words: string[]): Promise<string> {
  await using client = await node.connect();
  return replyText(await client.command(...words));
}

/** Sends SIGHUP and waits for the line that it leads to. */
async function reload(directory: NodeDirectory, node: NodeProcess, line: RegExp): Promise<void> {
  const before = directory.rootLog().length;
  node.signal("SIGHUP");
  await until(`${line} in root.log`, () => line.test(directory.rootLog().slice(before)) || undefined);
}

test("SIGHUP changes the password and the limits; a change that needs a restart is refused whole, with the difference", async () => {
  using directory = new NodeDirectory();
  const passwordFile = join(directory.path, "password");
  writeFileSync(passwordFile, "first-pass\n", { mode: 0o600 });
  const node = await directory.start({ ...QUIET, passwordFile });
  expect(await command(node, "GET", "k")).toStartWith("-NOAUTH ");
  expect(await command(node, "AUTH", "wrong")).toStartWith("-WRONGPASS ");
  await using client = await node.connect();
  expect(replyText(await client.command("AUTH", "first-pass"))).toBe("+OK");
  expect(replyText(await client.command("INFO", "server"))).toContain(`tcp_port:${node.port}`);
  expect(replyText(await client.command("SET", "k", "v"))).toBe("+OK");

  writeFileSync(passwordFile, "second-pass\n");
  directory.configure({ ...QUIET, passwordFile, limits: { connections: 2, valueBytesMax: 10 } });
  await reload(directory, node, /applied limits\.connections: 5000 -> 2 /);
  expect(await command(node, "AUTH", "first-pass")).toStartWith("-WRONGPASS ");
  expect(await command(node, "AUTH", "second-pass")).toBe("+OK");
  // Who was in stays in.
  expect(replyText(await client.command("SET", "k", "0123456789"))).toBe("+OK");
  await using other = await node.connect();
  expect(replyText(await other.command("AUTH", "second-pass"))).toBe("+OK");
  expect(await command(node, "PING")).toBe("-ERR max number of clients reached");

  writeFileSync(passwordFile, "third-pass\n");
  directory.configure({ ...QUIET, passwordFile, durability: "memory", limits: { connections: 50 } });
  await reload(directory, node, /reload refused, nothing was applied: durability: "log" -> "memory" /);
  expect(await command(node, "PING")).toBe("-ERR max number of clients reached");
  expect(replyText(await other.command("AUTH", "third-pass"))).toStartWith("-WRONGPASS ");
  expect(replyText(await other.command("AUTH", "second-pass"))).toBe("+OK");

  // A password file that others can read is refused, and the old password stays.
  chmodSync(passwordFile, 0o644);
  directory.configure({ ...QUIET, passwordFile, limits: { connections: 50 } });
  await reload(directory, node, /reload refused, nothing was applied: /);
  expect(await command(node, "PING")).toBe("-ERR max number of clients reached");
  expect(directory.rootLog()).not.toContain("-pass");
}, 120_000);

test("more connections than open files allow are refused; the log still finds its next file", async () => {
  using directory = new NodeDirectory();
  // Two hundred files are room for eight connections beside what the node keeps for itself.
  directory.wrapper = ["prlimit", "--nofile=200:200"];
  const node = await directory.start(QUIET);
  expect(directory.rootLog()).toContain(
    "only 8 connections are served: the limit on open files allows no more configured=5000",
  );
  await using client = await node.connect();
  const others = await Promise.all(Array.from({ length: 300 }, () => node.connect()));
  await until("most to be refused", async () => (await node.stats()).dht.refused >= 293 || undefined);
  // Enough for several segments.
  const value = "x".repeat(50_000);
  for (let record = 0; record < 200; record++)
    expect(replyText(await client.command("SET", `k${record}`, value))).toBe("+OK");
  expect((await node.readiness()).status).toBe(200);
  for (const other of others) await other[Symbol.asyncDispose]();
}, 120_000);

test("whoever takes all files by connecting to the admin port ends neither the process nor the log", async () => {
  using directory = new NodeDirectory();
  directory.wrapper = ["prlimit", "--nofile=200:200"];
  const node = await directory.start({ ...QUIET, adminPort: 0 });
  await using client = await node.connect();
  const { adminPort } = JSON.parse(readFileSync(directory.inData("ports.json"), "utf8"));
  const openFiles = () => readdirSync(`/proc/${node.pid}/fd`).length;
  const sockets = Array.from({ length: 300 }, () => {
    const socket = connect(adminPort, "127.0.0.1", () => socket.write("GET /stats HT"));
    return socket.on("error", () => {});
  });
  await until("all files to be taken", () => openFiles() >= 200 || undefined);
  // Enough for several segments. The figures of the process are asked for meanwhile, once a second.
  const value = "x".repeat(50_000);
  for (let record = 0; record < 200; record++)
    expect(replyText(await client.command("SET", `k${record}`, value))).toBe("+OK");
  for (const socket of sockets) socket.destroy();
  expect((await until("the node to answer", () => node.readiness().catch(() => undefined))).status).toBe(200);
  expect(directory.rootLog()).not.toContain("Fatal");
}, 120_000);

test("SIGTERM under load ends with 0 and loses nothing that was acknowledged", async () => {
  const { violations, acknowledged } = await runKill9({ rounds: 3, seed: 5, signal: "SIGTERM" });
  expect(violations).toEqual([]);
  expect(acknowledged).toBeGreaterThan(100);
}, 120_000);

test("a second signal ends a shutdown that is under way", async () => {
  using directory = new NodeDirectory();
  const node = await directory.start(QUIET);
  // Both signals wait while the process stands still, so that the second comes before the shutdown is done.
  node.signal("SIGSTOP");
  node.signal("SIGTERM");
  node.signal("SIGINT");
  expect(await node.end("SIGCONT")).toBe(1);
  expect(directory.rootLog()).toMatch(/SIG(INT|TERM) again: ended without waiting for the shutdown/);
}, 120_000);
