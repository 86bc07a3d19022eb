/**
 * The compiled executable deploys itself to hosts behind real ssh servers, and keeps what it promises when
 * things break.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { ensureExecutable } from "../../../build.ts";
import { executable } from "../../e2e/node-process.ts";
import { Screen } from "../../screen.ts";
import { SshCluster, type StatusRow } from "./ssh-cluster.ts";

let cluster: SshCluster;
let first = "";

beforeAll(async () => {
  await ensureExecutable();
  // A name that no shell would like: none sees it.
  cluster = await SshCluster.start(2, { directoryName: "a 'b' $(touch x) `c` \"d\" " });
}, 120_000);

afterAll(() => cluster[Symbol.dispose]());

/**
 * The same program with other words in its help: what a change of one source line makes of it, as far as a
 * host can see.
 */
function otherProgram(): string {
  const bytes = readFileSync(executable);
  const words = Buffer.from("Check that this executable works on this host");
  for (let at = bytes.indexOf(words); at !== -1; at = bytes.indexOf(words, at + 1)) bytes.write("Prove", at);
  const path = join(cluster.directory, "other-node-x");
  writeFileSync(path, bytes, { mode: 0o755 });
  return path;
}

test("a plan for hosts that have nothing brings nothing there", async () => {
  const { code, stdout } = await cluster.run(["deploy", cluster.prefix, "--plan"]);
  expect(stdout).toContain("executable");
  expect(code).toBe(2);
  for (const directory of cluster.workingDirectories) expect(existsSync(directory)).toBe(false);
}, 120_000);

test("a first deploy brings the executable, starts the instances and waits until they are ready", async () => {
  const { code, stderr } = await cluster.run(["deploy", cluster.prefix, "-y"]);
  expect(stderr).toContain("sending the executable for the first time");
  expect(code).toBe(0);
  const running = cluster.running();
  first = running.dht0 as string;
  expect(running).toEqual({ dht0: first, dht1: first });
  expect(existsSync(join(cluster.directory, "x"))).toBe(false);
}, 120_000);

test("the same deploy again has nothing to do", async () => {
  const { code, stdout } = await cluster.run(["deploy", cluster.prefix, "--plan"]);
  expect({ code, stdout }).toEqual({ code: 0, stdout: "c: nothing to do\n" });
  // One connection for each host, shared by the commands of a minute.
  expect(readdirSync(join(cluster.directory, "s/node-x/s"))).toHaveLength(2);
}, 120_000);

test("a host that is down is named, and nothing is changed on the others", async () => {
  const [, second] = cluster.servers;
  second?.stop();
  cluster.settings.dht0 = { ...cluster.settings.dht0, limits: { connections: 77 } };
  await cluster.writeFiles();
  const { code, stderr } = await cluster.run(["deploy", cluster.prefix, "-y"]);
  expect(stderr).toContain("NX_HOST_UNREACHABLE");
  expect(stderr).toContain("h1");
  expect(code).toBe(69);
  expect(cluster.running()).toEqual({ dht0: first, dht1: first });
  await second?.run();
}, 120_000);

test("an instance that cannot start goes back to what it was, with its own words in the error", async () => {
  const taken: Server = createServer();
  const address = cluster.servers[1]?.address as string;
  const port = await new Promise<number>((resolve) => {
    taken.listen(0, address, () => resolve((taken.address() as { port: number }).port));
  });
  const before = cluster.settings.dht1;
  cluster.settings.dht1 = { ...before, respPort: port };
  await cluster.writeFiles();
  const { code, stderr } = await cluster.run(["deploy", cluster.prefix, "-y"]);
  taken.close();
  expect(stderr).toContain(`port ${address}:${port} is taken`);
  expect(code).not.toBe(0);
  const running = cluster.running();
  expect(running.dht1).toBe(first);
  expect(running.dht0).not.toBe(first); // it was replaced before, and is healthy
  cluster.settings.dht1 = before as Record<string, unknown>;
  await cluster.writeFiles();
}, 120_000);

