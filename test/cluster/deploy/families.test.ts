/**
 * Every family's real roles in one prefix on two hosts behind ssh servers: deployed in start order, upgraded and rolled back role by role,
 * and what they were given is still there.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { RedisClient } from "bun";
import { ensureExecutable } from "../../../build.ts";
import { executable } from "../../e2e/node-process.ts";
import { SshHosts } from "./ssh-hosts.ts";

let hosts: SshHosts;

beforeAll(async () => {
  await ensureExecutable();
  hosts = await SshHosts.start("f", [1, 2]);
  const [one, two] = [hosts.addressOf(1), hosts.addressOf(2)];
  hosts.write("archive0", { host: one });
  hosts.write("proxy0", { host: two });
  const volumes = [{ name: "v", size: "8M", logSize: "8M" }];
  hosts.write("storage0", { host: two, archive: `${one}:13020`, proxies: [`${two}:13010`], volumes });
  hosts.write("regserver0", { host: one, debug: true, epochSeconds: 300 });
  hosts.write("lookup0", { host: two, regServer: `http://${one}:8443`, epochSeconds: 300 });
  hosts.write("queue0", { host: one });
  hosts.write("logfiles0", { host: two });
  hosts.write("replica0", { host: one });
  hosts.write("worker0", {
    ...{ host: two, app: "word-count", checkpointMs: 200, replicas: [`${one}:9999`] },
    ...{ sources: [`Lines=tcp://${two}:7000`], sinks: ["counts=file:counts.out"] },
  });
  hosts.write("hub0", { host: one });
}, 300_000);

afterAll(() => hosts[Symbol.asyncDispose](), 60_000);

/** The roles of the stages, in order. */
function rolesOf(stderr: string): string[] {
  return [...stderr.matchAll(/^\[\d+\/\d+\] (?:replace|restart|start|stop) (\S+)$/gm)].map(
    (match) => match[1] as string,
  );
}

interface Row {
  instance: string;
  isReady: boolean;
  release: string;
  pid: number;
}

async function rows(): Promise<Row[]> {
  return JSON.parse((await hosts.nodeX("status", hosts.prefix, "--json")).stdout) as Row[];
}

const releases = async () => [...new Set((await rows()).map(({ release }) => release))];
const order = ["archive", "proxy", "storage", "regserver", "lookup", "replica", "worker"];
const inOrder = (roles: readonly string[]) => roles.filter((role) => order.includes(role));

test("all roles are deployed, the servers of each family before those that need them", async () => {
  const { stderr } = await hosts.nodeX("deploy", hosts.prefix, "-y");
  expect(inOrder(rolesOf(stderr))).toEqual(order);
  expect((await rows()).filter(({ isReady }) => !isReady)).toEqual([]);
  const queue = new RedisClient(`redis://${hosts.addressOf(1)}:10220`);
  await queue.send("LPUSH", ["jobs", "kept"]);
  queue.close();
}, 300_000);

test("a new executable is rolled out role by role, and a rollback brings the one before; nothing is lost", async () => {
  const [first] = await releases();
  const bytes = readFileSync(executable);
  bytes.write("Prove", bytes.indexOf("Check that this executable works on this host"));
  const other = join(hosts.directory, "other");
  writeFileSync(other, bytes, { mode: 0o755 });
  const upgraded = await hosts.nodeX("upgrade", hosts.prefix, "-y", "--executable", other);
  expect(inOrder(rolesOf(upgraded.stderr))).toEqual(order);
  const second = await releases();
  expect([second.length, second[0]]).toEqual([1, expect.not.stringMatching(first as string)]);
  const back = await hosts.nodeX("rollback", hosts.prefix, "-y");
  expect(inOrder(rolesOf(back.stderr))).toEqual(order);
  expect(await releases()).toEqual([first as string]);
  expect((await rows()).filter(({ isReady }) => !isReady)).toEqual([]);
  const queue = new RedisClient(`redis://${hosts.addressOf(1)}:10220`);
  expect(await queue.send("RPOP", ["jobs"])).toBe("kept");
  queue.close();
}, 300_000);

test("a family is restarted in its order and stopped backwards, the others stay", async () => {
  const before = new Map((await rows()).map(({ instance, pid }) => [instance, pid]));
  const family = ["archive0", "proxy0", "storage0"].flatMap((name) => ["--only", name]);
  const { stderr } = await hosts.nodeX("restart", hosts.prefix, ...family);
  expect(rolesOf(stderr)).toEqual(["archive", "proxy", "storage"]);
  const isOther = ({ instance, pid }: Row) => before.get(instance) !== pid;
  expect((await rows()).filter(isOther).map(({ instance }) => instance)).toEqual([
    "f.archive0",
    "f.proxy0",
    "f.storage0",
  ]);
  const stopped = await hosts.nodeX("stop", hosts.prefix, ...family);
  expect(rolesOf(stopped.stderr)).toEqual(["storage", "proxy", "archive"]);
}, 300_000);