test("another executable is rolled out, and a rollback brings the one before", async () => {
  const other = otherProgram();
  const upgraded = await cluster.run(["deploy", cluster.prefix, "-y", "--executable", other]);
  expect(upgraded.stderr + upgraded.stdout).not.toContain("error");
  expect(upgraded.code).toBe(0);
  const running = cluster.running();
  expect(running.dht0).toBe(running.dht1 as string);
  expect(running.dht0).not.toBe(first);
  const back = await cluster.run(["rollback", cluster.prefix, first, "-y"]);
  expect(back.stderr).not.toContain("error");
  expect(cluster.running()).toEqual({ dht0: first, dht1: first });
}, 120_000);

test("at a terminal each host has a line that changes in place, and what is over stays with its time", async () => {
  const { code, text } = await cluster.onTerminal(["restart", cluster.prefix]);
  expect(code).toBe(0);
  const screen = new Screen();
  const timeless = (line: string) => line.replace(/\s+\d+ (s|min)\b/, " TIME").trimEnd();
  const seen = new Set<string>();
  // As it is drawn: every picture that a person could see.
  for (const part of text.split(/(?<=\u001b\[J)/)) {
    screen.write(part);
    for (const line of screen.lines) seen.add(timeless(line));
  }
  for (const words of ["dht0 stopping", "dht0 starting", "dht0 healthy"])
    expect([...seen]).toContain(`  h0: TIME  c.${words}`);
  expect(screen.lines.map(timeless)).toEqual([
    "[1/2] restart dht TIME",
    "[2/2] restart dht TIME",
    "2 instances restarted",
  ]);
  const plain = await cluster.run(["restart", cluster.prefix, "--only", "dht0"]);
  expect(plain.stderr).toStartWith("[1/1] restart dht\nh0: c.dht0 stopping\nh0: c.dht0 starting\n");
  expect(plain.stderr).not.toContain("\u001b");
}, 120_000);

test("the audit logs of both ends fit each other; one that was cut short is found out", async () => {
  const good = await cluster.run(["audit", cluster.prefix, "--json"]);
  expect(good.code).toBe(0);
  const path = join(cluster.workingDirectories[0] as string, ".node-x/c/audit.jsonl");
  const lines = readFileSync(path, "utf8").trimEnd().split("\n");
  writeFileSync(path, `${lines.slice(0, -1).join("\n")}\n`);
  const bad = await cluster.run(["audit", cluster.prefix]);
  expect(bad.stderr).toContain("NX_AUDIT_BROKEN");
  writeFileSync(path, `${lines.join("\n")}\n`);
}, 120_000);

/** Puts an agent as protocol 1 had it in the place of the second host's. */
function putAgentOfBefore(): void {
  const agent = join(cluster.workingDirectories[1] as string, ".node-x/.bin/node-x");
  const script = join(import.meta.dir, "../agent/agent-of-before.ts");
  const words = `#!/bin/sh\nexec "${process.execPath}" "${script}"\n`;
  writeFileSync(`${agent}.before`, words, { mode: 0o755 });
  renameSync(`${agent}.before`, agent);
}

test("status, logs and plans get through to an agent of an earlier protocol; what changes a host says what helps", async () => {
  putAgentOfBefore();
  const status = await cluster.run(["status", cluster.prefix, "--json"]);
  const rows = JSON.parse(status.stdout) as StatusRow[];
  expect(rows.map(({ instance, isReady }) => [instance, isReady])).toEqual([
    ["c.dht0", true],
    ["c.dht1", true],
  ]);
  expect((await cluster.run(["logs", cluster.prefix, "--only", "dht1"])).stdout).toContain("c.dht1 |");
  const plan = await cluster.run(["deploy", cluster.prefix, "--plan", "--only", "dht1"]);
  expect(plan.stdout, plan.stderr).toBe("c: nothing to do\n");
  const { code, stderr } = await cluster.run(["restart", cluster.prefix]);
  expect(stderr).toContain("h1: its agent, of version of-before, speaks protocol 1, and this node-x 2");
  expect(stderr).toContain(
    "`node-x deploy` brings the agent up to date; status, logs and kill work as it is",
  );
  expect([code, Object.keys(cluster.running()).toSorted()]).toEqual([70, ["dht0", "dht1"]]);
}, 120_000);

test("kill ends what runs, at once and everywhere, also by an agent of an earlier protocol", async () => {
  const { code, stdout } = await cluster.run(["kill", cluster.prefix]);
  expect({ code, stdout }).toEqual({ code: 0, stdout: "killed c.dht0 c.dht1\n" });
  expect(cluster.running()).toEqual({});
}, 120_000);
